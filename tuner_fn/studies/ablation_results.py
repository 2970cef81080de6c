"""What an ablation shows: a row for each variant, and the files."""

import csv
import dataclasses
import io
import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from data import files
from tuner_fn import objectives
from tuner_fn.studies import paired_effect
from tuner_fn.studies.ablation import Ablation, Training
from tuner_fn.studies.variants import BASELINE

JSON_FILE, TABLE_FILE = "ablation.json", "ablation.csv"
FAILS = "fails"
_NO_SIGNAL = 0.01  # a score below it is that of a network that has hardly learned anything
COLUMNS = ("variant", "mean", "deviation", "difference", "low", "high", "p", "verdict", "needed repeats")
PRINTED = ("variant", "mean (sd)", "difference", "interval", "verdict", "needed")


@dataclasses.dataclass(frozen=True)
class Row:
    """What is known of the baseline or of a variant.

    Attributes:
        variant: its name.
        settings: {setting: value} that it changes.
        scores: {seed: metric} of the trainings that ended well.
        by_class: {class: {seed: metric of it}}; without the classes that val has no object of.
        losses: {seed: training loss of each epoch}.
        failed: {seed: reason} of the others.
        effect: against the baseline with the same seeds; None for the baseline, and where nothing ended well.
    """

    variant: str
    settings: Mapping[str, Any]
    scores: Mapping[int, float]
    by_class: Mapping[str, Mapping[int, float]]
    losses: Mapping[int, tuple[float, ...]]
    failed: Mapping[int, str]
    effect: paired_effect.Effect | None

    @property
    def mean(self) -> float | None:
        """Mean score of the seeds."""
        return statistics.mean(self.scores.values()) if self.scores else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the scores; None for fewer than two."""
        return statistics.stdev(self.scores.values()) if len(self.scores) > 1 else None

    @property
    def verdict(self) -> str:
        """The effect's verdict; `FAILS` where a training failed: the others alone would be a choice of the best."""
        if self.failed:
            return FAILS
        return "" if self.effect is None else self.effect.verdict


def rows(ablation: Ablation, trainings: Sequence[Training]) -> list[Row]:
    """Compares each variant with the baseline, by the trainings that there are.

    Args:
        ablation: what is compared; the correction is for all of its variants.
        trainings: as `ablation.read` returns, those of some may be missing.

    Returns:
        The baseline's row, then one for each variant that was begun.
    """
    changes = {BASELINE: {}} | {variant.name: variant.settings for variant in ablation.variants}
    by_variant = {name: [one for one in trainings if one.variant == name] for name in changes}
    baseline = _scores(ablation.metric, by_variant[BASELINE])
    found = []
    for name, own in by_variant.items():
        if not own:
            continue
        good = [one for one in own if not one.failed]
        scores = _scores(ablation.metric, good)
        pairs = [seed for seed in scores if seed in baseline]
        effect = None
        if name != BASELINE and pairs:
            own_scores, theirs = ([of[seed] for seed in pairs] for of in (scores, baseline))
            effect = paired_effect.effect(own_scores, theirs, len(ablation.variants))
        classes = {
            label: {
                one.seed: value for one in good if (value := one.metrics.get(f"{ablation.metric}/{label}")) is not None
            }
            for label in ablation.class_names
        }
        found.append(
            Row(
                variant=name,
                settings=changes[name],
                scores=scores,
                by_class={label: values for label, values in classes.items() if values},
                losses={one.seed: one.losses for one in good},
                failed={one.seed: one.failed for one in own if one.failed},
                effect=effect,
            )
        )
    return found


def cells(row: Row) -> list[Any]:
    """Returns a row's cells below `COLUMNS`, None where there is no number; what fails has no interval."""
    effect = row.effect
    cells = [row.variant, row.mean, row.deviation, None if effect is None else effect.difference]
    if effect is None or row.failed:
        return [*cells, None, None, None, row.verdict, None]
    return [*cells, effect.low, effect.high, effect.p_value, row.verdict, effect.needed_repeats]


