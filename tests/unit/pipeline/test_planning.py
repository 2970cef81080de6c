"""From flags to a run's settings: what `auto` becomes, when a plan is kept, and flags that contradict each other."""

import json
import types

import numpy as np
import pytest

from data.errors import UserError
from models import imagenet_weights
from models.network import pretrained
from pipeline import planning
from pipeline.cli import parsing, run
from tests import coco_folder
from tuner_fn.plan import fingerprint, plan, rules


@pytest.fixture(autouse=True)
def offered(monkeypatch) -> list[float]:
    """Offers Keras' ImageNet weights of any network without asking; lists the widths that are asked for."""
    widths: list[float] = []

    def find(backbone: str, alpha: float, size: tuple[int, int]) -> tuple[str, str]:
        widths.append(alpha)
        return "imagenet", "they are at hand"

    monkeypatch.setattr(imagenet_weights, "find", find)
    return widths


@pytest.fixture
def folder(tmp_path):
    """Holds 40 images to train with, each with an object that fills it, which the preset's anchors miss."""
    filled = [coco_folder.annotation(number, [1, 1, 62, 46]) for number in range(40)]
    tables = {"train": coco_folder.table(40, filled), "val": coco_folder.table(4), "test": coco_folder.table(4)}
    coco_folder.write(tmp_path / "set", **tables)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").touch()  # as a run leaves it
    return tmp_path


@pytest.fixture
def plan_run(folder):
    """Plans what a command line of `ssd-tuner run` gives."""

    def build(*arguments: str, **options):
        flag_values = parsing.define(run)
        given = [f"--dataset=coco:{folder / 'set'}", f"--workdir={folder / 'run'}", "--preset=cpu", *arguments]
        parsing.parse("run", flag_values, given)
        values = run.experiment_values(flag_values) | {"workdir": flag_values["workdir"].value}
        return planning.plan_run(values, **options)

    return build


def _write(path, values) -> str:
    path.write_text(json.dumps(values))
    return str(path)


@pytest.mark.parametrize("mode", ["auto", "off"])
@pytest.mark.parametrize("by", ["preset", "set", "config", "space"])
def test_auto_is_decided_whoever_says_it(plan_run, folder, by, mode) -> None:
    arguments = {
        "preset": [],
        "set": ["--set=model.backbone_weights=auto"],
        "config": [f"--config={_write(folder / 'c.json', {'model': {'backbone_weights': 'auto'}})}"],
        "space": [f"--space={_write(folder / 's.json', {'model.backbone_weights': 'auto', 'loss.l2': None})}"],
    }
    found, _, _ = plan_run(f"--plan={mode}", *arguments[by])
    assert found.experiment.model.backbone_weights == "imagenet"
    # Without a plan --config takes the preset's place.
    assert found.experiment.input.image_size == (300 if (by, mode) == ("config", "off") else 320)


def test_a_config_that_says_little_leaves_auto_to_the_preset(plan_run, folder) -> None:
    config = _write(folder / "c.json", {"loss": {"l2": 0.001}})
    found, _, _ = plan_run(f"--config={config}")
    assert (found.experiment.loss.l2, found.experiment.model.backbone_weights) == (0.001, "imagenet")


def test_width_is_searched_where_it_is_named(plan_run, offered) -> None:
    found, made, _ = plan_run("--tune=model.alpha")
    assert (found.experiment.model.backbone_weights, list(found.search.ranges)) == ("none", ["model.alpha"])
    reasons = {choice.setting: choice.reason for choice in made.choices}
    assert reasons["model.backbone_weights"] == "`model.alpha` is searched, and weights are of one width"
    assert offered == []
    assert "model.alpha" not in plan_run()[0].search.ranges


