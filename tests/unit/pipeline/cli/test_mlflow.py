"""`ssd-tuner mlflow` and `run --mlflow`: what is missing is one line."""

import pytest

from pipeline import environment
from pipeline.cli import main as cli


@pytest.fixture
def mistake(capfd):
    """Runs a command line that is wrong and returns its one line."""

    def check(*arguments) -> str:
        assert cli.main([*map(str, arguments)]) == 2
        out, err = capfd.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        return err.strip()

    return check


@pytest.fixture
def without_mlflow(monkeypatch):
    known = environment.importlib.util.find_spec
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: None if name == "mlflow" else known(name))


def test_what_is_missing_is_said_in_one_line(mistake, tmp_path) -> None:
    assert "needs one run directory: got 0" in mistake("mlflow")
    assert "is not a folder. Name the --workdir of a run." in mistake("mlflow", tmp_path / "nowhere")
    assert "has no search yet" in mistake("mlflow", tmp_path)


@pytest.mark.usefixtures("without_mlflow")
def test_a_missing_mlflow_is_named_with_its_extra_before_any_work(mistake, tmp_path) -> None:
    (tmp_path / "search" / "abc").mkdir(parents=True)
    workdir = tmp_path / "new"
    for arguments in (["mlflow", tmp_path], ["run", "--dataset=road_scenes", f"--workdir={workdir}", "--mlflow=local"]):
        assert "not installed in" in (text := mistake(*arguments))
        assert "pip install 'ssd-tuner[mlflow]'" in text
    assert not workdir.exists()
    assert not (tmp_path / "mlflow").exists()
