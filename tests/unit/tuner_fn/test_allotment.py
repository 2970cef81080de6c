"""Limited minutes go into a search where there is room for one, else into one training."""

import re

import pytest

from data.errors import UserError
from tuner_fn import allotment
from tuner_fn.allotment import LEAST_TRAININGS, LONGEST, Allotment, Room, allot


def room(seconds: float, **others) -> Room:
    return Room(seconds, **{"epoch_s": 10.0, "epochs": 20, "trial_epochs": 20} | others)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (1600.0, Allotment(True, 160, 10.0)),  # 8 trainings of 20 epochs of 10 s
        (2345.0, Allotment(True, 234, 10.0)),
        (1599.0, Allotment(False, 80, 10.0)),  # one epoch less than 8 trainings, of which one may be four times as long
        (960.0, Allotment(False, 80, 10.0)),  # a sixth of the time is kept, as no training is cut
        (959.0, Allotment(False, 79, 10.0)),
        (241.0, Allotment(False, 20, 10.0)),
        (200.0, Allotment(False, 20, 10.0)),  # but not where the epochs asked for would become fewer
        (199.0, Allotment(False, 19, 10.0)),
        (55.0, Allotment(False, 5, 10.0)),
        (10.0, Allotment(False, 1, 10.0)),
    ],
)
def test_a_search_needs_eight_trainings_and_less_is_one_longer_or_shorter_training(seconds, expected) -> None:
    assert (LEAST_TRAININGS, LONGEST) == (8, 4)
    assert allot(room(seconds)) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (9000.0, Allotment(True, 200, 10.0)),  # no more than ten whole trainings
        (1700.0, Allotment(True, 170, 10.0)),
        (1599.0, Allotment(False, 80, 10.0)),
        (959.0, Allotment(False, 79, 10.0)),
        (199.0, Allotment(False, 20, 10.0)),  # what was asked for, although it takes longer
        (-50.0, Allotment(False, 20, 10.0)),
    ],
)
def test_a_presets_minutes_are_no_limit_to_the_training_asked_for(seconds, expected) -> None:
    assert allot(room(seconds, trainings=10)) == expected


def test_shorter_trials_leave_time_for_the_rest_of_the_final_training() -> None:
    shorter = {"trial_epochs": 5, "final_epochs": 15}
    assert allot(room(550.0, **shorter)) == Allotment(True, 40, 10.0)
    assert allot(room(549.0, **shorter)) == Allotment(False, 45, 10.0)
    assert allot(room(5500.0, trainings=10, **shorter)) == Allotment(True, 50, 10.0)


@pytest.mark.parametrize("seconds", [9.9, 0.0, -400.0])
def test_time_for_less_than_an_epoch_is_an_error_that_says_how_much_is_missing(seconds) -> None:
    with pytest.raises(UserError, match="`--max_minutes` leaves no time to train: an epoch takes 10 s") as error:
        allot(room(seconds))
    (minutes,) = re.findall(r"at least (\d+) minutes more", str(error.value))
    assert allot(room(seconds + 60.0 * int(minutes))).epochs >= 1
    assert seconds + 60.0 * (int(minutes) - 2) < 10.0  # it asks for no more than a minute to spare


def test_it_says_what_the_time_is_spent_on_and_how_much_a_search_needs() -> None:
    assert allot(room(1600.0)).text(room(1600.0), 28.5) == (
        "In 28.5 minutes there is time for 8.0 trainings of 20 epochs: a search of 160 epochs, whose winner is the"
        " final model."
    )
    short = room(500.0, trainings=10)
    text = allot(short).text(short, 10.0)
    assert text.startswith("In the preset's 10 minutes there is time for 2.5 trainings of 20 epochs; a search needs 8")
    assert text.endswith("the only training takes 41 epochs.")
    (minutes,) = re.findall(r"--max_minutes=(\d+) here", text)
    assert allot(room(60.0 * int(minutes) - allotment.AFTER_S)).is_search


def test_a_search_has_what_further_seeds_leave() -> None:
    assert Allotment(True, 160, 10.0).search_epochs(40) == 120
    assert Allotment(True, 160, 10.0).search_epochs(159) == 1
    with pytest.raises(UserError, match="`--repeats` takes 160 epochs .* `--max_minutes` has room for 160,"):
        Allotment(True, 160, 10.0).search_epochs(160)
