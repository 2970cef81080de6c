"""How the minutes of a run are shared between a search and the final training."""

import dataclasses
import math

from data.errors import UserError

LEAST_TRAININGS = 8  # whole trainings, below which a search cannot tell settings apart
LONGEST = 4  # times the epochs asked for, that a final training without a search may take
AFTER_S = 90.0  # evaluation, export and checks


@dataclasses.dataclass(frozen=True)
class Allotment:
    """What the minutes are spent on.

    Attributes:
        is_search: whether there is room for a search.
        epochs: of the search in all; without one, of the only training.
    """

    is_search: bool
    epochs: int

    def search_epochs(self, repeated: int) -> int:
        """Returns the epochs of the search beside those of the finalists' further seeds.

        Raises:
            UserError: there are none.
        """
        if repeated >= self.epochs:
            raise UserError(
                f"`--repeats` takes {repeated} epochs for further seeds, and `--max_minutes` has room for"
                f" {self.epochs}, which leaves none to the search. Give more minutes or fewer repeats."
            )
        return self.epochs - repeated

    def text(self, seconds: float, epoch_s: float, epochs: int) -> str:
        """Says what is done with the time and why; the arguments are those of `allot`."""
        trainings = seconds / (epoch_s * epochs)
        room = f"There is time for {trainings:.1f} trainings of {epochs} epochs"
        if self.is_search:
            return f"{room}: a search of {self.epochs} epochs, whose winner is the final model."
        needed = math.ceil((LEAST_TRAININGS * epochs * epoch_s + AFTER_S) / 60.0)
        return (
            f"{room}; a search needs {LEAST_TRAININGS} ({needed} minutes here). So the settings stay as they are, and"
            f" the only training takes {self.epochs} epochs."
        )


def allot(seconds: float, epoch_s: float, epochs: int) -> Allotment:
    """Decides what a limited time is spent on.

    Args:
        seconds: that are left for training.
        epoch_s: seconds of an epoch, its share of validation included, positive.
        epochs: of a final training, at least 1.

    Returns:
        A search where `LEAST_TRAININGS` whole trainings fit; else one training, longer than asked for where there is
        time and shorter where there is not.

    Raises:
        UserError: not even an epoch fits.
    """
    fitting = int(seconds / epoch_s)
    if fitting < 1:
        needed = math.ceil((epoch_s - seconds) / 60.0) + 1
        raise UserError(
            f"`--max_minutes` leaves no time to train: an epoch takes {epoch_s:.0f} s, evaluation and export about"
            f" {AFTER_S:.0f} s. Give at least {needed} minutes more, or fewer images with --limit."
        )
    if fitting >= LEAST_TRAININGS * epochs:
        return Allotment(True, fitting)
    return Allotment(False, min(fitting, LONGEST * epochs))
