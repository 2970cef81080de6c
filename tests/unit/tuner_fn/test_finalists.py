"""Who wins: the start, unless the search's best other configuration is better with the same seeds, and surely so."""

import json
import math
from collections.abc import Iterator

import numpy as np
import pytest

from tuner_fn import finalists, objectives
from tuner_fn.finalists import Decision, Finalists, judge

WHOLE = 4  # epochs
LUCKY = 0.2  # a gain that is more than seeds alone give


def row(trial: int, score: float | None, *, config: int | None = None, epochs: int = WHOLE, **others) -> dict:
    about = {"parent": None, "inherited": None, "status": "failed" if score is None else "completed"}
    about |= {"trial": str(trial), "score": score, "epochs": epochs, **others}
    return about | {"hyperparameters": {"rate": trial if config is None else config}}


def board(*rows: dict) -> list[dict]:
    """Ranks rows as `reporting.leaderboard` does."""
    ranked = sorted(rows, key=lambda one: (one["score"] is None, -(one["score"] or 0.0)))
    return [{"rank": None if one["score"] is None else n, **one} for n, one in enumerate(ranked, start=1)]


def make(tmp_path, repeats: int = 3, **settings) -> Finalists:
    return Finalists(tmp_path / "repeats.json", repeats, WHOLE, 7, **{"min_confidence": 0.8} | settings)


def one_by_one(known: Finalists, rows: list[dict]) -> Iterator[tuple[dict, int]]:
    """Yields what is missing, as one worker trains it."""
    while left := known.missing(rows):
        yield left[0]


def train(known: Finalists, rows: list[dict], score) -> list[tuple[str, int]]:
    """Trains what is missing by score(trial, seed); returns what was trained."""
    done = []
    for one, seed in one_by_one(known, rows):
        known.add(one["trial"], seed, score(one["trial"], seed))
        done.append((one["trial"], seed))
    return done


def winner(known: Finalists, rows: list[dict]) -> str:
    found = known.annotate(rows)
    ranked = [one for one in found if one["rank"]]
    assert [one["rank"] for one in ranked] == list(range(1, len(ranked) + 1))
    assert ranked == found[: len(ranked)]
    others = [one["score"] for one in ranked[1:]]
    assert others == sorted(others, reverse=True)
    return ranked[0]["trial"]


def test_equal_scores_are_no_gain_and_even_odds() -> None:
    for scores in ([0.5], [0.4, 0.5, 0.6]):
        gain, low, high, confidence, enough = judge(scores, scores, min_confidence=0.5001)
        assert (gain, confidence, enough) == (0.0, 0.5, False)
        assert low == pytest.approx(-high)
        assert high > 0.0


def test_a_consistent_gain_over_three_seeds_by_hand() -> None:
    """0.05 each: variance 4 * 0.0009 / 8, error 2 * 0.00045 / 3 = 0.0003; of the gain 25 / 28 are left."""
    gain, low, high, confidence, enough = judge([0.5] * 3, [0.55] * 3, min_confidence=0.99)
    assert gain == pytest.approx(0.05 * 25 / 28)
    assert (low, high) == pytest.approx((0.017723, 0.071563), abs=1e-6)  # 1.644854 deviations of 0.0163663
    assert confidence == pytest.approx(0.996812, abs=1e-6)  # the normal distribution at 2.727723
    assert enough
    assert judge([0.5] * 3, [0.52] * 3, min_confidence=0.8)[4]


def test_one_seed_and_a_small_gain_are_not_enough() -> None:
    """A seed alone changes a score by 0.03: of 0.02 one cannot tell, of 0.05 one can."""
    gain, *_, confidence, enough = judge([0.5], [0.52], min_confidence=0.8)
    assert gain == pytest.approx(0.02 * 25 / 43)  # error 0.0018 against the prior's 0.0025
    assert (confidence, enough) == (pytest.approx(0.6404, abs=1e-4), False)  # of 0.359441
    assert judge([0.5], [0.55], min_confidence=0.8)[4]