def test_a_trial_may_have_as_many_epochs_as_the_plan_gives_the_final_training(plan_run) -> None:
    scratch = "--set=model.backbone_weights=none"
    found, _, _ = plan_run(scratch, "--max_epochs=40")
    assert (found.search.max_epochs, found.experiment.training.epochs) == (40, 120)
    with pytest.raises(UserError, match=r"`--max_epochs=121`: .*, which has 120\. Raise `--epochs`, or"):
        plan_run(scratch, "--max_epochs=121")
    for fixed in (["--epochs=30"], ["--plan=off"]):
        with pytest.raises(UserError, match=r"which has 30\."):
            plan_run(scratch, "--max_epochs=40", *fixed)


def test_another_space_makes_another_plan(plan_run, folder, monkeypatch) -> None:
    """Scales of six levels would fail the trials that have five."""
    scratch = "--set=model.backbone_weights=none"
    _, made, key = plan_run(scratch)
    assert "anchors.scales" in made.settings
    plan.write(folder / "run" / "newest", made, key)
    for arguments in (["--space=architecture"], ["--tune=model.num*"]):
        found, made, _ = plan_run(scratch, *arguments)
        assert "model.num_levels" in found.search.ranges
        assert "anchors.scales" not in made.settings
    monkeypatch.setattr(fingerprint, "take", None)  # a kept plan reads no image
    assert plan_run(scratch)[2] == key


def test_a_plan_is_kept_although_another_command_came_between(plan_run, folder, monkeypatch) -> None:
    """It was offline at first; a search that goes on must not find other weights."""
    monkeypatch.setattr(imagenet_weights, "find", lambda *_: ("none", "offline"))
    first, made, key = plan_run()
    plan.write(folder / "run" / "newest", made, key)
    monkeypatch.setattr(imagenet_weights, "find", lambda *_: ("imagenet", "online"))
    other, made, another = plan_run("--epochs=5")
    plan.write(folder / "run" / "newest", made, another)
    again, _, found = plan_run()
    assert (found, other.experiment.model.backbone_weights) == (key, "imagenet")
    assert again.experiment == first.experiment


@pytest.mark.parametrize("weights", ["imagenet", "none"])
def test_the_reason_for_the_width_is_true_of_the_weights_that_were_found(plan_run, monkeypatch, weights) -> None:
    monkeypatch.setattr(imagenet_weights, "find", lambda *_: (weights, "so it is"))
    reasons = {choice.setting: choice.reason for choice in plan_run()[1].choices}
    assert ("from scratch" in reasons["model.alpha"]) == (weights == "none")
    assert ("ImageNet weights of this width" in reasons["model.alpha"]) == (weights == "imagenet")


@pytest.mark.parametrize("mode", ["auto", "off"])
def test_a_file_of_no_weights_makes_no_plan(plan_run, folder, mode) -> None:
    """It was taken for a pretrained backbone, and refused after minutes when the network was built."""
    path = folder / "text.h5"
    path.write_text("no weights")
    with pytest.raises(
        UserError, match=r"text\.h5 is not a Keras weights file\. Give a Keras weights file of mobilenet"
    ):
        plan_run(f"--plan={mode}", f"--set=model.backbone_weights={path}")


def test_another_machine_that_trains_has_memory_of_its_own(plan_run) -> None:
    assert plan_run()[1].about["machine"]["memory_bytes"] > 0
    assert "memory_bytes" not in plan_run(here=False)[1].about["machine"]


def test_a_study_keeps_its_own_plan(plan_run, folder, monkeypatch) -> None:
    _, made, key = plan_run(study="ablation")
    plan.write(folder / "run" / "studies" / "ablation", made, key)
    monkeypatch.setattr(fingerprint, "take", None)
    found, kept, _ = plan_run(study="ablation")
    assert kept.settings == json.loads(json.dumps(made.settings))
    with pytest.raises(TypeError):
        plan_run(study="lr_range")


