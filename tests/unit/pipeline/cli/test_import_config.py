"""`ssd-tuner import-config` and `ssd-tuner run --config`, as a user types them."""

import csv
import json
import re

import pytest

from models.hyperparameters import ExperimentConfig
from pipeline import configs
from pipeline.cli import import_config, main, parsing, run
from tests import od_api_configs


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline.config").write_text(od_api_configs.fpnlite())
    return tmp_path


@pytest.fixture
def run_config():
    """Returns the settings that a command line of `ssd-tuner run` gives."""

    def build(*arguments):
        flag_values = parsing.define(run)
        parsing.parse("run", flag_values, ["--dataset=road_scenes", "--workdir=demo", *arguments])
        values = run.experiment_values(flag_values)
        return configs.RunConfig.from_flags({**values, "workdir": "demo"})

    return build


def test_settings_report_and_the_next_command(folder, capfd):
    arguments = ["pipeline.config", "--output=out/my config.json", "--report=out/report.csv", "--train_images=118287"]
    assert main.main(["import-config", *arguments]) == 0
    shown = capfd.readouterr().out
    (encode,) = [line for line in shown.splitlines() if " encode_background_as_zeros " in line]
    assert encode.split()[2:] == ["true", "honoured", "model.background_class=false"]
    assert "0 cannot" in shown
    assert shown.splitlines()[-1].endswith("--config='out/my config.json'")
    config = ExperimentConfig.from_dict(json.loads((folder / "out" / "my config.json").read_text()))
    assert (config.model.head, config.training.epochs) == ("fpnlite", 54)
    rows = list(csv.DictReader((folder / "out" / "report.csv").open()))
    assert {row["verdict"] for row in rows} == {"honoured", "ignored"}
    weights = [row for row in rows if row["field"] == "model.ssd.normalize_loc_loss_by_codesize"]
    assert [row["becomes"].split(":")[0] for row in weights] == ["loss.localization_weight=0.25"]


def test_strict_fails_where_the_kit_cannot_follow_and_still_writes(folder):
    assert main.main(["import-config", "pipeline.config", "--strict"]) == import_config.STATUS_CANNOT  # num_steps
    assert (folder / "config.json").is_file()
    assert main.main(["import-config", "pipeline.config", "--strict", "--train_images=1000"]) == 0


def test_a_backbone_that_the_kit_lacks_fails_and_says_so(folder, capfd):
    file = folder / "pipeline.config"
    known = re.search(r"type: *['\"](ssd_\w+)['\"]", file.read_text())[1]
    file.write_text(file.read_text().replace(known, "ssd_resnet50_v1_fpn"))
    assert main.main(["import-config", "pipeline.config"]) == import_config.STATUS_CANNOT
    assert (
        "The kit does not have the backbone that the file names, so these settings use the default one."
        in capfd.readouterr().out
    )
    file.write_text(file.read_text().replace("ssd_resnet50_v1_fpn", "embedded_ssd_mobilenet_v1"))
    assert main.main(["import-config", "pipeline.config"]) == 0
    config = ExperimentConfig.from_dict(json.loads((folder / "config.json").read_text()))
    assert config.model.backbone == "mobilenet_v1"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "`import-config` needs one file: got 0."),
        (["a", "b"], "`import-config` needs one file: got 2."),
        (["nowhere"], "nowhere: cannot be read: No such file or directory."),
        (["."], ".: cannot be read: Is a directory."),
        (["broken.config"], "broken.config: line 2: expected `:` or `{` after `ssd`, got `}`."),
        (["image.png"], "image.png: is not a text file."),
        (["pipeline.config", "--output=."], "`--output=.` is a folder."),
        (["pipeline.config", "--train_images=0"], "`--train_images` needs a positive integer: got `0`."),
    ],
)
def test_mistakes_are_one_line(folder, capfd, arguments, text):
    (folder / "broken.config").write_text("model {\n ssd }")
    (folder / "image.png").write_bytes(b"\x89PNG\xff")
    assert main.main(["import-config", *arguments]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"ssd-tuner: error: {text}")
    assert not (folder / "config.json").exists()


def test_run_takes_the_imported_settings_in_place_of_the_presets(run_config):
    assert main.main(["import-config", "pipeline.config", "--train_images=1000"]) == 0
    config = run_config("--config=config.json", "--set=input.batch_size=8", "--preset=quick", "--epochs=2")
    assert (config.experiment.model.head, config.experiment.input.image_size) == ("fpnlite", 320)
    assert (config.experiment.input.batch_size, config.experiment.training.epochs) == (8, 2)
    assert config.search.max_epochs_total == run_config("--preset=quick", "--epochs=2").search.max_epochs_total
    # Focal loss mines nothing, and multiscale anchors have no smallest scale: no trial may vary them.
    assert {"loss.negatives_per_positive", "anchors.min_scale"}.isdisjoint(config.search.ranges)
    assert "optimizer.learning_rate" in config.search.ranges


def test_the_configuration_of_a_run_trains_as_it_stands(folder, run_config):
    winner = ExperimentConfig().replace({"training.seed": 7, "optimizer.learning_rate": 0.0123})
    (folder / "best_config.json").write_text(json.dumps(winner.to_dict()))
    assert run_config("--config=best_config.json").experiment == winner
    assert run_config("--config=best_config.json", "--seed=0").experiment.training.seed == 0
    assert run_config("--seed=3").experiment.training.seed == 3


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ('{"optimizer": {"leaning_rate": 1}}', "Unknown setting `optimizer.leaning_rate`. Did you mean"),
        ('{"optimiser": {}}', "Unknown settings group `optimiser`. Did you mean `optimizer`?"),
        ('{"input": {"batch_size": 0}}', "`input.batch_size` must lie in"),
        ('{"input": {"batch_size": "many"}}', "`input.batch_size` needs a value of type int: got 'many'."),
        ("[1]", "needs settings by group"),
        ("model { }", "is not JSON"),
    ],
)
def test_a_wrong_file_of_settings_is_one_line_that_names_it(folder, capfd, content, text):
    (folder / "my.json").write_text(content)
    assert main.main(["run", "--dataset=road_scenes", "--workdir=demo", "--config=my.json"]) == 2
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith("ssd-tuner: error: `--config=my.json`")
    assert text in err
    assert not (folder / "demo").exists()
