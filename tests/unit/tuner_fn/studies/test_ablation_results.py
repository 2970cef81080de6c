"""Rows, files and figures of an ablation whose trainings are written by hand."""

import csv
import io
import json

import pytest
from PIL import Image

from models.hyperparameters import ExperimentConfig
from tuner_fn.studies import ablation_plots, ablation_results, paired_effect
from tuner_fn.studies.ablation import Ablation, Training
from tuner_fn.studies.variants import BASELINE, Variant

VARIANTS = (
    Variant("dropout", {"model.dropout_rate": 0.2}),
    Variant("softmax", {"loss.classification": "softmax"}),
    Variant("fast", {"optimizer.learning_rate": 1.0}),
)


def make(repeats: int = 3, class_names: tuple[str, ...] = ("car", "person")) -> Ablation:
    config = ExperimentConfig().replace({"training.epochs": 2})
    return Ablation(config, VARIANTS, repeats, "AP50", class_names, ("t",), ("v",), {})


def train(variant: str, *scores: float | None) -> list[Training]:
    """Makes a variant's trainings; None for one that failed. "person" has no object on val."""
    return [
        Training(variant, seed, (), {}, "DivergedError: not finite")
        if score is None
        else Training(variant, seed, (9.0, 8.0 - score), {"AP50": score, "AP50/car": score + 0.1, "AP50/person": None})
        for seed, score in enumerate(scores)
    ]


BASE = train(BASELINE, 0.50, 0.52, 0.51)
ALL = BASE + train("dropout", 0.60, 0.621, 0.611) + train("softmax", 0.50, 0.53, 0.49) + train("fast", None, 0.9, 0.9)


def test_every_row_has_its_verdict() -> None:
    baseline, dropout, softmax, fast = ablation_results.rows(make(), ALL)
    assert (baseline.effect, baseline.verdict, baseline.mean) == (None, "", pytest.approx(0.51))
    assert (dropout.verdict, dropout.effect.needed_repeats) == (paired_effect.HELPS, None)
    assert softmax.verdict == paired_effect.NOT_SHOWN
    assert softmax.effect == paired_effect.effect([0.50, 0.53, 0.49], [0.50, 0.52, 0.51], 3)
    assert fast.verdict == ablation_results.FAILS  # although the two that ended are far ahead
    assert fast.effect.difference == pytest.approx(0.385)
    assert dropout.by_class == {"car": {0: 0.7, 1: pytest.approx(0.721), 2: pytest.approx(0.711)}}


def test_the_files_say_what_the_rows_say(tmp_path) -> None:
    found = ablation_results.rows(make(), ALL)
    ablation_results.write(tmp_path, make(), found)
    table = list(csv.DictReader(io.StringIO((tmp_path / ablation_results.TABLE_FILE).read_text())))
    assert [row["verdict"] for row in table] == ["", "helps", "no effect shown", "fails"]
    assert table[1]["seed 1"] == "0.621"
    assert (table[3]["seed 0"], table[3]["failed"]) == ("", "DivergedError: not finite")
    assert (float(table[1]["car"]), table[1]["person"]) == (pytest.approx(0.71067, abs=1e-4), "")
    values = json.loads((tmp_path / ablation_results.JSON_FILE).read_text())
    assert values["seeds"] == [0, 1, 2]
    assert values["correction"] == "Bonferroni, 3 comparisons, level 0.95"
    assert values["variants"][1]["settings"] == {"model.dropout_rate": 0.2}


def test_one_repeat_has_no_interval_and_says_so() -> None:
    study = make(repeats=1)
    found = ablation_results.rows(study, train(BASELINE, 0.5) + train("dropout", 0.6))
    assert ablation_results.printed(found[1]) == ["dropout", "0.600", "+0.100", None, None, None]
    texts = ablation_results.conclusions(study, found)
    assert texts[0].startswith("One repeat has no interval and no verdict")
    assert "2 trainings are still to come" in texts[-1]


def test_the_figures_are_drawn_whatever_is_missing(tmp_path) -> None:
    ablation_plots.write(tmp_path, make(), ablation_results.rows(make(), ALL))
    for name in (ablation_plots.LOSS_FILE, ablation_plots.SCORES_FILE):
        assert len(Image.open(tmp_path / name).convert("L").getcolors()) > 20
    width = Image.open(tmp_path / ablation_plots.SCORES_FILE).width
    one = make(class_names=("car",))
    assert len(ablation_plots.score_bars(one, ablation_results.rows(one, BASE[:1]))) > 1000
    many = make(class_names=tuple(f"class {number}" for number in range(30)))
    with_many = [Training(BASELINE, 0, (1.0,), {"AP50": 0.5} | {f"AP50/{name}": 0.5 for name in many.class_names})]
    picture = Image.open(io.BytesIO(ablation_plots.score_bars(many, ablation_results.rows(many, with_many))))
    assert width < picture.width < 4000


def test_no_figure_is_drawn_where_every_training_failed(tmp_path) -> None:
    ablation_plots.write(tmp_path, make(), ablation_results.rows(make(), train(BASELINE, None)))
    assert not list(tmp_path.iterdir())


def test_scores_of_0_are_drawn_and_said_to_tell_little(tmp_path) -> None:
    found = ablation_results.rows(make(), train(BASELINE, 0.0, 0.0) + train("dropout", 0.0, 0.0))
    ablation_plots.write(tmp_path, make(), found)
    assert (tmp_path / ablation_plots.SCORES_FILE).exists()
    assert any(
        "hardly learned anything (val mAP@.5 0.000)" in text for text in ablation_results.conclusions(make(), found)
    )
    assert found[1].verdict == paired_effect.NOT_SHOWN
