import math

import pytest

from data.sources import values


@pytest.mark.parametrize("value", [1, 1.0, "1", "1.0", " 1 "])
def test_one_is_one_however_it_is_written(value):
    assert (values.whole(value), values.identity(value), values.flag(value)) == (1, "1", True)
    assert values.number(value) == 1.0


@pytest.mark.parametrize("value", [None, True, "one", "", [], {}, math.nan, math.inf, 1.5, "1.5", "nan"])
def test_what_is_no_whole_number_is_none(value):
    assert values.whole(value) is None


@pytest.mark.parametrize(("value", "key"), [("a 1", "a 1"), ("007", "007"), (True, None), (None, None), (2.5, None)])
def test_an_id_may_be_text(value, key):
    assert values.identity(value) == key


@pytest.mark.parametrize("value", [None, 0, 0.0, "0", "0.0", False, "false", "False", "no", "", b"0"])
def test_what_is_not_set(value):
    assert values.flag(value) is False


@pytest.mark.parametrize("value", [1, 1.0, "1", True, "true", "TRUE", "yes", b"1"])
def test_what_is_set(value):
    assert values.flag(value) is True


@pytest.mark.parametrize("value", [2, -1, "maybe", [], "10", math.nan])
def test_what_is_no_flag_is_an_error(value):
    with pytest.raises(ValueError, match="a flag is 0 or 1, false or true: got "):
        values.flag(value)


@pytest.mark.parametrize(("sides", "size"), [(("48", 64.0), (48, 64)), ((0, 64), None), ((None, 64), None)])
def test_a_size_has_two_positive_sides(sides, size):
    assert values.size(*sides) == size
