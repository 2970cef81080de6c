"""Summary: what was run, on which data, with which result, and what it cost."""

import datetime
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from models.evaluation import paired_bootstrap
from models.hyperparameters import ExperimentConfig
from pipeline.report.contents import Contents
from pipeline.report.page_parts import Section, Table, Text
from pipeline.screen import tables
from tuner_fn import objectives

TITLE = "Summary"
_NUM_RESAMPLES = 400  # the interval's ends are then known to a fifth of its half width


def make(run: Contents) -> Section:
    """Makes the section."""
    missing = ""
    if run.summary is None:
        missing = "This run has not ended: the page shows what there is so far, and nothing about the test images."
    elif run.newer_search:
        missing = f"This result is not from the newest search in the folder, search/{run.newer_search}."
    elif _is_older(run):
        missing = "A newer search has not ended. The test results are those of the run before it."
    parts: list[Any] = [Table(("", ""), [*facts(run)])]
    parts += [Text(problem) for problem in run.problems]
    return Section(TITLE, parts, missing)


def facts(run: Contents) -> Iterator[tuple[str, str]]:
    """Yields name and text of each fact that the run directory holds."""
    if run.dataset is not None:
        counts = ", ".join(f"{count:,} {split}" for split, count in run.dataset.num_examples.items())
        yield "dataset", run.dataset.spec
        yield "images", counts + (f"; {len(run.quarantine)} bad ones left out" if run.quarantine else "")
        yield "classes", ", ".join(run.dataset.class_names)
    if run.summary is not None:
        yield "test result", result(run)
        yield "blessed", f"{'yes' if run.summary['blessed'] else 'no'}: {'; '.join(run.summary['reasons'])}"
        yield "pushed model", run.summary.get("pushed_model") or "none"
    if run.config is not None:
        yield "detector", _detector(run.config)
    yield from _search(run)
    if run.summary is not None:
        yield "time", _times(run.summary)
    if "started" in run.invocation:
        started = datetime.datetime.fromisoformat(run.invocation["started"])
        yield "last start", f"{started:%Y-%m-%d %H:%M} ({run.invocation.get('system', '')})"


def result(run: Contents) -> str:
    """Words the objective on the test images, with the interval that other images would give."""
    value = run.summary["metrics"].get(run.summary["objective"])
    if value is None:
        return f"{run.objective_text} is not a number: the test split has nothing that it counts"
    text = f"{run.objective_text} {value:.3f} on {run.summary.get('num_test_images', 0):,} images"
    # A metric of a plug-in is known only where `--plugin` names that.
    if run.images is None or not run.images.results or run.summary["objective"] not in objectives.every():
        return text
    drawn = paired_bootstrap.resampled(
        run.images.results, run.images.class_names, run.summary["objective"], num_resamples=_NUM_RESAMPLES
    )
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return f"{text}; other test images of this kind would give {low:.3f} to {high:.3f} (95 % bootstrap interval)"


def _is_older(run: Contents) -> bool:
    """Whether the leaderboard has trials that the summary does not know."""
    known = {row["trial"] for row in run.summary.get("leaderboard", ())}
    return bool({row["trial"] for row in run.rows} - known)


def _detector(config: Any) -> str:
    values = ExperimentConfig.from_dict(config)
    model = values.model
    return f"{model.backbone}, width {model.alpha:g}, head {model.head}, input {values.input.shape_text} px"


def _search(run: Contents) -> Iterator[tuple[str, str]]:
    strategy = run.search.get("search", {}).get("strategy")
    if run.rows or run.trials:
        counts = Counter("finished" if row["rank"] else row["status"] for row in run.rows)
        counts["running"] = sum(trial.status == "RUNNING" for trial in run.trials.values())
        parts = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        yield "search", f"{strategy + ': ' if strategy else ''}{parts} of {max(len(run.rows), len(run.trials))} trials"
    if run.rows:
        own_s = sum(row["seconds"] or 0 for row in run.rows)
        yield "epochs", f"{trained_epochs(run):,} trained by the trials, in {tables.format_seconds(own_s)}"


def trained_epochs(run: Contents) -> int:
    """Counts the epochs that the trials trained; those of a trial that another one continued from count once."""
    epochs = {row["trial"]: int(row["epochs"] or 0) for row in run.rows}
    return sum(max(0, epochs[row["trial"]] - epochs.get(row.get("parent"), 0)) for row in run.rows)


def _times(summary: Any) -> str:
    seconds = summary.get("seconds", {})
    longest = sorted(seconds, key=seconds.get, reverse=True)[:3]
    parts = ", ".join(f"{name} {tables.format_seconds(seconds[name])}" for name in longest)
    cached = f"; {len(summary['cached'])} steps from the cache" if summary.get("cached") else ""
    return f"{tables.format_seconds(sum(seconds.values()))} in the last start ({parts}{cached})"
