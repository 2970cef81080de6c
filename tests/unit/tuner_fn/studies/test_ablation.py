"""An ablation's trainings in real processes, only the training itself a formula: what is kept, resumed and refused."""

import dataclasses
import json
import pathlib
import types

import fake_training
import pytest

from data import progress
from data.errors import UserError
from models.hyperparameters import ExperimentConfig
from tuner_fn.studies import ablation, ablation_results, paired_effect
from tuner_fn.studies.variants import BASELINE, Variant
from tuner_fn.supervisor import TrainingProcess

ROOT = pathlib.Path(__file__).parents[4]
RATE = "optimizer.learning_rate"


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))

    def run(study: ablation.Ablation) -> list[ablation.Training]:
        ablation.run(study, tmp_path / "trainings", TrainingProcess(tmp_path / "worker.log", training="fake_training"))
        return ablation.read(study, tmp_path / "trainings")

    return run


def make(*variants: Variant, baseline: float = 0.001, repeats: int = 2, **changes) -> ablation.Ablation:
    config = ExperimentConfig().replace({RATE: baseline, "training.epochs": 3})
    about = {"metric": "AP50", "class_names": ("car",), "train_files": ("t",), "val_files": ("v",), "depends_on": {}}
    return ablation.Ablation(config, variants, repeats, **{**about, **changes})


def test_the_baseline_comes_first_and_each_variant_has_the_same_seeds(run) -> None:
    """The formula's score is the rate times the epochs: 0.006 and 0.003."""
    study = make(Variant("twice", {RATE: 0.002}), Variant("patches", {"augment.patch_probability": 0.5}))
    found = run(study)
    order = [(one.variant, one.seed) for one in found]
    assert order == [(BASELINE, 0), (BASELINE, 1), ("twice", 0), ("patches", 0), ("twice", 1), ("patches", 1)]
    baseline, twice, patches = ablation_results.rows(study, found)
    assert baseline.scores == {0: pytest.approx(0.003), 1: pytest.approx(0.003)}
    assert twice.effect.difference == pytest.approx(0.003)
    assert (twice.verdict, patches.verdict) == (paired_effect.HELPS, paired_effect.NOT_SHOWN)
    assert twice.losses == {0: (1.0, 1.0, 1.0), 1: (1.0, 1.0, 1.0)}


def test_a_second_start_trains_only_what_is_new(run, tmp_path) -> None:
    twice = Variant("twice", {RATE: 0.002})
    first = run(make(twice))
    assert count_epochs(tmp_path) == 4 * 3
    assert run(make(twice)) == first
    assert count_epochs(tmp_path) == 4 * 3
    more = run(make(dataclasses.replace(twice, name="renamed"), Variant("half", {RATE: 0.0005}), repeats=3))
    assert len(more) == 9
    assert count_epochs(tmp_path) == 9 * 3
    run(make(twice, depends_on={"code": "another"}))
    assert count_epochs(tmp_path) == 13 * 3


def test_an_interrupted_training_goes_on_from_its_last_epoch(run, tmp_path) -> None:
    study = make(Variant("twice", {RATE: 0.002}))

    def interrupt(kind: str, fields: dict) -> None:
        if kind == "trial" and fields["trial_id"] == "twice, seed 0":
            raise_at.append(2)
        if kind == "epoch" and raise_at and fields["epoch"] == raise_at[0]:
            raise_at.clear()
            raise KeyboardInterrupt

    raise_at: list[int] = []
    with pytest.raises(KeyboardInterrupt), progress.listen(interrupt):
        run(study)
    kept = ablation.read(study, tmp_path / "trainings")
    assert [(one.variant, one.seed) for one in kept] == [(BASELINE, 0), (BASELINE, 1)]
    assert len(run(study)) == 4
    log = (tmp_path / "worker.log").read_text()
    assert "training from epoch 2" in log or "training from epoch 3" in log  # it may get on before it is ended
    assert count_epochs(tmp_path) <= 4 * 3 + 1
    assert not list((tmp_path / "trainings").glob("*.npz"))


