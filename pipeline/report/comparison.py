"""Runs side by side: settings that differ, metrics with paired intervals, learning curves, cost."""

import dataclasses
import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from data import errors
from models.evaluation import coco, paired_bootstrap
from models.hyperparameters import ExperimentConfig
from pipeline.report import contents, overview, page_parts
from pipeline.report.contents import Contents
from pipeline.report.page_parts import Plot, Section, Table, Text
from pipeline.screen import tables
from tuner_fn import cost_limits, objectives

_METRICS = ("AP50", "AP", "AP75", "AP_small", "AP_medium", "AP_large")
_MOST_CLASSES = 12  # with an interval each
NUM_RESAMPLES = paired_bootstrap.NUM_RESAMPLES
_PAIRED = (
    "Differences are to the first run on the same test images, with the 95 % interval of a paired bootstrap over the"
    " images; it does not cover what another seed of the training would change."
)


@dataclasses.dataclass(frozen=True)
class Difference:
    """A metric of one run, and its difference to that of the first run.

    Attributes:
        metric: a name of `coco.coco_metrics`.
        run: name of the run.
        value: None where there is no ground truth, or no result.
        comparison: with the first run; None for that itself and where the images cannot be paired.
    """

    metric: str
    run: str
    value: float | None
    comparison: paired_bootstrap.Comparison | None


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Runs side by side, the first one being what the others are compared with.

    Attributes:
        names: of the runs, unique.
        runs: in the same order.
        settings: {setting: its value in each run}, those that differ.
        metrics: by metric and run.
        unpaired: {run: why it cannot be paired with the first one}.
        costs: {name: number of each run, None where it is not known}.
    """

    names: Sequence[str]
    runs: Sequence[Contents]
    settings: Mapping[str, Sequence[Any]]
    metrics: Sequence[Difference]
    unpaired: Mapping[str, str]
    costs: Mapping[str, Sequence[float | None]]

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as JSON values, the learning curves included."""
        differences = []
        for one in self.metrics:
            values = None if one.comparison is None else coco.to_json_numbers(dataclasses.asdict(one.comparison))
            differences.append({"metric": one.metric, "run": one.run, "value": one.value, "comparison": values})
        return {
            "runs": [
                {
                    "name": name,
                    "workdir": str(run.folder.root),
                    "dataset": None if run.dataset is None else run.dataset.spec,
                    "objective": run.objective,
                    "history": list(run.history),
                    "problems": list(run.problems),
                }
                for name, run in zip(self.names, self.runs, strict=True)
            ],
            "settings": dict(self.settings),
            "metrics": differences,
            "unpaired": dict(self.unpaired),
            "costs": dict(self.costs),
        }

    def tables(self) -> list[Table]:
        """Makes the tables that screen and page show."""
        settings = [(name, *map(_text, values)) for name, values in self.settings.items()]
        costs = [(name, *map(_number, values)) for name, values in self.costs.items()]
        found = [Table(("", *self.names), _facts(self.runs), "Runs"), self._metrics_table()]
        found.append(Table(("", *self.names), costs, "Cost"))
        if settings:
            found.append(Table(("setting", *self.names), settings, "Settings of the final model that differ"))
        return found

    def notes(self) -> list[str]:
        """Says how to read the tables, and what is missing."""
        paired = any(one.comparison is not None for one in self.metrics)
        lines = [_PAIRED] if paired else []
        lines += [f"{name} is not paired with {self.names[0]}: {reason}" for name, reason in self.unpaired.items()]
        if not self.settings and all(run.summary is not None for run in self.runs):
            lines.append("No setting of the final models differs.")
        more = len(_classes(self.runs)) - _MOST_CLASSES
        if more > 0:
            lines.append(f"{more} more classes have no row; `ssd-tuner evaluate` shows all of them.")
        for name, run in zip(self.names, self.runs, strict=True):
            if run.summary is None:
                lines.append(f"{name} has no final model yet.")
            if run.newer_search:
                lines.append(f"{name}: its folder holds a newer search, search/{run.newer_search}, which is left out")
        return lines + [
            f"{name}: {one}" for name, run in zip(self.names, self.runs, strict=True) for one in run.problems
        ]

    def sections(self) -> list[Section]:
        """Makes the sections of a page."""
        runs, metrics, costs, *settings = self.tables()
        notes = [Text(note) for note in self.notes()]
        return [
            Section("Runs", [dataclasses.replace(runs, caption=""), *notes]),
            Section("Metrics", [dataclasses.replace(metrics, caption="")]),
            Section("Settings", settings),
            _curves_section(self.names, self.runs),
            Section("Cost", [dataclasses.replace(costs, caption="")]),
        ]

    def _metrics_table(self) -> Table:
        texts = {key: name for key, name, _ in tables.COCO_ROWS}
        rows = {one.metric: [texts.get(one.metric, one.metric.replace("AP50/", "mAP@.5 "))] for one in self.metrics}
        for one in self.metrics:
            rows[one.metric].append(_with_interval(one))
        return Table(("test", *self.names), list(rows.values()), "Metrics on the test split")


def compare(roots: Sequence[pathlib.Path]) -> Comparison:
    """Compares runs with the first of them.

    Args:
        roots: run directories, at least two; none is changed.

    Returns:
        The comparison.

    Raises:
        UserError: fewer than two are named, one twice, or one is not a run.
    """
    if len(roots) < 2:
        raise errors.UserError(f"`compare` needs at least two run directories: got {len(roots)}.")
    if len({root.resolve() for root in roots}) < len(roots):
        raise errors.UserError("`compare` got a run directory twice. Name each once.")
    runs = [contents.read(root) for root in roots]
    names = [root.resolve().name for root in roots]
    names = names if len(set(names)) == len(names) else [str(root) for root in roots]
    unpaired = {name: reason for name, run in zip(names, runs, strict=True) if (reason := _unpaired(runs[0], run))}
    unpaired.pop(names[0], None)
    return Comparison(names, runs, settings(runs), metrics(names, runs, unpaired), unpaired, costs(runs))


