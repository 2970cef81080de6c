"""Learning curves: of the trials, with the rungs at which they paused, and of the final training."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.report import page_parts
from pipeline.report.contents import Contents
from pipeline.report.page_parts import Plot, Section

TITLE = "Learning curves"
_NUM_NAMED = 6  # trials with a colour; the others are grey
_MOST_RUNGS = 12
Line = tuple[str, Sequence[tuple[int, float]]]  # trial id, (epoch, score)


def make(run: Contents) -> Section:
    """Makes the section."""
    lines, found = of_trials(run), []
    if lines:
        caption = f"Trials: val {run.objective_text} by epoch. Dotted lines are rungs, at which trials paused or ended."
        found.append(Plot(_trials_plot(lines, rungs(run), run), caption))
    if run.history:
        found.append(Plot(_score_plot(run), f"Final training: val {run.objective_text} by epoch"))
        found.append(Plot(_loss_plot(run.history), "Final training: total loss and learning rate by epoch"))
    lacking = [] if lines else ["no trial has been validated yet"]
    lacking += [] if run.history else ["the final training has not ended"]
    return Section(TITLE, found, f"{'; '.join(lacking)}.".capitalize() if lacking else "")


def of_trials(run: Contents) -> list[Line]:
    """Lists the curves of the trials that no other one continued from, the best first.

    A trial's curve begins with those it continued from.
    """
    parents = {trial.parent for trial in run.trials.values()}
    order = {row["trial"]: number for number, row in enumerate(run.rows)}
    found = [(name, trial.curve) for name, trial in run.trials.items() if trial.curve and name not in parents]
    return sorted(found, key=lambda line: order.get(line[0], len(order)))


def rungs(run: Contents) -> list[int]:
    """Lists the epochs at which at least two trials ended, or one that another continued from."""
    parents = {trial.parent for trial in run.trials.values()}
    ends = [trial.curve[-1][0] for trial in run.trials.values() if trial.curve]
    ends += [trial.curve[-1][0] for name, trial in run.trials.items() if trial.curve and name in parents]
    return sorted({end for end in ends if ends.count(end) > 1})[:_MOST_RUNGS]


def _trials_plot(lines: Sequence[Line], rung_epochs: Sequence[int], run: Contents) -> dict[str, Any]:
    named, others = lines[:_NUM_NAMED], lines[_NUM_NAMED:]
    traces = []
    if others:
        xs, ys, texts = [], [], []
        for name, curve in others:
            xs += [*(epoch for epoch, _ in curve), None]
            ys += [*page_parts.numbers([score for _, score in curve]), None]
            texts += [f"trial {page_parts.label(name)}"] * (len(curve) + 1)
        grey = {"color": page_parts.GREY, "width": 1}
        traces.append(_trace(xs, ys, f"{len(others)} others") | {"line": grey, "text": texts, "marker": {"size": 4}})
        traces[-1]["hovertemplate"] = "%{text}, epoch %{x}: %{y:.3f}<extra></extra>"
    # The best is drawn last, on top of the others, and named first.
    for rank, (name, curve) in reversed([*enumerate(named)]):
        scores = page_parts.numbers([score for _, score in curve])
        traces.append(_trace([epoch for epoch, _ in curve], scores, f"trial {page_parts.label(name)}"))
        traces[-1]["line"] = {"color": page_parts.COLOURS[rank], "width": 3 if rank == 0 else 2}
    lines_of_rungs = [
        {
            "type": "line",
            "x0": epoch,
            "x1": epoch,
            "yref": "paper",
            "y0": 0,
            "y1": 1,
            "line": {"dash": "dot", "color": "#999", "width": 1},
        }
        for epoch in rung_epochs
    ]
    legend = {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0, "traceorder": "reversed"}
    y = {"title": {"text": f"val {page_parts.label(run.objective_text)}"}, "rangemode": "tozero"}
    return page_parts.figure(
        traces, x={"title": {"text": "epoch"}, "rangemode": "tozero"}, y=y, shapes=lines_of_rungs, legend=legend
    )


def _score_plot(run: Contents) -> dict[str, Any]:
    validated = [one for one in run.history if one.get(run.objective) is not None]
    traces = [_of_history(validated, run.objective, f"all classes ({page_parts.label(run.objective_text)})", 0)]
    traces[0]["line"] = {"color": "#111", "width": 3}
    prefix = f"{run.objective}/"
    names = [name for name in (validated[-1] if validated else {}) if name.startswith(prefix)]
    traces += [
        _of_history(validated, name, page_parts.label(name.removeprefix(prefix)), number)
        for number, name in enumerate(names)
    ]
    return page_parts.figure(traces, x="epoch", y={"title": {"text": "AP on val"}, "rangemode": "tozero"})


def _loss_plot(history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    rate = _of_history(history, "learning_rate", "learning rate", 1) | {"yaxis": "y2"}
    right = {
        "title": {"text": "learning rate"},
        "overlaying": "y",
        "side": "right",
        "showgrid": False,
        "exponentformat": "e",
    }
    return page_parts.figure(
        [_of_history(history, "loss", "loss", 0), rate],
        x="epoch",
        y={"title": {"text": "loss"}, "rangemode": "tozero"},
        yaxis2=right | {"rangemode": "tozero", "automargin": True},
        margin={"l": 60, "r": 70, "t": 16, "b": 48},
    )


def _of_history(history: Sequence[Mapping[str, Any]], name: str, text: str, colour: int) -> dict[str, Any]:
    trace = _trace([int(one["epoch"]) for one in history], page_parts.numbers([one.get(name) for one in history]), text)
    return trace | {"line": {"color": page_parts.COLOURS[colour % len(page_parts.COLOURS)], "width": 2}}


def _trace(xs: Sequence[Any], ys: Sequence[Any], name: str) -> dict[str, Any]:
    return {"x": xs, "y": ys, "name": name, "type": "scatter", "mode": "lines+markers", "marker": {"size": 6}}