@pytest.mark.parametrize("image_error", [0.0, 0.02])
def test_the_gain_is_the_posteriors_of_a_grid(image_error) -> None:
    """Prior times likelihood on a grid, with the variance of the docstring's source."""
    start, other = [0.40, 0.47, 0.43], [0.46, 0.45, 0.50]
    squares = sum(np.var(scores) * 3 for scores in (start, other))
    error = 2 * (4 * 0.03**2 + squares) / (4 + 4) / 3 + image_error**2
    gains = np.linspace(-1.0, 1.0, 200_001)
    density = np.exp(-0.5 * gains**2 / 0.05**2 - 0.5 * (np.mean(other) - np.mean(start) - gains) ** 2 / error)
    density /= density.sum()
    gain, low, high, confidence, _ = judge(start, other, min_confidence=0.8, image_error=image_error)
    assert gain == pytest.approx((gains * density).sum(), abs=1e-6)
    assert confidence == pytest.approx(density[gains > 0].sum(), abs=1e-4)
    assert (low, high) == pytest.approx(np.interp([0.05, 0.95], np.cumsum(density), gains), abs=1e-4)


def test_the_other_way_round_the_odds_are_the_other_ones() -> None:
    one, other = [0.40, 0.47], [0.44, 0.49]
    gain, low, high, confidence, _ = judge(one, other, min_confidence=0.8)
    back = judge(other, one, min_confidence=0.8)
    assert back[:4] == pytest.approx((-gain, -high, -low, 1.0 - confidence))


def test_of_a_gain_the_less_is_left_the_less_is_known_of_it() -> None:
    few, many = (judge([0.4] * seeds, [0.5] * seeds, min_confidence=0.8)[0] for seeds in (1, 5))
    assert 0.0 < few < many < 0.1
    scattered = judge([0.3, 0.5], [0.4, 0.6], min_confidence=0.8)
    steady = judge([0.4, 0.4], [0.5, 0.5], min_confidence=0.8)
    assert scattered[0] < steady[0]
    assert scattered[2] - scattered[1] > steady[2] - steady[1]
    assert judge([0.4], [0.5], min_confidence=0.8, image_error=0.1)[0] < few


def test_the_start_stays_where_its_challenger_is_behind_and_that_gets_no_further_seed(tmp_path) -> None:
    rows = board(row(0, 0.5), row(1, 0.45), row(2, 0.3))
    known = make(tmp_path)
    assert known.missing(rows) == []
    assert winner(known, rows) == "0"
    found = known.decision(rows)
    assert (found.start, found.challenger, found.replaced, found.seeds) == ("0", "1", False, 1)
    assert found.confidence < 0.5


def test_the_trainings_to_come_are_counted_without_the_epochs_that_a_trial_has_had(tmp_path) -> None:
    rows = board(row(0, 0.4), row(1, 0.5, epochs=3))
    assert found_to_come(make(tmp_path, repeats=2), rows) == [("1", 1), ("0", WHOLE), ("1", WHOLE)]
    less = make(tmp_path, repeats=2, has_fidelity=True)  # trials have less data than these trainings
    assert found_to_come(less, rows) == [("0", WHOLE), ("1", WHOLE)] * 2
    inherited = board(row(0, 0.4), row(1, 0.5, epochs=3, inherited="0"))  # they begin from scratch
    heir = make(tmp_path, repeats=2, inherits=True)
    assert found_to_come(heir, inherited) == [("1", WHOLE), ("0", WHOLE), ("1", WHOLE)]


def found_to_come(known: Finalists, rows: list[dict]) -> list[tuple[str, int]]:
    return [(one["trial"], epochs) for one, epochs in known.to_come(rows)]


def test_a_challenger_that_is_better_but_not_surely_gets_further_seeds_until_it_is_decided(tmp_path) -> None:
    rows = board(row(0, 0.50), row(1, 0.53))
    known = make(tmp_path, repeats=1, further_seeds=2)
    assert known.is_undecided(rows)
    assert not known.decision(rows).replaced
    assert len(known.to_come(rows)) == 0  # no time is kept for them
    assert train(known, rows, lambda trial, seed: 0.5 + 0.04 * (trial == "1")) == [("0", 8), ("1", 8)]
    found = known.decision(rows)
    assert (found.replaced, found.seeds) == (True, 2)
    assert found.confidence > 0.8
    assert known.epochs_trained == 2 * WHOLE


def test_a_further_seed_that_fails_changes_nothing(tmp_path) -> None:
    rows = board(row(0, 0.50), row(1, 0.52))
    known = make(tmp_path, repeats=1, further_seeds=2)
    assert train(known, rows, lambda trial, seed: None if trial == "0" else 0.5) == [("0", 8), ("1", 8)]
    assert (known.decision(rows).seeds, known.decision(rows).replaced) == (1, False)
    assert winner(known, rows) == "0"


