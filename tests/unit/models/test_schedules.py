"""Learning rates step by step."""

import pytest

from models.schedules import LiveSchedule


def rates(kind: str, steps: int, **settings) -> list[float]:
    schedule = LiveSchedule(kind)
    schedule.configure(**settings)
    return [float(schedule(step)) for step in range(steps)]


def test_cosine_by_hand() -> None:
    """Warm-up over two of ten steps, half the peak half way through the rest, near zero at the end."""
    found = rates("cosine", 11, peak=0.8, warmup_fraction=0.2, total_steps=10)
    assert found[:3] == pytest.approx([0.4, 0.8, 0.8])
    assert found[6] == pytest.approx(0.4)
    assert found[10] == pytest.approx(0.0, abs=1e-6)


def test_constant_stays_at_the_peak() -> None:
    assert rates("constant", 5, peak=0.5, warmup_fraction=0.0, total_steps=3) == pytest.approx([0.5] * 5)


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(ValueError, match="must be cosine or constant: got 'step'"):
        LiveSchedule("step")
