"""The learning-rate range test: sweeps with several seeds, each kept, and the interval in which the loss falls."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from data import files, progress
from models.hyperparameters import ExperimentConfig
from models.training import rate_sweep
from tuner_fn import search_files
from tuner_fn.studies import rate_interval

EPOCHS = 2  # that all sweeps take together, where the user does not say how many steps
FEW_STEPS = 50  # of a sweep: with fewer the interval is rough
_MOST_STEPS, _LEAST_STEPS = 300, 10


@dataclasses.dataclass(frozen=True)
class RangeTest:
    """What is swept, on what.

    Attributes:
        config: all settings; `training.seed` is the first seed.
        low: first learning rate of each sweep.
        high: its last one.
        steps: of a sweep.
        repeats: sweeps, each with a seed of its own.
        class_names: in label order.
        train_files: GZIP TFRecord files.
        depends_on: what a sweep's losses depend on beside settings, as JSON values.
    """

    config: ExperimentConfig
    low: float
    high: float
    steps: int
    repeats: int
    class_names: tuple[str, ...]
    train_files: tuple[str, ...]
    depends_on: Mapping[str, Any]

    @property
    def seeds(self) -> range:
        """The seeds of the sweeps."""
        return range(self.config.training.seed, self.config.training.seed + self.repeats)

    @property
    def rates(self) -> list[float]:
        """The learning rates of a sweep."""
        return rate_sweep.rates(self.low, self.high, self.steps).tolist()


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A sweep that has ended.

    Attributes:
        seed: of weights, order and augmentation.
        losses: of each mini-batch, up to where it diverged.
        interval: in which the loss falls; None where it does not fall clearly.
    """

    seed: int
    losses: tuple[float, ...]
    interval: rate_interval.Interval | None


def num_steps(steps_per_epoch: int, repeats: int) -> int:
    """Counts the steps of a sweep with which all take `EPOCHS` epochs at most.

    Args:
        steps_per_epoch: of the training.
        repeats: number of sweeps.

    Returns:
        10 to 300; the 10 take longer than that where an epoch has a few steps only.
    """
    return min(_MOST_STEPS, max(_LEAST_STEPS, EPOCHS * steps_per_epoch // repeats))


def run(test: RangeTest, folder: pathlib.Path, sweep: Callable[..., list[float]] = rate_sweep.sweep) -> list[Sweep]:
    """Sweeps with each seed, unless that was done already.

    Args:
        test: what to sweep.
        folder: of the sweeps.
        sweep: as `rate_sweep.sweep`.

    Returns:
        One sweep a seed.
    """
    found = []
    for repeat, seed in enumerate(test.seeds, start=1):
        config = test.config.replace({"training.seed": seed})
        path = folder / f"{_key(test, config)}.json"
        losses = search_files.read(path, lambda saved: [float(loss) for loss in saved["losses"]])
        if losses is None:
            range_of = {"low": test.low, "high": test.high, "steps": test.steps}
            report = _reporter(test, repeat)
            losses = sweep(config, test.train_files, test.class_names, **range_of, on_step=report)
            files.write_json(path, {"seed": seed, **range_of, "losses": losses, "settings": config.to_dict()})
        found.append(Sweep(seed, tuple(losses), rate_interval.falling(test.rates, losses)))
    return found


def together(sweeps: Sequence[Sweep]) -> rate_interval.Repeated | None:
    """Joins the intervals of the sweeps that have one; None where none has."""
    intervals = [one.interval for one in sweeps if one.interval is not None]
    return rate_interval.together(intervals) if intervals else None


def conclusions(test: RangeTest, sweeps: Sequence[Sweep]) -> list[str]:
    """Says in sentences between which rates the loss falls, and how far that can be trusted."""
    found, texts = together(sweeps), []
    if found is not None:
        ends = (("from", found.interval.low, found.low_spread), ("up to", found.interval.high, found.high_spread))
        spread = [
            f"{word} {rate:.2g}" + ("" if times is None else f" (within a factor of {times:.2g} in the repeats)")
            for word, rate, times in ends
        ]
        texts.append(f"The loss falls at learning rates {' '.join(spread)}.")
        if test.repeats == 1:
            texts.append("One repeat does not tell how far that can be trusted. Give --repeats=3.")
        elif max(found.low_spread or 1.0, found.high_spread or 1.0) > rate_interval.WIDE_SPREAD:
            wide = f"a factor of {rate_interval.WIDE_SPREAD:g}"
            texts.append(f"The repeats differ by more than {wide}: more --steps would tell more.")
        if found.interval.is_cut_off:
            texts.append("It still falls at the highest rate. Raise --max_rate.")
    unclear = [str(one.seed) for one in sweeps if one.interval is None]
    if unclear:
        texts.append(f"It does not fall clearly with {len(unclear)} of {test.repeats} seeds: {', '.join(unclear)}.")
    if test.steps < FEW_STEPS:
        texts.append(f"{test.steps} steps a sweep are few; --steps=100 takes longer and tells more.")
    return texts


def _reporter(test: RangeTest, repeat: int) -> Callable[[int, float], None]:
    def report(step: int, loss: float) -> None:
        where = {"repeat": repeat, "repeats": test.repeats, "step": step, "steps": test.steps}
        progress.emit("sweep", **where, learning_rate=test.rates[step - 1], loss=loss)

    return report


def _key(test: RangeTest, config: ExperimentConfig) -> str:
    weights = config.model.weights_digests()
    parts = [config.to_dict(), test.low, test.high, test.steps, test.class_names, test.depends_on, weights]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