def test_other_weights_at_the_same_path_make_another_plan(plan_run, folder) -> None:
    path = folder / "w.npz"
    keys = []
    for depths in ((512, 256), (256, 128)):
        settings = {"model.backbone": "mobilenet_v1", "model.alpha": 0.5, "model.head": "ssd"}
        settings |= {"model.first_stride": 16, "model.extra_depths": depths}
        pretrained.write(path, pretrained.Weights("x", settings, None, 1e-3, {"conv1/kernel": np.zeros(3)}))
        found, made, key = plan_run(f"--set=model.weights={path}")
        plan.write(folder / "run" / "newest", made, key)
        assert found.experiment.model.extra_depths == depths
        keys.append(key)
    assert keys[0] != keys[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--epochs=7", "--set=training.epochs=20"],
            "`--epochs=7` and `--set=training.epochs=20` contradict each other. Give one of them.",
        ),
        (["--tile=2x2", "--set=input.tile=1x2"], "`--tile=2x2` and `--set=input.tile=1x2` contradict each other."),
        (["--set=model.head=ssdlite", "--set=model.head_kernel_size=1"], "has no effect with `model.head=ssdlite`"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(plan_run, arguments, message) -> None:
    with pytest.raises(UserError) as caught:
        plan_run("--plan=off", *arguments)
    assert message in str(caught.value)


def test_a_kernel_of_1_keeps_the_head_that_heeds_it(plan_run) -> None:
    assert plan_run("--set=model.head_kernel_size=1")[0].experiment.model.head == "ssd"


def test_flags_that_say_the_same_are_not_refused(plan_run) -> None:
    found, _, _ = plan_run("--plan=off", "--epochs=7", "--set=training.epochs=7", "--tile=2x2", "--set=input.tile=2x2")
    assert (found.experiment.training.epochs, found.experiment.input.tile) == (7, "2x2")


def test_the_side_of_a_square_beside_a_configs_rectangle_is_refused(plan_run, folder) -> None:
    config = _write(folder / "c.json", {"input": {"image_height": 300, "image_width": 400}})
    square = ["--set=input.image_size=512"]
    with pytest.raises(UserError, match=r"`--set=input.image_size` has no effect .* which are 300 and 400"):
        plan_run("--plan=off", f"--config={config}", *square)
    sides = ["--set=input.image_height=0", "--set=input.image_width=0"]
    found, _, _ = plan_run("--plan=off", f"--config={config}", *square, *sides)
    assert found.experiment.input.size == (512, 512)


@pytest.mark.parametrize("has_config", [True, False])
def test_the_seed_of_training_is_set_by_name_before_the_seed_of_all(plan_run, folder, has_config) -> None:
    config = _write(folder / "c.json", {"training": {"seed": 8}})
    arguments = ["--plan=off", *([f"--config={config}"] if has_config else [])]
    seeds = [
        plan_run(*arguments, *given)[0].experiment.training.seed
        for given in ([], ["--seed=3"], ["--seed=3", "--set=training.seed=5"])
    ]
    assert seeds == [8 if has_config else 0, 3, 5]


def test_a_plan_in_a_folder_of_somebody_else_is_left_alone(plan_run, folder) -> None:
    """It may be a `report/plan.json` of another program."""
    (folder / "run" / ".lock").unlink()
    (folder / "run" / "report").mkdir()
    theirs = folder / "run" / "report" / "plan.json"
    theirs.write_text("[]")
    plan_run()
    assert theirs.read_text() == "[]"
    (folder / "run" / "report" / "plan.json").unlink()
    (folder / "run" / "report").rmdir()
    (folder / "run").rmdir()
    (folder / "run").write_text("a file")
    plan_run()  # that --workdir is a file is said where it is opened


def test_what_no_rule_mends_is_said_below_the_table_and_without_one() -> None:
    said: list[str] = []
    screen = types.SimpleNamespace(print_table=lambda *_, **__: said.append("table"), note=said.append)
    for choices in ((), (rules.Choice("model.head", "ssd", "why"),)):
        run.print_plan(screen, plan.Plan(choices, {"model.head": "ssdlite"}, {}, ("Mind this.",)))
    assert said == ["Mind this.", "table", "Mind this."]
