"""Chooses the columns of a CSV table's header where several mean the same, and compares what they say."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from data import errors, progress
from data.sources import base, layout, locate

_NAMES = ("class_name", "label_name", "labelname", "category_name")  # which may stand beside a number
_COMPARED = {"path": "the image", "xmin": "xmin", "ymin": "ymin", "xmax": "xmax", "ymax": "ymax", "split": "the split"}

Record = tuple[int, list[str]]  # line number and fields


def choose(
    table: Path, header: Sequence[str], records: Sequence[Record], columns: Mapping[str, Sequence[int]]
) -> dict[str, int]:
    """Chooses one column for each meaning.

    Of several columns of the class, those that hold numbers only are its number where one that is called as its name,
    as class_name, holds words. A column called `name` is the class's only where no other is: it may name anything.

    Args:
        table: path of the file, for errors.
        header: its first row.
        records: its other rows.
        columns: indices of each meaning's columns, the likeliest first.

    Returns:
        {meaning: index}.

    Raises:
        UserError: two columns of one meaning differ in a row.
    """
    chosen = {meaning: indices[0] for meaning, indices in columns.items()}
    for meaning, words in _COMPARED.items():
        _compare(table, header, records, columns.get(meaning, ()), words)
    held = [at for at in columns.get("class", ()) if _all(records, at, bool)]
    others = [at for at in held if header[at].casefold() != "name"]
    if others and len(others) < len(held) and all(_all(records, at, layout.is_number) for at in others):
        text = f"{table}: `name` is not read, as `{header[others[0]]}` is the class. If it is the class's name, call it"
        progress.emit("note", text=f"{text} `class_name`.")
    held = others or held
    classes = [at for at in held if not _all(records, at, layout.is_image)]
    numbers = [at for at in classes if _all(records, at, layout.is_number)]
    names = [at for at in classes if at not in numbers]
    if numbers and not any(header[at].casefold() in _NAMES for at in names):
        names, numbers = classes, []  # two columns that both say the class
    for indices in (names, numbers):
        _compare(table, header, records, indices, "the class")
    if names:
        chosen["class"] = names[0]
        chosen |= {"number": numbers[0]} if numbers and "number" not in chosen else {}
    return chosen


def _all(records: Sequence[Record], at: int, holds: Callable[[str], bool]) -> bool:
    """Says whether a column holds something, and only what is of a kind."""
    fields = [row[at] for _, row in records if row[at]]
    return bool(fields) and all(map(holds, fields))


def _compare(table: Path, header: Sequence[str], records: Sequence[Record], indices: Sequence[int], words: str) -> None:
    for number, fields in records if len(indices) > 1 else ():
        first, *others = [at for at in indices if fields[at]] or [0]
        other = next((at for at in others if _differ(fields[first], fields[at], words)), None)
        if other is not None:
            raise errors.UserError(
                f"{table}: row {number} has `{fields[first]}` in the column `{header[first]}` and `{fields[other]}` in"
                f" `{header[other]}`, which both mean {words}. Correct it, or rename the column that means something"
                " else."
            )


def _differ(one: str, other: str, words: str) -> bool:
    """Says whether two fields contradict each other; only names of images with an ending and known splits can."""
    if words == "the image":
        tails = [locate.plain(path).rpartition("/")[2].casefold() for path in (one, other)]
        return all(map(layout.is_image, tails)) and tails[0] != tails[1]
    if words == "the split":
        splits = {base.split_named(one), base.split_named(other)}
        return None not in splits and len(splits) > 1
    if layout.is_number(one) and layout.is_number(other):
        return float(one) != float(other)
    return one.casefold() != other.casefold()
