"""`ssd-tuner ablate` and `lr-range`: flags of `run`, and mistakes in one line before anything is trained."""

import types

import pytest
from absl import flags

from models.hyperparameters import ExperimentConfig
from pipeline import planning
from pipeline.cli import ablate, lr_range, parsing, run, study, study_flags
from pipeline.cli import main as command_line

DATA = "--dataset=road_scenes:train=8,val=4,test=4"


@pytest.fixture
def mistake(capfd, tmp_path):
    """Runs a command line that is wrong and returns its one line."""

    def check(command: str, *arguments: str) -> str:
        assert command_line.main([command, DATA, f"--workdir={tmp_path / 'run'}", "--plan=off", *arguments]) == 2
        out, err = capfd.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert not (tmp_path / "run").exists()
        return err.strip()

    return check


@pytest.mark.parametrize("module", [ablate, lr_range])
def test_what_decides_the_settings_is_given_as_to_run(module, tmp_path) -> None:
    """All flags of `run` that are not about searching, exporting or blessing are there, with equal defaults."""
    own, of_run = parsing.define(module), parsing.define(run)
    shared = ("dataset", "classes", "splits", "tile", "preset", "config", "plan", "set", "epochs", "seed")
    for name in shared:
        assert (own[name].default, own[name].help) == (of_run[name].default, of_run[name].help)
    parsing.parse("try", own, [DATA, f"--workdir={tmp_path}", "--set=loss.l2=0.1", "--seed=3", "--preset=cpu"])
    values = study_flags.values(own)
    assert (values["set"], values["seed"], values["seed_given"], values["preset"]) == (["loss.l2=0.1"], 3, True, "cpu")
    assert values["max_trials"] is None


def test_only_a_study_that_judges_by_a_metric_takes_one(tmp_path) -> None:
    assert "objective" not in parsing.define(lr_range)
    own = parsing.define(ablate)
    assert "min_map" not in own["objective"].help
    assert own["objective"].default == parsing.define(run)["objective"].default
    parsing.parse("ablate", own, [DATA, f"--workdir={tmp_path}", "--objective=AP"])
    assert study_flags.values(own)["objective"] == "AP"


def test_what_a_study_calls_as_a_search_does_is_not_the_searchs(tmp_path) -> None:
    """50 repeats of a search's finalists would be more than its budget."""
    own = parsing.define(ablate)
    wanted = ["--repeats=50", "--space=quick", "--preset=standard"]
    parsing.parse("ablate", own, [DATA, f"--workdir={tmp_path}", *wanted])
    values = study_flags.values(own)
    assert (values["repeats"], values["space"]) == (None, "default")
    assert planning.plan_run(values | {"plan": "off"})[0].preset == "standard"


def test_what_a_space_fixes_is_the_baselines(tmp_path) -> None:
    """As the file that `importance --write_space` makes; --set wins."""
    space = tmp_path / "space.yaml"
    space.write_text("loss.l2: 0.0004\nmodel.dropout_rate: [0.1]\n")
    own = parsing.define(ablate)
    parsing.parse("ablate", own, [DATA, f"--workdir={tmp_path}", "--plan=off", f"--space={space}"])
    values = study_flags.values(own) | {"studied_space": str(space)}
    config, *_ = planning.plan_run(values)
    assert config.experiment.loss.l2 == 0.0004
    assert [one.name for one in ablate._changes(str(space), config, 1).kept] == ["model.dropout_rate=0.1"]
    config, *_ = planning.plan_run(values | {"set": ["loss.l2=0.001"]})
    assert config.experiment.loss.l2 == 0.001


def test_the_steps_of_an_epoch_are_those_of_the_share_of_the_images() -> None:
    """A study's decay is after a share of the training."""
    settings = ExperimentConfig().replace({"training.data_share": 0.25, "input.batch_size": 8})
    about = {"config": types.SimpleNamespace(experiment=settings), "folder": None, "results": None, "screen": None}
    info = types.SimpleNamespace(num_examples={"train": 320})
    assert study.Study(**about, info=info, data={}).steps_per_epoch == 10


def test_flags_of_a_study_do_not_change_those_of_run() -> None:
    flag_values = flags.FlagValues()
    lr_range.define_flags(flag_values)
    assert flag_values["repeats"].default == 3
    assert parsing.define(run)["repeats"].default is None


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--space=flir_studi"], "`--space=flir_studi` is neither a space nor a file. Did you mean `flir_study`?"),
        (["--repeats=0"], "`--repeats` needs"),
        (["--set=model.drop=1"], "Unknown setting `model.drop`"),
        (["--splits=0.8,0.2"], "--splits"),
        (["--sets=1"], "`--sets` is not a flag of `ablate`. Did you mean `--set`?"),
    ],
)
def test_a_mistake_of_ablate_is_one_line(mistake, arguments, says) -> None:
    assert says in mistake("ablate", *arguments)


def test_a_space_of_the_baselines_value_alone_is_one_line(mistake, tmp_path) -> None:
    (tmp_path / "space.yaml").write_text("model.dropout_rate: [0.0]\n")
    line = mistake("ablate", f"--space={tmp_path / 'space.yaml'}")
    assert line.startswith("ssd-tuner: error: There is nothing to compare with the baseline. Name other values")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--min_rate=0.1", "--max_rate=0.01"], "`--max_rate` must exceed `--min_rate`: got 0.01 and 0.1."),
        (["--max_rate=100"], "`--max_rate` needs"),  # no learning rate that `run` takes
        (["--min_rate=1e-8"], "`--min_rate` needs"),
        (["--write_space=."], "`--write_space=.` is a folder"),
        (["--steps=3"], "`--steps` needs"),
    ],
)
def test_a_mistake_of_lr_range_is_one_line(mistake, arguments, says) -> None:
    assert says in mistake("lr-range", *arguments)


@pytest.mark.parametrize("command", ["ablate", "lr-range"])
def test_a_gpu_that_is_not_there_is_refused_before_the_data_are_read(mistake, monkeypatch, tmp_path, command) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidia0").touch()
    monkeypatch.setattr("tuner_fn.devices.FOLDER", tmp_path / "dev")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert "CUDA_VISIBLE_DEVICES=7 names GPU 7" in mistake(command)
