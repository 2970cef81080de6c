"""How a setting is declared, converted from text and checked."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from data.errors import UserError

Condition = Mapping[str, Sequence[Any] | None]


def setting(
    default: Any,
    *,
    help: str,
    choices: Sequence[Any] | None = None,
    low: float | None = None,
    high: float | None = None,
    unit: str = "",
    live: bool | str = False,
) -> Any:
    """Declares one setting of a config dataclass that is not searched.

    Args:
        default: the only default of this setting.
        help: one sentence.
        choices: allowed values; None allows any of the default's type.
        low: smallest allowed value, inclusive.
        high: largest allowed value, inclusive.
        unit: unit of the value, empty when it has none.
        live: whether a traced training step takes a new value without being traced again; "above 0" where a value
            of 0 has a step of its own.

    Returns:
        A dataclass field with the declaration in its metadata.
    """
    metadata = {"help": help, "choices": choices, "low": low, "high": high, "unit": unit, "live": live}
    return dataclasses.field(default=default, metadata=metadata)


def fidelity(default: Any, **declared: Any) -> Any:
    """Declares one setting that may be lower in the trials of a search than in the final training, to make them cheap.

    Args:
        default: the only default of this setting.
        **declared: as in `setting`.

    Returns:
        A dataclass field with the declaration in its metadata.
    """
    field = setting(default, **declared)
    return dataclasses.field(default=default, metadata={**field.metadata, "fidelity": True})


def tunable(
    default: Any,
    *,
    help: str,
    scale: str = "linear",
    search: Sequence[Any] | None = None,
    candidates: Sequence[Any] | None = None,
    when: Condition | Sequence[Condition] | None = None,
    **limits: Any,
) -> Any:
    """Declares one setting of a config dataclass that a search can vary.

    Args:
        default: the only default of this setting.
        help: one sentence.
        scale: "linear" or "log", how a numeric range is sampled.
        search: (low, high) to search inside the allowed range; None searches all of it.
        candidates: values to search in place of a range.
        when: {path: values} of other settings without whose values there is nothing to search; None for any but 0. Of
            several such conditions one is enough.
        **limits: `choices`, `low`, `high`, `unit` and `live` as in `setting`.

    Returns:
        A dataclass field with the declaration in its metadata.

    Raises:
        ValueError: neither `choices` nor both of `low` and `high` are given.
    """
    field = setting(default, help=help, **limits)
    metadata = dict(field.metadata)
    if metadata["choices"] is None and (metadata["low"] is None or metadata["high"] is None):
        raise ValueError("`tunable` needs `choices` or both `low` and `high`.")
    low_high = search or (metadata["low"], metadata["high"])
    metadata["search"] = {
        "scale": scale,
        "low": low_high[0],
        "high": low_high[1],
        "choices": candidates or metadata["choices"],
    }
    metadata["when"] = (when or {},) if when is None or isinstance(when, Mapping) else tuple(when)
    return dataclasses.field(default=default, metadata=metadata)


def convert(path: str, field: dataclasses.Field, value: Any) -> Any:
    """Converts a JSON value or a command-line text to the type of the field's default."""
    default: Any = field.default
    kind = type(default)
    try:
        if kind is bool:
            if isinstance(value, bool):
                return value
            return {"true": True, "1": True, "false": False, "0": False}[str(value).strip().lower()]
        if kind is tuple:
            text = value.strip("()[] ") if isinstance(value, str) else None
            parts = value if text is None else text.split(",") if text else ()
            element = type(default[0]) if default else float
            return tuple(_number(part, element) for part in parts)
        return _number(value, int) if kind is int else kind(value)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise UserError(f"`{path}` needs a value of type {kind.__name__}: got {value!r}.") from error


def _number(value: Any, kind: type) -> Any:
    if kind is int and float(value) != int(float(value)):
        raise ValueError("not a whole number")
    return kind(float(value))


def text(value: Any) -> str:
    """Writes a setting's value as `--set` takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(map(text, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def check_value(path: str, field: dataclasses.Field, value: Any) -> None:
    """Checks a value against its declaration.

    Raises:
        UserError: not one of the choices, or out of the range.
    """
    limits = field.metadata
    if limits["choices"] is not None and value not in limits["choices"]:
        known = ", ".join(str(choice) for choice in limits["choices"])
        raise UserError(f"`{path}` must be one of {known}: got {value!r}.")
    positive = not isinstance(value, tuple) or all(0 < entry < float("inf") for entry in value)
    if not positive or (value == () and field.default):
        raise UserError(f"`{path}` needs positive numbers: got {value}.")
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, (int, float)) and not isinstance(number, bool):
            low, high = limits["low"], limits["high"]
            if not (low is None or number >= low) or not (high is None or number <= high):
                raise UserError(f"`{path}` must lie in [{low}, {high}]: got {number}.")
