"""The order in which the trials of a parallel search begin and end, on disk before anything follows from it."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Sequence

from data import files, progress

FILE_NAME = "journal.jsonl"


@dataclasses.dataclass(frozen=True)
class Event:
    """What a proposal can depend on.

    Attributes:
        event: "start" or "end" of a trial.
        trial: its number.
    """

    event: str
    trial: str


class Journal:
    """The events of a search, one a line, each written and synced before it is acted on.

    A proposal follows from the seed and the trials that have begun and ended before it. With several workers that is a
    matter of luck; whoever has the journal can repeat it. What the journal says and the oracle does not know yet is to
    come, in this order, before anything else happens.

    Attributes:
        events: all, in their order.
        to_come: those of them that have not been acted on.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Reads the events, each once; what a power cut left of a line was not acted on, and is removed.

        A damaged file is renamed to end in ".damaged" and named in a note: the search continues, in any order.
        """
        self.path = pathlib.Path(path)
        self.events: list[Event] = []
        self.to_come: list[Event] = []
        if not self.path.exists():
            return
        text = self.path.read_text(encoding="utf-8", errors="replace")
        whole, _, torn = text.rpartition("\n")
        try:
            self.events = list(dict.fromkeys(Event(**json.loads(line)) for line in whole.splitlines()))
        except (ValueError, TypeError) as error:
            aside = self.path.with_name(f"{self.path.name}.damaged")
            self.path.replace(aside)
            text = f"{self.path} is damaged ({type(error).__name__}: {error}); set aside as {aside.name}."
            progress.emit("note", text=text)
            return
        if torn:
            os.truncate(self.path, len(f"{whole}\n".encode()) if whole else 0)

    def meet(self, started: Sequence[str], ended: Sequence[str]) -> None:
        """Compares with an oracle: finds what is to come, and adds what it did without the journal.

        Args:
            started: trials in the order of their starts.
            ended: trials in the order of their ends.
        """
        done = [Event("start", trial) for trial in started] + [Event("end", trial) for trial in ended]
        self.to_come = [event for event in self.events if event not in done]
        known = set(self.events)
        for trial in started:  # one after the other, as one worker trains
            for event in (Event("start", trial), Event("end", trial)):
                if event in done and event not in known:
                    self._append(event)

    def note(self, event: str, trial: str) -> None:
        """Writes an event that is about to be acted on; one that was to come, or was noted before, is there already.

        Raises:
            ValueError: another one was to come.
        """
        if not self.to_come:
            if Event(event, trial) not in self.events:
                self._append(Event(event, trial))
            return
        if self.to_come[0] != Event(event, trial):
            raise ValueError(f"`event` must be the next that is to come, {self.to_come[0]}: got {event} of {trial}.")
        self.to_come.pop(0)

    def forget(self) -> None:
        """Drops what is to come, which can no longer happen: the budget is smaller, or a trial's file was damaged."""
        self.events = [event for event in self.events if event not in self.to_come]
        self.to_come = []
        files.write_text(self.path, "".join(map(_line, self.events)))

    def ended_before(self, trial: str) -> list[str]:
        """Lists the trials that had ended when a trial started, in the order of their ends."""
        start = self.events.index(Event("start", trial))
        return [one.trial for one in self.events[:start] if one.event == "end"]

    def ends(self) -> list[str]:
        """Lists the trials that have ended, in the order of their ends."""
        return [one.trial for one in self.events if one.event == "end" and one not in self.to_come]

    def _append(self, event: Event) -> None:
        is_new = not self.path.exists()
        self.events.append(event)  # first: Ctrl-C may come once the line is written
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_line(event))
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            _sync_folder(self.path.parent)


def _line(event: Event) -> str:
    return json.dumps(dataclasses.asdict(event)) + "\n"


def _sync_folder(folder: pathlib.Path) -> None:
    """Makes a new file's name survive a power cut, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
