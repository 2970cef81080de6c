"""`ssd-tuner settings`, and hints at settings that have another name elsewhere."""

import importlib
import re

import pytest

from data.errors import UserError
from models import foreign_names
from models.hyperparameters import ExperimentConfig
from pipeline import configs
from pipeline.cli import main, parsing


@pytest.fixture
def listed(capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> str:
        assert main.main(["settings", *arguments]) == 0
        return capfd.readouterr().out

    return call


def test_every_setting_is_listed_with_its_default(listed) -> None:
    out = listed()
    assert [path for path in ExperimentConfig().flat() if path not in out] == []


def test_a_pattern_or_a_part_of_a_name_chooses(listed) -> None:
    out = listed("loss.l2", "*_rate")
    assert "optimizer.learning_rate" in out
    assert "loss.l2" in out
    assert "augment." not in out
    (row,) = [line for line in listed("first_stride").splitlines() if "model.first_stride" in line]
    assert "16" in row
    assert "8, 16 px" in row


def test_a_name_that_matches_nothing_is_an_error_with_the_setting_that_was_meant(capfd) -> None:
    assert main.main(["settings", "lr0"]) == 2
    assert "No setting matches `lr0`. Did you mean `optimizer.learning_rate`?" in capfd.readouterr().err


def test_hints_name_settings_that_there_are() -> None:
    assert set(foreign_names.SETTINGS.values()) <= set(ExperimentConfig().flat())


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("optimizer.lr", "optimizer.learning_rate"),
        ("lr0", "optimizer.learning_rate"),
        ("imgsz", "input.image_size"),
        ("optimizer.leaning_rate", "optimizer.learning_rate"),
    ],
)
def test_an_unknown_setting_is_told_the_one_that_was_meant(name, meant) -> None:
    with pytest.raises(UserError, match=rf"Unknown setting `{name}`\. Did you mean `{meant}`\? `ssd-tuner settings`"):
        ExperimentConfig().replace(configs.parse_overrides([f"{name}=1"]))


@pytest.mark.parametrize(
    ("argument", "hint"),
    [
        ("--batch=8", "`--batch` is not a flag of `run`. Did you mean `--set=input.batch_size=...`?"),
        ("--imgsz=640", "`--imgsz` is not a flag of `run`. Did you mean `--set=input.image_size=...`?"),
        ("--data=x", "`--data` is not a flag of `run`. Did you mean `--dataset`?"),
        ("data=coco.yaml", "`run` takes flags only: got `data=coco.yaml`. Did you mean `--dataset`?"),
        ("imgsz=640", "`run` takes flags only: got `imgsz=640`. Did you mean `--set=input.image_size=640`?"),
        ("epochs=3", "`run` takes flags only: got `epochs=3`. Did you mean `--epochs=3`?"),
        ("max_trial=3", "`run` takes flags only: got `max_trial=3`. Did you mean `--max_trials`?"),
        ("learning_rate=0.01", "got `learning_rate=0.01`. Did you mean `--set=optimizer.learning_rate=0.01`?"),
        ("--optimizer.learning_rate=1", "Did you mean `--set=optimizer.learning_rate=...`?"),
        ("--backbone=x", "`--backbone` is not a flag of `run`. Did you mean `--set=model.backbone=...`?"),
        ("--image_size=64", "Did you mean `--set=input.image_size=...`?"),
        ("--weight_decay=0", "Did you mean `--set=optimizer.weight_decay=...`?"),
        ("--head=x", "Did you mean `--set=model.head=...`?"),
        ("--resume", "Did you mean the same command again, which continues by itself?"),
        ("--project=x", "Did you mean `--workdir`?"),
        ("--time=1", "Did you mean `--max_minutes`?"),
        ("--max_trial=8", "`--max_trial` is not a flag of `run`. Did you mean `--max_trials`?"),
    ],
)
def test_arguments_of_other_tools_are_understood_as_hints(argument, hint, capfd, tmp_path) -> None:
    arguments = ["run", "--dataset=road_scenes", f"--workdir={tmp_path}", argument]
    assert main.main(arguments) == 2
    assert hint in " ".join(capfd.readouterr().err.split())


def answer(command: str, name: str) -> str:
    """Returns what a command says of a flag that it does not have, or "" where it has it."""
    flag_values = parsing.define(importlib.import_module(f"pipeline.cli.{re.sub('[ -]', '_', command)}"))
    if name in flag_values:
        return ""
    with pytest.raises(UserError) as caught:
        parsing.parse(command, flag_values, [f"--{name}=1"])
    meant = re.findall(r"Did you mean `--(\w+)", str(caught.value))
    assert set(meant) <= set(flag_values), str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("command", main.COMMANDS)
def test_a_hint_names_flags_of_the_command(command) -> None:
    others = [*foreign_names.FLAGS, *foreign_names.ADVICE, *foreign_names.SETTINGS]
    own = [path.rpartition(".")[2] for path in ExperimentConfig().flat()]
    said = {name: answer(command, name) for name in (*others, *own)}
    assert any(said.values())


@pytest.mark.parametrize(
    ("command", "name", "hint"),
    [
        ("predict", "conf", "Did you mean `--min_score`?"),
        ("predict", "project", "Did you mean `--output`?"),
        ("predict", "time", "Known: --model, "),
        ("evaluate", "time", "Known: --model, "),
        ("evaluate", "resume", "Known: --model, "),
        ("data check", "imgsz", "Known: --dataset, "),
        ("lr-range", "n_trials", "Known: --dataset, "),
        ("lr-range", "lr0", "Did you mean `--set=optimizer.learning_rate=...`?"),
    ],
)
def test_a_hint_depends_on_the_command(command, name, hint) -> None:
    assert hint in answer(command, name)
