"""What the user sees of long work: a live line on a terminal, plain lines elsewhere, tables at the end."""

import contextlib
import dataclasses
import math
import os
import pathlib
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from data import progress
from pipeline.screen import logs, tables

_PLAIN_WIDTH = 100
# Without a terminal an epoch is a line; the text stays readable with one in this many seconds.
_PLAIN_EVERY_S = 10.0
_INDENT = " " * 8


@contextlib.contextmanager
def open_display(verbosity: str = "progress", log_file: pathlib.Path | None = None) -> Iterator["Display"]:
    """Sends all chatter to the log and shows the progress of what happens meanwhile.

    Args:
        verbosity: one of `logs.VERBOSITIES`; beside the log ("info", "debug") there is no live line.
        log_file: as `logs.capture_output` takes it.

    Yields:
        The display to print results with.

    Raises:
        failures.CommandFailedError: as `logs.capture_output` does.
    """
    with logs.capture_output(log_file, verbosity) as capture:
        terminal = capture.terminal
        live = verbosity == "progress" and terminal.isatty()
        with Display(make_console(terminal), live=live) as display, progress.listen(display.handle):
            yield display


class _Console(Console):
    """A console that passes on that its reader has gone, where Rich would end the process."""

    def on_broken_pipe(self) -> None:
        """Raises `BrokenPipeError`."""
        self.quiet = True
        raise BrokenPipeError


def make_console(stream: TextIO) -> Console:
    """Makes a console on a stream, without colours and control characters unless that is a terminal."""
    return _Console(file=stream, highlight=False, markup=False, emoji=False, width=_width(stream))