def printed(row: Row) -> list[Any]:
    """Returns a row's cells below `PRINTED`: fewer and rounded, for the screen."""
    name, mean, deviation, difference, low, high, _, verdict, needed = cells(row)
    if mean is not None:
        mean = f"{mean:.3f}" + ("" if deviation is None else f" ({deviation:.3f})")
    interval = None if low is None else f"{low:+.3f} to {high:+.3f}"
    return [name, mean, None if difference is None else f"{difference:+.3f}", interval, verdict or None, needed]


def write(folder: pathlib.Path, ablation: Ablation, found: Sequence[Row]) -> None:
    """Writes `JSON_FILE` and `TABLE_FILE`.

    Args:
        folder: to write to.
        ablation: what was compared.
        found: as `rows` returns.
    """
    about = {
        "metric": ablation.metric,
        "split": "val",
        "repeats": ablation.repeats,
        "seeds": list(ablation.seeds),
        "epochs": ablation.baseline.training.epochs,
        "correction": f"Bonferroni, {len(ablation.variants)} comparisons, level {paired_effect.LEVEL}",
        "class_names": list(ablation.class_names),
        "baseline": ablation.baseline.to_dict(),
    }
    values = [dataclasses.asdict(row) | {"verdict": row.verdict} for row in found]
    files.write_json(folder / JSON_FILE, about | {"variants": values})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *(f"seed {seed}" for seed in ablation.seeds), *ablation.class_names, "failed"])
    for row in found:
        classes = [_mean(row.by_class.get(label, {})) for label in ablation.class_names]
        scores = [row.scores.get(seed) for seed in ablation.seeds]
        writer.writerow([*cells(row), *scores, *classes, "; ".join(dict.fromkeys(row.failed.values()))])
    files.write_text(folder / TABLE_FILE, text.getvalue())


def conclusions(ablation: Ablation, found: Sequence[Row]) -> list[str]:
    """Says in sentences what the table cannot: what is missing, what an interval is of, which trainings failed."""
    tests, name = len(ablation.variants), objectives.get(ablation.metric).text
    texts = [
        f"Difference: val {name} less the baseline's with the same seed, mean of the seeds. All intervals hold together"
        f" with {paired_effect.LEVEL:.0%} (Bonferroni, {tests} comparison{'' if tests == 1 else 's'}). They are about"
        " other seeds on these images."
    ]
    if ablation.repeats == 1:
        texts = ["One repeat has no interval and no verdict: a difference may be the seed's. Give --repeats=3 or more."]
    if found and found[0].mean is not None and found[0].mean < _NO_SIGNAL:
        texts.append(
            f"The {BASELINE} has hardly learned anything (val {name} {found[0].mean:.3f}), so differences say little."
            " More epochs (--epochs), pretrained weights or larger images (--set) would help."
        )
    if any(row.verdict == paired_effect.NOT_SHOWN for row in found):
        texts.append(
            f"Needed: repeats that would show a difference of the size seen with a chance of"
            f" {paired_effect.POWER:.0%}; - is more than {paired_effect.MOST_REPEATS}."
        )
    for row in found:
        for reason in dict.fromkeys(row.failed.values()):
            count = sum(one == reason for one in row.failed.values())
            texts.append(f"{row.variant}: {count} of {len(row.failed) + len(row.scores)} trainings failed: {reason}")
    missing = sum(1 for _ in ablation.trainings()) - sum(len({*row.failed, *row.scores}) for row in found)
    if missing:
        texts.append(f"{missing} trainings are still to come; the same command continues with them.")
    return texts


def _scores(metric: str, trainings: Sequence[Training]) -> dict[int, float]:
    """Returns {seed: score} of the trainings that ended well."""
    return {one.seed: value for one in trainings if not one.failed and (value := one.metrics.get(metric)) is not None}


def _mean(values: Mapping[int, float]) -> float | None:
    return statistics.mean(values.values()) if values else None
