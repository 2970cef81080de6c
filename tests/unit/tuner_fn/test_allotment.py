"""Limited minutes go into a search where there is room for one, else into one training."""

import re

import pytest

from data.errors import UserError
from tuner_fn import allotment
from tuner_fn.allotment import LEAST_TRAININGS, LONGEST, Allotment, allot


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (1600.0, Allotment(True, 160)),  # 8 trainings of 20 epochs of 10 s
        (2345.0, Allotment(True, 234)),
        (1599.0, Allotment(False, 80)),  # one epoch less than 8 trainings, of which one may be four times as long
        (800.0, Allotment(False, 80)),
        (799.0, Allotment(False, 79)),
        (200.0, Allotment(False, 20)),
        (55.0, Allotment(False, 5)),
        (10.0, Allotment(False, 1)),
    ],
)
def test_a_search_needs_eight_trainings_and_less_is_one_longer_or_shorter_training(seconds, expected) -> None:
    assert (LEAST_TRAININGS, LONGEST) == (8, 4)
    assert allot(seconds, 10.0, 20) == expected


@pytest.mark.parametrize("seconds", [9.9, 0.0, -400.0])
def test_time_for_less_than_an_epoch_is_an_error_that_says_how_much_is_missing(seconds) -> None:
    with pytest.raises(UserError, match="`--max_minutes` leaves no time to train: an epoch takes 10 s") as error:
        allot(seconds, 10.0, 20)
    (minutes,) = re.findall(r"at least (\d+) minutes more", str(error.value))
    assert allot(seconds + 60.0 * int(minutes), 10.0, 20).epochs >= 1
    assert seconds + 60.0 * (int(minutes) - 2) < 10.0  # it asks for no more than a minute to spare


def test_it_says_what_the_time_is_spent_on_and_how_much_a_search_needs() -> None:
    assert allot(1600.0, 10.0, 20).text(1600.0, 10.0, 20) == (
        "There is time for 8.0 trainings of 20 epochs: a search of 160 epochs, whose winner is the final model."
    )
    text = allot(500.0, 10.0, 20).text(500.0, 10.0, 20)
    assert text.startswith("There is time for 2.5 trainings of 20 epochs; a search needs 8 (29 minutes here).")
    assert text.endswith("the only training takes 50 epochs.")
    assert allot(60.0 * 29 - allotment.AFTER_S, 10.0, 20).is_search


def test_a_search_has_what_further_seeds_leave() -> None:
    assert Allotment(True, 160).search_epochs(40) == 120
    assert Allotment(True, 160).search_epochs(159) == 1
    with pytest.raises(UserError, match="`--repeats` takes 160 epochs .* `--max_minutes` has room for 160,"):
        Allotment(True, 160).search_epochs(160)