@pytest.mark.parametrize(
    ("gain", "seeds"),
    [(0.005, 5), (-0.06, 4)],  # undecided to the end; then behind, and no more is spent on it
)
def test_a_challenger_that_stays_undecided_or_falls_behind_is_not_taken(tmp_path, gain, seeds) -> None:
    rows = board(row(0, 0.50), row(1, 0.52))
    known = make(tmp_path, further_seeds=2)
    train(known, rows, lambda trial, seed: 0.5 + (gain if seed > 9 else 0.005) * (trial == "1"))
    found = known.decision(rows)
    assert (found.replaced, found.seeds) == (False, seeds)
    assert (found.confidence > 0.5) == (gain > 0)
    assert known.epochs_trained <= known.num_epochs + known.more_epochs


def test_a_challenger_that_is_better_with_every_seed_takes_the_place(tmp_path) -> None:
    rows = board(row(0, 0.4), row(1, 0.3), row(2, 0.42))
    known = make(tmp_path)
    trained = train(known, rows, lambda trial, seed: 0.40 + 0.01 * seed + LUCKY * (trial == "2"))
    assert trained == [("0", 8), ("2", 8), ("0", 9), ("2", 9)]  # the trials were trained with 7
    assert winner(known, rows) == "2"
    by_trial = {one["trial"]: one for one in known.annotate(rows)}
    assert by_trial["0"]["mean"] == pytest.approx((0.40 + 0.48 + 0.49) / 3)
    assert by_trial["2"]["spread"] == pytest.approx(np.std([0.42, 0.68, 0.69], ddof=1))
    assert [by_trial[trial]["seeds"] for trial in "012"] == [3, None, 3]
    assert [by_trial[trial]["confidence"] is None for trial in "012"] == [True, True, False]
    decision = known.decision(rows)
    assert decision == Decision(
        "0", "2", *judge([0.4, 0.48, 0.49], [0.42, 0.68, 0.69], min_confidence=0.8)[:4], True, 3
    )
    assert winner(make(tmp_path, min_confidence=0.9999), rows) == "0"  # it is not as sure as that


def test_before_all_seeds_are_there_nobody_takes_the_place(tmp_path) -> None:
    """Whatever the gain: a search that is read while it compares says what stands so far."""
    rows = board(row(0, 0.4), row(1, 0.4 + LUCKY))
    known = make(tmp_path)
    assert known.decision(rows).confidence > 0.99
    winners = []
    for one, seed in one_by_one(known, rows):
        winners.append(winner(known, rows))
        known.add(one["trial"], seed, 0.4 + LUCKY * (one["trial"] == "1"))
    assert winners == ["0"] * 4
    assert winner(known, rows) == "1"
    assert winner(make(tmp_path / "other", repeats=1), rows) == "1"  # the trials are all that was asked for


def test_a_challenger_that_falls_behind_later_is_trained_with_all_seeds(tmp_path) -> None:
    """Only the first seed ends the comparison: one bad seed of three does not undo a large gain."""
    rows = board(row(0, 0.4), row(1, 0.6))
    known = make(tmp_path)
    scores = {("0", 8): 0.42, ("1", 8): 0.41, ("0", 9): 0.40, ("1", 9): 0.65}
    assert train(known, rows, lambda trial, seed: scores[trial, seed]) == list(scores)
    assert winner(known, rows) == "1"


@pytest.mark.parametrize("failing", [8, 9])
def test_a_challenger_that_fails_with_a_seed_does_not_win(tmp_path, failing) -> None:
    rows = board(row(0, 0.4), row(1, 0.7), row(2, 0.3))
    known = make(tmp_path)
    trained = train(
        known, rows, lambda trial, seed: None if (trial, seed) == ("1", failing) else 0.4 + 0.3 * int(trial)
    )
    assert trained[-1] == ("1", failing)
    assert known.decision(rows) is None
    assert winner(known, rows) == "0"
    assert [one["mean"] for one in known.annotate(rows) if one["trial"] == "1"] == [None]


@pytest.mark.parametrize("scores", [(0.4, 0.7), (0.7, 0.4)])
def test_a_start_that_fails_with_a_seed_loses_to_the_best_of_the_others(tmp_path, scores) -> None:
    """With less data than the final training has, both are trained with the first seed, too, and the start fails."""
    rows = board(row(0, scores[0], epochs=2), row(3, scores[0], config=0), row(1, scores[1]), row(2, 0.3))
    known = make(tmp_path, has_fidelity=True)
    assert train(known, rows, lambda trial, seed: None if trial == "3" else 0.5) == [("3", 7), ("1", 7)]
    assert known.decision(rows) is None
    assert winner(known, rows) == "1"
    known.add("1", 7, None)  # it fails, too
    assert winner(known, rows) == "2"