def settings(runs: Sequence[Contents]) -> dict[str, list[Any]]:
    """Finds the settings of the final models that differ: {setting: its value in each run, None where not known}."""
    flat = [
        {} if run.summary is None or run.config is None else ExperimentConfig.from_dict(run.config).flat()
        for run in runs
    ]
    names = dict.fromkeys(name for one in flat for name in one)
    found = {name: [one.get(name) for one in flat] for name in names}
    return {name: values for name, values in found.items() if any(value != values[0] for value in values)}


def metrics(names: Sequence[str], runs: Sequence[Contents], unpaired: Mapping[str, str]) -> list[Difference]:
    """Lists the metrics of every run, each with its difference to the first run's where the images are the same."""
    known = [{} if run.summary is None else run.summary["metrics"] for run in runs]
    own = [run.summary["objective"] for run in runs if run.summary is not None]
    shown = dict.fromkeys((*own, *_METRICS, *_classes(runs)[:_MOST_CLASSES]))
    found = []
    for metric in [name for name in shown if any(name in one for one in known)]:
        for number, (name, run) in enumerate(zip(names, runs, strict=True)):
            pair = None
            value, first = known[number].get(metric), known[0].get(metric)
            is_known = value is not None and first is not None and number > 0 and name not in unpaired
            has_images = run.images is not None and runs[0].images is not None
            # A metric of a plug-in can be computed only where `--plugin` names that.
            if is_known and has_images and (metric in objectives.every() or metric not in own):
                pair = paired_bootstrap.compare(
                    run.images.results,
                    runs[0].images.results,
                    run.images.class_names,
                    metric,
                    num_resamples=NUM_RESAMPLES,
                )
            found.append(Difference(metric, name, value, pair))
    return found


def _classes(runs: Sequence[Contents]) -> list[str]:
    """Names the metric of each class that some run has."""
    known = [{} if run.summary is None else run.summary["metrics"] for run in runs]
    return [*dict.fromkeys(name for one in known for name in one if name.startswith("AP50/"))]


def costs(runs: Sequence[Contents]) -> dict[str, list[float | None]]:
    """Collects what each run cost, and what its model costs."""
    best = [next(iter(run.ranked), {}) for run in runs]
    trials_s = [sum(row["seconds"] or 0 for row in run.rows) if run.rows else None for run in runs]
    found: dict[str, list[float | None]] = {
        "minutes of the last start": [
            None if run.summary is None else sum(run.summary.get("seconds", {}).values()) / 60 for run in runs
        ],
        "minutes of the trials": [None if seconds is None else seconds / 60 for seconds in trials_s],
        "trials": [len(run.rows) or None for run in runs],
        "trials that failed": [
            sum(row["status"] == "failed" for row in run.rows) if run.rows else None for run in runs
        ],
        "epochs of the trials": [overview.trained_epochs(run) if run.rows else None for run in runs],
        "epochs of the final model": [len(run.history) or None for run in runs],
    }
    found |= {unit: [row.get(name) for row in best] for name, unit in cost_limits.UNITS.items()}
    return {name: values for name, values in found.items() if any(value is not None for value in values)}


def _unpaired(first: Contents, other: Contents) -> str:
    """Says why two runs cannot be paired; "" where they can."""
    for run in (first, other):
        if run.images is None:
            return f"{run.folder.root.name} has kept no detections on test images."
    try:
        first.images.check_same_images(other.images)
    except errors.UserError as error:
        return str(error)
    return ""


def _facts(runs: Sequence[Contents]) -> list[tuple[str, ...]]:
    facts = [dict(overview.facts(run)) for run in runs]
    names = ("dataset", "images", "test result", "blessed", "search", "detector")
    return [(name, *(one.get(name, "-") for one in facts)) for name in names if any(name in one for one in facts)]


def _with_interval(one: Difference) -> str:
    if one.value is None:
        return "-"
    pair = one.comparison
    if pair is None or math.isnan(pair.difference):
        return f"{one.value:.3f}"
    return f"{one.value:.3f} ({pair.difference:+.3f}, {pair.low:+.3f} to {pair.high:+.3f})"


def _curves_section(names: Sequence[str], runs: Sequence[Contents]) -> Section:
    traces = []
    for number, (name, run) in enumerate(zip(names, runs, strict=True)):
        validated = [one for one in run.history if one.get(run.objective) is not None]
        if validated:
            trace: dict[str, Any] = {
                "x": [int(one["epoch"]) for one in validated],
                "type": "scatter",
                "mode": "lines+markers",
            }
            trace["y"] = page_parts.numbers([one[run.objective] for one in validated])
            trace["name"] = page_parts.label(f"{name}: {run.objective_text}")
            trace["line"] = {"color": page_parts.COLOURS[number % len(page_parts.COLOURS)], "width": 2}
            traces.append(trace)
    title = "Learning curves"
    if not traces:
        return Section(title, missing="No final training has ended.")
    y = {"title": {"text": "score on val"}, "rangemode": "tozero"}
    figure = page_parts.figure(traces, x={"title": {"text": "epoch"}, "rangemode": "tozero"}, y=y)
    return Section(title, [Plot(figure, "Final trainings: score on val by epoch")])


def _number(value: float | None) -> Any:
    return None if value is None else f"{value:,.0f}" if value == int(value) else tables.format_value(value, digits=3)


def _text(value: Any) -> str:
    return "-" if value is None else json.dumps(value)
