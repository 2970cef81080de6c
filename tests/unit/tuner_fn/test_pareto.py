"""The front of score and cost: cases drawn by hand, ties among them, and the definition itself."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner_fn import pareto


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([], []),
        ([(0.5, 3.0)], [0]),
        ([(0.5, 3.0), (0.4, 2.0), (0.3, 2.5), (0.6, 9.0)], [1, 0, 3]),  # the third costs more than the second
        ([(0.4, 1.0), (0.5, 1.0)], [1]),  # an equal cost: the better score
        ([(0.5, 2.0), (0.5, 1.0)], [1]),  # an equal score: the lower cost
        ([(0.5, 1.0), (0.4, 0.5), (0.5, 1.0)], [1, 0, 2]),  # equal in both: neither beats the other
        ([(0.0, 1.0), (0.0, 2.0), (0.0, 1.0)], [0, 2]),
    ],
)
def test_what_no_other_point_beats_is_on_the_front(points, expected) -> None:
    assert pareto.front(points) == expected


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=12))
def test_the_front_is_that_of_the_definition(points) -> None:
    """A grid this small is full of ties."""

    def beats(one, other) -> bool:
        return one != other and one[0] >= other[0] and one[1] <= other[1]

    expected = {index for index, point in enumerate(points) if not any(beats(other, point) for other in points)}
    found = pareto.front(points)
    assert set(found) == expected
    assert all(points[a][1] <= points[b][1] for a, b in itertools.pairwise(found))


def row(trial: str, score: float | None, epochs: int, cost: float | None, rate: float) -> dict:
    rank = None if score is None else 1
    about = {"rank": rank, "trial": trial, "score": score, "epochs": epochs, "latency_ms": cost}
    return about | {"hyperparameters": {"rate": rate}}


def test_a_configuration_counts_with_its_best_trial_and_failed_ones_not_at_all() -> None:
    rows = [
        row("0", 0.9, 2, 5.0, 0.1),  # continued, and became worse
        row("1", 0.6, 2, 6.0, 0.2),
        row("2", 0.5, 8, 5.0, 0.1),
        row("3", float("nan"), 2, 1.0, 0.3),
        row("4", 0.7, 2, None, 0.4),  # of a search that did not measure
        row("5", None, 2, 1.0, 0.5),
    ]
    assert [one["trial"] for one in pareto.candidates(rows, "latency_ms")] == ["0", "1"]
    assert [one["trial"] for one in pareto.front_rows(rows, "latency_ms")] == ["0"]