def test_a_start_whose_trial_failed_loses_to_the_best(tmp_path) -> None:
    rows = board(row(0, None, epochs=None), row(1, 0.2), row(2, 0.3))
    known = make(tmp_path)
    assert known.missing(rows) == []
    assert known.decision(rows) is None
    assert winner(known, rows) == "2"


@pytest.mark.parametrize("rows", [board(row(0, 0.4)), board(row(0, 0.4), row(1, None, epochs=None))])
def test_a_start_alone_is_compared_with_nothing(tmp_path, rows) -> None:
    known = make(tmp_path)
    assert known.missing(rows) == known.trials(rows) == []
    assert known.decision(rows) is None
    assert winner(known, rows) == "0"


def test_a_comparison_that_is_killed_between_two_seeds_goes_on_with_the_next(tmp_path) -> None:
    rows = board(row(0, 0.4), row(1, 0.6))

    def score(trial: str, seed: int) -> float:
        return 0.4 + 0.01 * seed + LUCKY * (trial == "1")

    whole = make(tmp_path / "whole")
    expected = train(whole, rows, score)
    assert len(expected) == 4
    for cut in range(5):
        folder = tmp_path / str(cut)
        killed, done = make(folder), []
        for one, seed in one_by_one(killed, rows):
            if len(done) == cut:
                break  # nothing of the one that it was in was written
            killed.add(one["trial"], seed, score(one["trial"], seed))
            done.append((one["trial"], seed))
        resumed = make(folder)
        assert done + train(resumed, rows, score) == expected
        assert resumed.annotate(rows) == whole.annotate(rows)
        assert json.loads((folder / "repeats.json").read_text()) == whole.scores


def test_the_challenger_is_the_best_whole_training_where_there_is_one(tmp_path) -> None:
    known = make(tmp_path)
    short = board(row(0, 0.4), row(1, 0.9, epochs=2), row(2, 0.3, epochs=3))
    assert known.trials(short) == ["0", "1"]
    assert known.trials(board(*short, row(3, 0.2), row(4, 0.1))) == ["0", "3"]


def test_the_start_is_represented_by_its_longest_trial(tmp_path) -> None:
    rows = board(row(0, 0.45, epochs=2), row(1, 0.5), row(2, 0.4, config=0, parent="0"))
    assert make(tmp_path).trials(rows) == ["2", "1"]
    assert make(tmp_path).missing(rows)[0][0]["trial"] == "2"


@pytest.mark.parametrize("shorter", ["0", "1"])
def test_who_was_not_trained_in_full_is_trained_with_the_first_seed_too(tmp_path, shorter) -> None:
    epochs = {trial: WHOLE - (trial == shorter) for trial in "01"}
    rows = board(row(0, 0.4, epochs=epochs["0"]), row(1, 0.5, epochs=epochs["1"]))
    trained = train(make(tmp_path, repeats=2), rows, lambda trial, seed: float(trial))
    assert trained == [(shorter, 7), ("0", 8), ("1", 8)]


def test_inherited_weights_do_not_count_as_a_whole_training_nor_does_what_goes_on_from_them(tmp_path) -> None:
    """The start has nothing of the kind: it would be compared with more epochs than it had."""
    rows = board(row(0, 0.4), row(1, 0.5, epochs=2, inherited="0"), row(2, 0.6, config=1, parent="1"))
    assert finalists.heirs(rows) == {"1", "2"}
    known = make(tmp_path, repeats=1)
    assert train(known, rows, lambda trial, seed: 0.3) == [("2", 7)]
    assert winner(known, rows) == "0"


@pytest.mark.parametrize(("repeats", "epochs"), [(1, 0), (2, 2 * WHOLE), (3, 4 * WHOLE)])
def test_further_seeds_take_no_more_epochs_than_are_put_aside(tmp_path, repeats, epochs) -> None:
    known = make(tmp_path, repeats=repeats)
    trained = train(known, board(row(0, 0.4), row(1, 0.6)), lambda trial, seed: float(trial))
    assert len(trained) * WHOLE == known.num_epochs == epochs == finalists.epochs_needed(repeats, WHOLE)