def _width(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or _PLAIN_WIDTH
    except (OSError, ValueError):
        return _PLAIN_WIDTH


@dataclasses.dataclass
class _Pace:
    """How fast epochs go, to tell how long the rest takes."""

    epochs: int
    started_s: float
    ends_s: float = math.inf
    done: int = 0

    def left_s(self, now_s: float) -> float | None:
        """Returns the seconds left, up to the end of the minutes; None before the first epoch and after the last."""
        if not 0 < self.done < self.epochs:
            return None
        left_s = (now_s - self.started_s) / self.done * (self.epochs - self.done)
        return min(left_s, max(0.0, self.ends_s - now_s))


class Display:
    """Shows progress events and results; a context manager, because the live line must go in the end."""

    def __init__(self, console: Console, *, live: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepares the display.

        Args:
            console: where to print.
            live: keep one line that changes in place; only on a terminal.
            clock: seconds that never go back.
        """
        self.console = console
        self._clock = clock
        self._lock = threading.RLock()
        self._component: dict[str, Any] | None = None
        self._component_started_s = 0.0
        self._trial: dict[str, Any] = {}
        self._best: float | None = None
        self._epoch = ""
        self._notes: set[str] = set()
        self._pace: _Pace | None = None
        self._last_plain_s, self._last_plain = -_PLAIN_EVERY_S, ""
        self._spinner = Spinner("line" if not console.encoding.startswith("utf") else "dots")
        self._live = (
            Live(
                get_renderable=self._live_line,
                console=console,
                refresh_per_second=5,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            if live and not console.is_dumb_terminal
            else None
        )

    def __enter__(self) -> "Display":
        """Starts the live line."""
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Takes the live line away."""
        if self._live:
            self._live.stop()

    def note(self, text: str) -> None:
        """Prints one plain line."""
        self._print(text)

    def print_table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], **style: Any) -> None:
        """Prints a table; cells are str, int, float or None, `style` as of `tables.table`."""
        self.console.print(tables.table(title, columns, rows, **style))

    def print_metrics(self, metrics: Mapping[str, float], title: str) -> None:
        """Prints COCO's numbers and AP by class; `title` says dataset, split, images and resolution."""
        for table in tables.metrics_tables(metrics, title):
            self.console.print(table)

    def print_formats(self, report: Mapping[str, Any]) -> None:
        """Prints an export's report: `models.export.formats.ExportReport.to_dict` with `dataset` and `split`."""
        over = f"{report['dataset']}, split {report['split']}, {report['num_images']} images"
        table, left_out = tables.formats_table(report["formats"], f"Formats: {over}")
        if report["num_images"]:
            self.console.print(table)
            self._print("Time is the median for one decoded image on one CPU thread; without _nms a file leaves the")
            self._print("suppression to its caller. Peak memory is what loading and one run add to a fresh process.")
        for sentence in left_out:
            self._print(sentence)

    def print_leaderboard(self, rows: Sequence[Mapping[str, Any]], objective: str) -> None:
        """Prints the trials of a search; rows and objective as `tables.leaderboard_table` takes them."""
        table, left_out = tables.leaderboard_table(rows, objective, self.console.width)
        self.console.print(table)
        if left_out:
            self._print(left_out)

    def print_front(self, rows: Sequence[Mapping[str, Any]], cost: str, objective: str) -> None:
        """Prints the front of score and a cost, as `tables.front_table` takes them."""
        self.console.print(tables.front_table(rows, cost, objective))

    def print_facts(self, facts: Mapping[str, str]) -> None:
        """Prints names and texts in two columns; a text is never cut, so that it can be copied."""
        width = max(map(len, facts), default=0)
        for name, text in facts.items():
            self._print(f"{name:<{width}}  {text}")

    def handle(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Shows one event of `data.progress`; kinds that it does not know are left out."""
        with self._lock:
            handler = getattr(self, f"_on_{kind}", None)
            if handler is not None:
                handler(fields)

    def _on_note(self, fields: Mapping[str, Any]) -> None:
        if fields["text"] not in self._notes:  # a run opens its dataset more than once
            self._notes.add(fields["text"])
            self._print(f"{_INDENT}{fields['text']}")

    def _on_component(self, fields: Mapping[str, Any]) -> None:
        state, counter = fields["state"], f"[{fields['index']}/{fields['total']}]"
        if state == "started":
            self._component, self._component_started_s = dict(fields), self._clock()
            self._trial, self._epoch, self._pace, self._best = {}, "", None, None
            self._last_plain_s = self._clock()
            if not self._live:
                self._print(f"{counter:<7} {fields['name']} ...")
            return
        self._component, self._epoch, self._pace = None, "", None
        took = f" in {tables.format_seconds(fields['seconds'])}" if fields.get("seconds") is not None else ""
        outcome = "from the cache" if state == "cached" else f"{state}{took}"
        self._print(f"{counter:<7} {fields['name']}: {outcome}")

    def _on_plan(self, fields: Mapping[str, Any]) -> None:
        trials, epochs, done = fields.get("trials"), fields.get("epochs"), fields.get("done_epochs") or 0
        if epochs:
            now_s, limit_s = self._clock(), fields.get("limit_s")
            self._pace = _Pace(epochs - done, now_s, math.inf if limit_s is None else now_s + limit_s)
        self._best = fields.get("best")
        sizes = [f"{n} {word}{'' if n == 1 else 's'}" for n, word in ((trials, "trial"), (epochs, "epoch")) if n]
        text = f"at most {', '.join(sizes)} in all" if sizes else "no limit of trials or epochs"
        if done:
            text += f", {done} done before"
        if fields.get("seconds"):
            text += f"; about {tables.format_seconds(fields['seconds'])} by the first steps"
        self._print(f"{_INDENT}plan: {text}")

    def _on_trial(self, fields: Mapping[str, Any]) -> None:
        self._trial, self._epoch = dict(fields), ""
        if fields["state"] == "started":
            return
        head = f"{_INDENT}trial {_of(fields['number'], fields.get('total'))}"
        if fields["state"] == "failed":
            self._print(f"{head}  failed: {fields.get('reason') or 'no reason given'}")
        else:
            score = fields.get("score")
            if score is not None and score == score:
                self._best = score if self._best is None else max(self._best, score)
            best = f"  best so far {_fixed(self._best)}"
            left = "" if self._live else self._time_left("  ")
            reason = f"  {fields['reason']}" if fields.get("reason") else ""
            self._print(f"{head}  val {fields.get('objective', 'mAP')} {_fixed(score)}{reason}{best}{left}")
        self._print_values(fields.get("hyperparameters") or {})

    def _on_epoch(self, fields: Mapping[str, Any]) -> None:
        if fields.get("stage") == "train" and self._pace is None:
            # The first epoch has just ended: it began with the component, tracing included.
            self._pace = _Pace(fields["epochs"], self._component_started_s or self._clock())
        if self._pace:
            self._pace.done += 1
        if fields.get("number"):  # several trials may be trained at a time
            self._trial |= {"number": fields["number"], "state": "started"}
        parts = [f"epoch {_of(fields['epoch'], fields.get('epochs'))}"]
        formats = {"loss": "loss {:.3f}", "map": "val mAP {:.3f}", "map50": "@.5 {:.3f}"}
        formats["images_per_s"] = "{:.0f} images/s"
        for name, form in formats.items():
            if fields.get(name) is not None:
                parts.append(form.format(fields[name]))
        self._epoch = "  ".join(parts)
        last = fields["epoch"] == fields.get("epochs") and fields.get("stage") == "train"
        self._plain_now_and_then(f"{self._doing()}{self._time_left('  ')}", always=last)

    def _on_ingest(self, fields: Mapping[str, Any]) -> None:
        self._epoch = f"{_of(fields['done'], fields.get('total'))} images"
        self._plain_now_and_then(self._epoch, always=fields["done"] == fields.get("total"))

    def _on_sweep(self, fields: Mapping[str, Any]) -> None:
        where = f"repeat {_of(fields['repeat'], fields['repeats'])}  step {_of(fields['step'], fields['steps'])}"
        self._epoch = f"{where}  learning rate {fields['learning_rate']:.1e}  loss {fields['loss']:.3f}"
        self._plain_now_and_then(self._epoch, always=fields["step"] == fields["steps"])

    def _plain_now_and_then(self, text: str, *, always: bool = False) -> None:
        if self._live or text == self._last_plain:
            return
        now = self._clock()
        if always or now - self._last_plain_s >= _PLAIN_EVERY_S:
            self._last_plain_s, self._last_plain = now, text
            self._print(f"{_INDENT}{text}")

    def _doing(self) -> str:
        trial = self._trial
        where = f"trial {_of(trial['number'], trial.get('total'))}" if trial.get("state") == "started" else ""
        return "  ".join(filter(None, [where, self._epoch]))

    def _time_left(self, before: str = "") -> str:
        left = self._pace.left_s(self._clock()) if self._pace else None
        return "" if left is None else f"{before}about {tables.format_seconds(left)} left"

    def _live_line(self) -> RenderableType:
        """Builds the line that changes in place, with a bar below it while epochs are counted."""
        self.console.width = _width(self.console.file)
        component = self._component
        if component is None and not self._epoch:
            return Text("")
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=1)
        grid.add_column(no_wrap=True, overflow="ellipsis")
        parts = [self._doing()]
        if component is not None:
            elapsed = tables.format_seconds(self._clock() - self._component_started_s)
            parts = [f"[{component['index']}/{component['total']}] {component['name']}", *parts, elapsed]
        grid.add_row(self._spinner, tables.clean("  ".join(filter(None, parts))))
        if self._pace:
            bar = Table.grid(padding=(0, 1))
            count = f"{self._pace.done}/{self._pace.epochs} epochs{self._time_left('  ')}"
            bar.add_row(ProgressBar(self._pace.epochs, self._pace.done, width=40), tables.clean(count))
            grid.add_row("", bar)
        return grid

    def _print_values(self, hyperparameters: Mapping[str, Any]) -> None:
        pairs = hyperparameters.items()
        text = " ".join(f"{name.rpartition('.')[2]}={tables.format_value(value)}" for name, value in pairs)
        indent = f"{_INDENT}  "
        for line in textwrap.wrap(
            text, self.console.width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
        ):
            self._print(line)

    def _print(self, text: str) -> None:
        self.console.print(tables.clean(text), soft_wrap=True)


def _of(number: Any, total: Any) -> str:
    return f"{number}/{total}" if total else f"{number}"


def _fixed(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.3f}"
