"""`ssd-tuner board`: what is missing is one line; the copy of a search in memory holds its trials."""

import json
import socket

import pytest
from keras_tuner.engine.hyperparameters import HyperParameters
from keras_tuner.engine.trial import Trial

from data.run_directory import RunDirectory
from pipeline.cli import board
from pipeline.cli import main as cli
from tuner_fn import search_folder


@pytest.fixture
def mistake(capfd):
    """Runs a command line that is wrong and returns its one line."""

    def check(*arguments) -> str:
        assert cli.main(["board", *map(str, arguments)]) == 2
        out, err = capfd.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        return err.strip()

    return check


def make_search(root, name: str, number: int) -> HyperParameters:
    """Leaves a search of one finished, one failed and one running trial, and a file that was cut off."""
    space = HyperParameters()
    space.Float("optimizer.learning_rate", 1e-4, 1e-1, sampling="log")
    space.Choice("model.alpha", [0.35, 0.5])
    folder = RunDirectory(root).search(name)
    for trial_id, status in enumerate(("COMPLETED", "FAILED", "RUNNING")):
        values = {"optimizer.learning_rate": 0.01, "model.alpha": 0.5, "tuner/epochs": 2}
        hyperparameters = space.copy()
        hyperparameters.values = values
        trial = Trial(hyperparameters, trial_id=f"{trial_id:04}", status=status)
        trial.message = "NaN" if status == "FAILED" else None
        trial.score = 0.4 if status == "COMPLETED" else None
        path = folder / f"trial_{trial_id:04}" / "trial.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(trial.get_state()))
    (folder / "trial_0003").mkdir()
    (folder / "trial_0003" / "trial.json").write_text('{"trial_id": "00')
    (folder / "oracle.json").write_text(json.dumps({"hyperparameters": space.get_config()}))
    (folder / search_folder.LOGS_FILE).write_text(f"search_{number}")
    return space


def test_what_is_missing_is_said_in_one_line(mistake, tmp_path) -> None:
    assert "needs one run directory: got 0" in mistake()
    assert "is not a folder. Name the --workdir of a run." in mistake(tmp_path / "nowhere")
    assert "is not a run directory" in mistake(tmp_path)
    (tmp_path / "metadata.db").touch()
    assert "has no TensorBoard logs yet: they begin with the search" in mistake(tmp_path)
    assert "has no search yet" in mistake(tmp_path, "--optuna")


def test_a_port_that_is_taken_is_said_in_one_line(mistake, tmp_path) -> None:
    logs = RunDirectory(tmp_path).tensorboard / "search_1"
    logs.mkdir(parents=True)
    (logs / "events.out.tfevents.1").touch()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert f"`--port={port}` is taken by another process. Leave --port out for a free one." in mistake(
            tmp_path, f"--port={port}"
        )


def test_a_missing_dashboard_is_named_with_its_extra(mistake, tmp_path, monkeypatch) -> None:
    make_search(tmp_path, "abc", 1)
    (tmp_path / "metadata.db").touch()
    known = board.environment.importlib.util.find_spec
    hide = {"optuna_dashboard"}
    monkeypatch.setattr(
        board.environment.importlib.util, "find_spec", lambda name: None if name in hide else known(name)
    )
    assert "pip install 'ssd-tuner[dashboard]'" in mistake(tmp_path, "--optuna")


def test_optunas_copy_holds_the_trials_of_every_search_whether_it_ended_or_not(tmp_path) -> None:
    for number, name in enumerate(("abc", "def"), start=1):
        make_search(tmp_path, name, number)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    storage = board.read_studies(RunDirectory(tmp_path))
    studies = {study.study_name: storage.get_all_trials(study._study_id) for study in storage.get_all_studies()}
    assert set(studies) == {"search_1", "search_2"}
    trials = studies["search_2"]
    assert [trial.state.name for trial in trials] == ["COMPLETE", "FAIL", "WAITING"]
    assert trials[0].params == {"optimizer.learning_rate": 0.01, "model.alpha": 0.5}
    assert trials[0].value == 0.4
    assert trials[1].user_attrs["reason"] == "NaN"
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json")} == before  # a running search's files