def test_a_variant_that_fails_is_a_row_and_stops_nothing(run) -> None:
    study = make(Variant("diverges", {RATE: fake_training.rate("diverges")}), Variant("twice", {RATE: 0.002}))
    _, diverges, twice = ablation_results.rows(study, run(study))
    assert diverges.verdict == ablation_results.FAILS
    assert diverges.failed == dict.fromkeys((0, 1), "DivergedError: The loss is not finite")
    assert diverges.effect is None
    assert twice.verdict == paired_effect.HELPS
    (text,) = (one for one in ablation_results.conclusions(study, [diverges]) if one.startswith("diverges"))
    assert text == "diverges: 2 of 2 trainings failed: DivergedError: The loss is not finite"


def test_a_baseline_that_diverges_ends_the_study_at_once(run, tmp_path) -> None:
    study = make(Variant("lower", {RATE: 0.001}), baseline=fake_training.rate("diverges"))
    with pytest.raises(UserError, match=r"baseline cannot be trained with seed 0, .*not finite.* --set="):
        run(study)
    assert len(ablation.read(study, tmp_path / "trainings")) == 1


def test_a_damaged_training_is_set_aside_and_trained_again(run, tmp_path) -> None:
    study = make(Variant("twice", {RATE: 0.002}), repeats=1)
    first = run(study)
    next((tmp_path / "trainings").glob("*.json")).write_text("{")
    assert run(study) == first
    assert len(list((tmp_path / "trainings").glob("*.damaged"))) == 1


def count_epochs(folder: pathlib.Path) -> int:
    return (folder / "worker.log").read_text().count("epoch trained")


def test_the_time_to_come_counts_the_tracing_of_each_variant_once(run, monkeypatch) -> None:
    """Five seconds a training; another seed needs only new weights."""
    pace = types.SimpleNamespace(seconds=lambda epochs, validations: epochs + 2.0 * validations)
    monkeypatch.setattr(TrainingProcess, "measure", lambda self, job: pace)
    plans = []
    with progress.listen(lambda kind, fields: plans.append(fields) if kind == "plan" else None):
        for repeats in (2, 3):
            run(make(Variant("twice", {RATE: 0.002}), repeats=repeats))
    tracing, weights = ablation._BUILDING_S, ablation._SEED_S
    assert [one["seconds"] for one in plans] == [2 * tracing + 4 * (weights + 5.0), 2 * tracing + 2 * (weights + 5.0)]
    assert [(one["trials"], one["done_trials"]) for one in plans] == [(4, 0), (6, 4)]


def test_weights_count_by_their_content(tmp_path) -> None:
    path = tmp_path / "backbone.h5"
    path.write_bytes(b"one")
    study = make(Variant("weights", {"model.backbone_weights": str(path)}))
    config = study.config(study.variants[0], 0)
    before = study.key(config)
    path.write_bytes(b"another")
    assert study.key(config) != before


def test_a_training_without_a_score_in_one_metric_has_one_in_another(run, tmp_path) -> None:
    """A metric may find nothing to count; the trainings serve other metrics as before."""
    study = make(Variant("twice", {RATE: 0.002}))
    run(study)
    for path in (tmp_path / "trainings").glob("*.json"):
        kept = json.loads(path.read_text())
        kept["metrics"]["AP"] = None
        path.write_text(json.dumps(kept))
    found = run(study)
    other = dataclasses.replace(study, metric="AP")
    with pytest.raises(UserError, match=r"seed 0, .*: Its val AP is not a number\..* --set="):
        run(other)
    assert [one.failed for one in run(study)] == [""] * 4
    assert run(study) == found
    rows = ablation_results.rows(other, ablation.read(other, tmp_path / "trainings"))
    assert not [text for text in ablation_results.conclusions(other, rows) if "still to come" in text]
    assert count_epochs(tmp_path) == 4 * 3


def test_a_training_that_was_killed_from_outside_is_tried_again_by_the_next_start(run, tmp_path) -> None:
    killed = Variant("killed", {RATE: fake_training.rate("killed")})
    study = make(killed, repeats=1)
    _, row = ablation_results.rows(study, run(study))
    assert "SIGKILL" in row.failed[0]
    tries = (tmp_path / "worker.log").read_text().count("last words before: killed")
    run(study)
    assert (tmp_path / "worker.log").read_text().count("last words before: killed") > tries
    with pytest.raises(UserError, match=r"baseline cannot be trained .* The same command tries it again"):
        run(make(Variant("lower", {RATE: 0.001}), baseline=fake_training.rate("killed")))