@pytest.mark.parametrize(("repeats", "trainings"), [(1, 2), (2, 4)])
def test_trials_of_a_fidelity_leave_the_first_seed_to_be_trained_too(tmp_path, repeats, trainings) -> None:
    known = make(tmp_path, repeats=repeats, has_fidelity=True)
    trained = train(known, board(row(0, 0.4), row(1, 0.6)), lambda trial, seed: float(trial))
    assert len(trained) * WHOLE == known.num_epochs == trainings * WHOLE


@pytest.mark.parametrize(("repeats", "trainings"), [(1, 1), (2, 3)])
def test_of_inherited_weights_the_challenger_alone_is_trained_with_the_first_seed_too(
    tmp_path, repeats, trainings
) -> None:
    known = make(tmp_path, repeats=repeats, inherits=True)
    trained = train(known, board(row(0, 0.4), row(1, 0.6, inherited="0")), lambda trial, seed: float(trial))
    assert len(trained) * WHOLE == known.num_epochs == trainings * WHOLE


def test_a_score_that_is_no_number_takes_nobodys_place(tmp_path) -> None:
    """As of a val split without one box."""
    rows = board(row(0, math.nan), row(1, math.nan))
    known = make(tmp_path, repeats=1)
    assert not known.decision(rows).replaced
    assert winner(known, rows) == "0"


def test_the_end_says_what_was_found_and_whether_it_was_taken(tmp_path) -> None:
    rows = board(row(0, 0.4), row(1, 0.6))
    for confidence, verdict in ((0.8, ": taken"), (0.999999, ": not taken: the settings that the search began with")):
        known = make(tmp_path, repeats=1, min_confidence=confidence)
        said = finalists.describe(known.decision(rows), known.annotate(rows))
        assert said["search's best"] == "rate 0 -> 1"
        assert verdict in said["its gain"]
        assert "; 1 seed each)" in said["its gain"]
        assert said["began with"] == "the settings of trial 1"
    assert "kept" in finalists.describe(None, board(row(0, 0.4)))["began with"]
    assert "failed" in finalists.describe(None, board(row(0, None), row(1, 0.4)))["began with"]
    unknown = finalists.Decision("0", "99", 0.1, 0.0, 0.2, 0.9, True, 2)
    assert finalists.describe(unknown, board(row(0, 0.4), row(1, 0.5))) == {}  # the leaderboard is older
    cut = board(row(0, None) | {"status": "running"}, row(1, 0.4))
    assert "not trained to the end" in finalists.describe(None, cut)["began with"]
    assert finalists.describe(None, board(row(0, None))) == {}


def test_a_challenger_without_its_second_seed_is_not_taken_and_the_end_says_why(tmp_path) -> None:
    """It looks good enough: the reason is that the time was over."""
    rows, known = board(row(0, 0.4), row(1, 0.4 + LUCKY)), make(tmp_path, repeats=2)
    decision = known.decision(rows)
    assert (decision.replaced, decision.is_cut_short) == (False, True)
    assert decision.confidence > 0.8
    said = finalists.describe(decision, known.annotate(rows))["its gain"]
    assert ": not taken, because the search ended before both were trained with another seed: the settings" in said
    train(known, rows, lambda trial, seed: 0.4 + LUCKY * int(trial))
    assert (known.decision(rows).replaced, known.decision(rows).is_cut_short) == (True, False)
    poor = board(row(0, 0.4), row(1, 0.3))
    assert not make(tmp_path / "poor", repeats=2).decision(poor).is_cut_short


def test_gains_in_a_metric_of_half_the_scale_count_as_much_at_half_the_size(tmp_path) -> None:
    """mAP@[.5:.95] is about half of mAP@.5, and so are its differences."""
    start, challenger = [0.40, 0.44], [0.46, 0.48]
    halves = ([score / 2 for score in scores] for scores in (start, challenger))
    gain, low, high, *rest = judge(start, challenger, min_confidence=0.8, image_error=0.02)
    found = judge(*halves, min_confidence=0.8, image_error=0.01, scale=objectives.get("AP").scale)
    assert found == pytest.approx((gain / 2, low / 2, high / 2, *rest))
    assert objectives.get("AP50").scale == 1.0
    rows = board(row(0, 0.20), row(1, 0.22))
    confidences = [make(tmp_path, repeats=1, scale=scale).decision(rows).confidence for scale in (0.5, 1.0)]
    assert confidences[0] > confidences[1] > 0.5
