"""Learning rates step by step."""

import dataclasses

import pytest

from models.hyperparameters import OptimizerConfig
from models.training.schedules import LiveSchedule


def rates(kind: str, steps: int, total_steps: int = 10, staircase: bool = False, **settings) -> list[float]:
    """Lists the rates of the first steps."""
    schedule = LiveSchedule()
    plain = OptimizerConfig(schedule=kind, staircase=staircase, warmup_fraction=0.0, learning_rate=0.8)
    schedule.configure(dataclasses.replace(plain, **settings), total_steps)
    return [float(schedule(step)) for step in range(steps)]


def test_cosine_by_hand() -> None:
    """Warm-up over two of ten steps, half the peak half way through the rest, near zero at the end."""
    found = rates("cosine", 11, warmup_fraction=0.2)
    assert found[:3] == pytest.approx([0.4, 0.8, 0.8])
    assert found[6] == pytest.approx(0.4)
    assert found[10] == pytest.approx(0.0, abs=1e-6)


def test_cosine_ends_at_the_final_fraction() -> None:
    assert rates("cosine", 13, final_fraction=0.25)[10:] == pytest.approx([0.2, 0.2, 0.2])


def test_constant_stays_at_the_peak() -> None:
    assert rates("constant", 5, 3) == pytest.approx([0.8] * 5)


def test_exponential_by_hand() -> None:
    """Half after each four steps: smoothly, or in jumps."""
    smooth = rates("exponential", 9, decay_steps=4, decay_factor=0.5)
    assert smooth[::4] == pytest.approx([0.8, 0.4, 0.2])
    assert smooth[2] == pytest.approx(0.8 * 0.5**0.5)
    jumps = rates("exponential", 9, staircase=True, decay_steps=4, decay_factor=0.5)
    assert jumps == pytest.approx([0.8] * 4 + [0.4] * 4 + [0.2])


def test_cyclic_rises_and_falls_in_straight_lines() -> None:
    """From a quarter of the peak to the peak in two steps and back, again and again."""
    found = rates("cyclic", 7, decay_steps=2, final_fraction=0.25)
    assert found == pytest.approx([0.2, 0.5, 0.8, 0.5, 0.2, 0.5, 0.8])
    assert rates("cyclic", 7, decay_steps=2, final_fraction=0.25, warmup_fraction=0.5) == found


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(ValueError, match="must be constant, exponential, cosine or cyclic: got 'step'"):
        rates("step", 1)
