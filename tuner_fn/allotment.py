"""How the minutes of a run are shared between a search and the final training."""

import dataclasses
import math

from data.errors import UserError

LEAST_TRAININGS = 8  # whole trainings, below which a search cannot tell settings apart
LONGEST = 4  # times the epochs asked for, that a final training without a search may take
MARGIN = 1.2  # of the time for epochs beyond those asked for: a training is not cut, and the machine may get slower
AFTER_S = 90.0  # loading, export and checks
EVALUATING = 3.0  # times a validation of as many images: 1.1 were measured, and 2.2 beside a blessed model


@dataclasses.dataclass(frozen=True)
class Room:
    """What there is to share.

    Attributes:
        seconds: that are left for training.
        epoch_s: seconds of a trial's epoch, its share of validation included, positive.
        epochs: of the final training, at least 1.
        trial_epochs: of a whole trial, at most `epochs`.
        final_epochs: that the final training needs beside the winner's trial.
        trainings: whole trials that a search takes at most, where the time is a preset's: then it is not a limit, and
            the training asked for is never shortened. None where the time is the user's.
        slower: seconds of an epoch of the final training / those of a trial's: above 1 where trials have less of it.
        after_s: seconds of the run that come after the final training.
    """

    seconds: float
    epoch_s: float
    epochs: int
    trial_epochs: int
    final_epochs: int = 0
    trainings: int | None = None
    slower: float = 1.0
    after_s: float = AFTER_S

    @property
    def searching(self) -> int:
        """Epochs of trials that there is time for beside the final training; negative where even that has no room."""
        return math.floor((self.seconds / self.epoch_s) - self.slower * self.final_epochs)

    @property
    def training(self) -> int:
        """Epochs that there is time for where nothing is searched; those beyond `epochs` with `MARGIN`."""
        fitting = self.seconds / (self.slower * self.epoch_s)
        return int(max(min(fitting, self.epochs), min(fitting / MARGIN, LONGEST * self.epochs)))

    @property
    def least_s(self) -> float:
        """Seconds that there must be before anything is searched."""
        return (LEAST_TRAININGS * self.trial_epochs + self.slower * self.final_epochs) * self.epoch_s


@dataclasses.dataclass(frozen=True)
class Allotment:
    """What the minutes are spent on.

    Attributes:
        is_search: whether there is room for a search.
        epochs: of the search in all, one process at work; without a search, of the only training.
        epoch_s: seconds of an epoch, as measured.
        done: epochs of trials that an earlier start with another budget had trained, beside `epochs`.
        minutes: that this was decided for.
        processes: the most that trained trials at the same time.
    """

    is_search: bool
    epochs: int
    epoch_s: float
    done: int = 0
    minutes: float = math.inf
    processes: int = 1

    def search_epochs(self, repeated: int) -> int:
        """Returns the epochs of the trials, in all processes.

        Args:
            repeated: epochs that the finalists' further seeds still take.

        Raises:
            UserError: there are none.
        """
        if self.done:
            return self.done + self.processes * max(self.epochs - repeated, 0)
        if repeated >= self.epochs:
            raise UserError(
                f"`--repeats` takes {repeated} epochs for further seeds, and `--max_minutes` has room for"
                f" {self.epochs}, which leaves none to the search. Give more minutes or fewer repeats."
            )
        return self.processes * (self.epochs - repeated)

    def text(self, room: Room, max_minutes: float) -> str:
        """Says what is done with the time and why.

        Args:
            room: as `allot` got it.
            max_minutes: of the run.
        """
        whose = "" if room.trainings is None else "the preset's "
        time = f"{room.seconds / (room.epoch_s * room.trial_epochs):.1f} trainings of {room.trial_epochs} epochs"
        text = f"In {whose}{max_minutes:g} minutes there is time for {time}"
        if self.done:
            return f"{text} beside those that are there: the search continues with {self.epochs} epochs."
        if self.is_search:
            return f"{text}: a search of {self.epochs} epochs, whose winner is the final model."
        needed = math.ceil((room.least_s + room.after_s) / 60.0)
        return (
            f"{text}; a search needs {LEAST_TRAININGS} (--max_minutes={needed} here). So the settings stay as they are,"
            f" and the only training takes {self.epochs} epochs."
        )


def allot(room: Room, done: int = 0) -> Allotment:
    """Decides what the time is spent on.

    Args:
        room: what there is.
        done: epochs of trials that are there already.

    Returns:
        A search where `LEAST_TRAININGS` whole trials fit or trials are there; else one training, longer than asked for
        where there is time and, in a user's minutes, shorter where there is not.

    Raises:
        UserError: the time is the user's, and not even an epoch fits.
    """
    if done or room.searching >= LEAST_TRAININGS * room.trial_epochs:
        most = room.searching if room.trainings is None else min(room.searching, room.trainings * room.trial_epochs)
        return Allotment(True, max(most, 0), room.epoch_s, done)
    if room.trainings is not None:
        return Allotment(False, max(room.training, room.epochs), room.epoch_s)
    if room.training < 1:
        epoch_s = room.slower * room.epoch_s
        needed = math.ceil((epoch_s - room.seconds) / 60.0) + 1
        raise UserError(
            f"`--max_minutes` leaves no time to train: an epoch takes {epoch_s:.0f} s, evaluation and export about"
            f" {room.after_s:.0f} s. Give at least {needed} minutes more, or fewer images with --limit."
        )
    return Allotment(False, room.training, room.epoch_s)
