"""Takes numbers, flags and ids as the many writers of JSON, XML and records put them: one coercion for all readers."""

import math
import re
from collections.abc import Mapping
from typing import Any

_WHOLE = re.compile(r"([+-]?\d+)(\.0*)?")
_FLAGS = {"0": False, "1": True, "false": False, "true": True, "no": False, "yes": True, "": False}
_SHOWN = 40  # characters of a value in an error


class RepeatedKeyError(ValueError):
    """A key of a JSON object comes twice with different values."""


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Makes a JSON object's dictionary, as `object_pairs_hook` of `json.loads`; else the last of equal keys counts.

    Args:
        pairs: its keys and values.

    Raises:
        RepeatedKeyError: a key comes twice, with different values; says which, and the object's `id`.
    """
    table = dict(pairs)
    if len(table) != len(pairs):
        key = next((key for key, value in pairs if value != table[key]), None)
        if key is not None:
            first = next(value for other, value in pairs if other == key)
            number = f", in the object with `id` {_shown(table['id'])}" if "id" in table and key != "id" else ""
            both = f"as {_shown(first)} and {_shown(table[key])}"
            raise RepeatedKeyError(f"the key `{key}` comes twice, {both}{number}. Keep one of them")
    return table


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def number(value: Any) -> float | None:
    """Returns 12.5 for 12.5 and "12.5"; None for what is not a number. NaN and infinity are numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def turned_by(attributes: Mapping[str, Any]) -> float:
    """Returns the degrees that attributes say a box is turned by; 0 where they are not written as by CVAT.

    CVAT writes `occluded` beside each `rotation`. One alone is an attribute of the user's own, and may mean anything.
    """
    return angle(attributes.get("rotation")) if "occluded" in attributes else 0.0


def angle(value: Any) -> float:
    """Returns the number that an angle is; 0 for what is none."""
    degrees = number(value)
    return degrees if degrees is not None and math.isfinite(degrees) else 0.0


def whole(value: Any) -> int | None:
    """Returns 1 for 1, 1.0, "1" and "1.0"; None for what is not a whole number."""
    if isinstance(value, str):
        match = _WHOLE.fullmatch(value.strip())
        return int(match[1]) if match else None
    result = number(value)
    return int(value) if result is not None and math.isfinite(result) and result == int(result) else None


def size(height: Any, width: Any) -> tuple[int, int] | None:
    """Returns the size that an annotation states, px; None where a side is not a positive whole number."""
    sides = whole(height), whole(width)
    return (sides[0], sides[1]) if sides[0] and sides[1] and min(sides[0], sides[1]) > 0 else None


def identity(value: Any) -> str | None:
    """Returns what two ids have in common that mean one thing: "1" for 1, 1.0, "1"; None for what is not an id."""
    if isinstance(value, str):
        match = _WHOLE.fullmatch(value.strip())
        return match[1] if match and match[2] else value.strip() or None
    result = whole(value)
    return None if result is None else str(result)


def flag(value: Any) -> bool:
    """Returns whether a flag is set: 0 and 1, false and true, no and yes, also as text; nothing is no.

    Raises:
        ValueError: it is none of these.
    """
    if value is None or isinstance(value, bool):
        return bool(value)
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    known = whole(text) if not isinstance(text, str) or whole(text) is not None else text.strip().casefold()
    found = _FLAGS.get(str(known))
    if found is None:
        raise ValueError(f"a flag is 0 or 1, false or true: got {value!r}")
    return found
