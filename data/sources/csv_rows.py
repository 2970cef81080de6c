"""Reads the rows of a CSV table of boxes, in the three styles of `data.sources.csv_table`."""

import csv
import dataclasses
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from data import errors
from data.sources import csv_columns, detections, layout

COLUMNS = {
    "path": (
        "filename",
        "file_name",
        "image",
        "image_path",
        "img_path",
        "filepath",
        "file_path",
        "path",
        "file",
        "image_name",
        "img",
        "image_id",
        "imageid",
    ),
    "xmin": ("xmin", "x_min", "x1", "left", "bbox_xmin", "bbox_x1"),
    "ymin": ("ymin", "y_min", "y1", "top", "bbox_ymin", "bbox_y1"),
    "xmax": ("xmax", "x_max", "x2", "right", "bbox_xmax", "bbox_x2"),
    "ymax": ("ymax", "y_max", "y2", "bottom", "bbox_ymax", "bbox_y2"),
    "class": ("class", "label", "class_name", "label_name", "labelname", "category", "category_name", "name"),
    "number": ("class_id", "label_id", "category_id", "classid"),
    "ignored": ("iscrowd", "is_crowd", "difficult", "isgroupof", "is_group_of", "ignore", "ignored"),
    "split": ("split", "set", "subset"),
    "width": ("image_width", "img_width", "width"),  # `width` may be a box's (`_are_of_boxes`)
    "height": ("image_height", "img_height", "height"),
}
_NEEDED = ("path", "xmin", "ymin", "xmax", "ymax", "class")
AUTOML_SETS = {"TRAIN": "train", "TRAINING": "train", "UNASSIGNED": "train"}
AUTOML_SETS |= {"VALIDATION": "val", "VALIDATE": "val", "TEST": "test"}
_NOT_SET = ("", "0", "0.0", "false", "no", "-1")  # flags that say nothing; Open Images' -1 is "unknown"
_AUTOML_FIELDS = 11
_RETINANET_FIELDS = 6
_ORDERS = ("filename,xmin,ymin,xmax,ymax,class", "filename,class,xmin,ymin,xmax,ymax")
_ROUNDING_PX = 1.0  # of a box's side
_FEWEST_KNOWN = 3  # columns of a header that is to be one of a table of boxes


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One row, whatever the style.

    Attributes:
        number: of its line, from 1.
        path: of the image, as it stands.
        corners: xmin, ymin, xmax, ymax, as they stand; all empty for an image without objects.
        name: of the class.
        split: as it stands, or "".
        size: height and width of the image, as they stand, or empty.
        class_number: as it stands, where a name stands beside it, or "".
        ignored: whether it is a region to ignore, as it stands.
    """

    number: int
    path: str
    corners: tuple[str, ...]
    name: str
    split: str = ""
    size: tuple[str, ...] = ()
    class_number: str = ""
    ignored: str = ""


def style_at(table: Path) -> str:
    """Names the style of a table by its first row; "" for none.

    Args:
        table: path of the file.

    Returns:
        "header", "AutoML" or "RetinaNet"; "a header" for one that lacks columns, as reading the table says. So does
        reading say what is wrong with text that is not UTF-8.

    Raises:
        UserError: the file cannot be read.
    """
    first = next(_records(table, _text_of(table)), (0, []))[1]
    lacks = _looks_like_header(first) and len(_columns_of(first)) >= _FEWEST_KNOWN
    return _style_of(first) or ("a header" if lacks else "")


def read_table(table: Path) -> tuple[str, list[Row]]:
    """Reads a table's rows.

    Args:
        table: path of the file.

    Returns:
        The form of its boxes, of `box_units.BOX_FORMS`, and its rows.

    Raises:
        UserError: the table is malformed or in none of the styles.
    """
    records = _records(table, layout.read_text(table, "CSV in UTF-8"))
    number, first = next(records, (0, []))
    style = _style_of(first)
    if not style:
        raise _unknown_style(table, first)
    if style == "header":
        rows = list(records)
        for each in rows:
            _check_width(table, *each, len(first))
        scores = [at for at, name in enumerate(first) if name.casefold() in detections.SCORE_KEYS]
        detections.check(({first[at].casefold(): fields[at] for at in scores} for _, fields in rows), table)
        columns = csv_columns.choose(table, first, rows, _all_columns_of(first))
        ignoring = _all_columns_of(first).get("ignored", [])
        read = [_headed_row(*each, columns, ignoring) for each in rows]
        return "xyxy_px", [dataclasses.replace(row, size=()) for row in read] if _are_of_boxes(read) else read
    all_records = [(number, first), *records]
    if style == "AutoML":
        return "xyxy", [_automl_row(table, *each) for each in all_records]
    for each in all_records:
        _check_width(table, *each, _RETINANET_FIELDS)
    class_at = _class_column(table, all_records)
    return "xyxy_px", [_plain_row(*each, class_at) for each in all_records]


def _unknown_style(table: Path, first: Sequence[str]) -> errors.UserError:
    """Words the error about a table in none of the styles: as a header that lacks columns, or as none."""
    columns = _columns_of(first)
    names = {meaning: f"`{COLUMNS[meaning][0]}`" for meaning in _NEEDED}
    lacking = [name for meaning, name in names.items() if meaning not in columns]
    if _looks_like_header(first):
        return errors.UserError(
            f"{table}: its header row lacks {', '.join(lacking)}; it has {', '.join(f'`{name}`' for name in first)}."
            f" Name the columns {', '.join(names.values())}, with corners in px."
        )
    return errors.UserError(
        f"{table}: its first row is neither a header with {', '.join(f'`{name}`' for name in _NEEDED)} nor a row of"
        f" AutoML's ({_AUTOML_FIELDS} fields) or RetinaNet's ({_RETINANET_FIELDS} fields): got"
        f" `{','.join(first)[:80]}`. Add a header."
    )


def _looks_like_header(first: Sequence[str]) -> bool:
    return len(first) > 1 and all(first) and not any(map(layout.is_number, first)) and bool(_columns_of(first))


def _class_column(table: Path, records: Sequence[tuple[int, list[str]]]) -> int:
    """Returns where the class stands in rows without a header: behind the corners or before them.

    Raises:
        UserError: both could be.
    """
    boxes = [(number, fields) for number, fields in records if any(fields[1:])]
    fits = [(_are_corners(fields[1:5]), _are_corners(fields[2:6])) for _, fields in boxes]
    last, second = (True, False) in fits, (False, True) in fits
    if last != second:
        return 5 if last else 1
    doubtful = [row for row, fit in zip(boxes, fits, strict=True) if any(fit)]
    if not doubtful:  # no row has a box; each is found to be broken when it is read
        return 1 if boxes and not layout.is_number(boxes[0][1][1]) else 5
    number, fields = doubtful[0]
    raise errors.UserError(
        f"{table}: row {number}, `{','.join(fields)}`, may mean box {_show(fields[1:5])} of class `{fields[5]}`, or box"
        f" {_show(fields[2:6])} of class `{fields[1]}`. Say which with a header as the first row: `{_ORDERS[0]}` or"
        f" `{_ORDERS[1]}`."
    )


def _are_corners(fields: Sequence[str]) -> bool:
    """Says whether four fields can be xmin, ymin, xmax, ymax."""
    if not all(map(layout.is_number, fields)):
        return False
    xmin, ymin, xmax, ymax = map(float, fields)
    return xmin < xmax and ymin < ymax


def _show(corners: Sequence[str]) -> str:
    return f"[{', '.join(corners)}]"


def _text_of(table: Path) -> str:
    """Reads a table's text; in an encoding that is not known, its header still reads the same."""
    try:
        return layout.read_text(table, "CSV")
    except errors.UserError as error:
        if isinstance(error.__cause__, OSError):
            raise
        return table.read_text(encoding="latin-1")


def _records(table: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yields (line number, fields) of the rows that are not empty."""
    head = text.partition("\n")[0]
    delimiter = next((mark for mark in ",;\t" if mark in head), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)
    while True:
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise errors.UserError(f"{table}: malformed CSV at line {reader.line_num}: {error}. Correct it.") from error
        if fields is None:
            return
        if any(field.strip() for field in fields):
            yield reader.line_num, [field.strip() for field in fields]


def _style_of(first: Sequence[str]) -> str:
    """Names the style of a table by its first row; "" for none."""
    if set(_NEEDED) <= set(_columns_of(first)):
        return "header"
    if len(first) == _AUTOML_FIELDS and first[0].upper() in AUTOML_SETS:
        return "AutoML"
    corners = (first[1:5], first[2:6])
    plain = len(first) == _RETINANET_FIELDS and (any(map(_are_numbers, corners)) or not any(first[1:]))
    return "RetinaNet" if plain else ""


def _are_numbers(fields: Sequence[str]) -> bool:
    return all(map(layout.is_number, fields))


def _columns_of(header: Sequence[str]) -> dict[str, int]:
    """Returns {meaning: index} of a header's columns."""
    return {meaning: indices[0] for meaning, indices in _all_columns_of(header).items()}


def _all_columns_of(header: Sequence[str]) -> dict[str, list[int]]:
    """Returns {meaning: indices} of a header's columns, the likeliest first."""
    names = [field.casefold() for field in header]
    found = ((meaning, [names.index(name) for name in known if name in names]) for meaning, known in COLUMNS.items())
    columns = {meaning: indices for meaning, indices in found if indices}
    if "class" not in columns and "number" in columns:
        columns["class"] = columns.pop("number")
    return columns


def _headed_row(number: int, fields: list[str], columns: Mapping[str, int], ignoring: Sequence[int]) -> Row:
    flags = [fields[index] for index in ignoring]
    stated = {meaning: fields[index] for meaning, index in columns.items()}
    return Row(
        number=number,
        path=stated["path"],
        corners=tuple(stated[corner] for corner in _NEEDED[1:5]),
        name=stated["class"],
        split=stated.get("split", ""),
        size=(stated.get("height", ""), stated.get("width", "")),
        class_number=stated.get("number", ""),
        ignored=next((flag for flag in flags if flag.casefold() not in _NOT_SET), "0" if flags else ""),
    )


def _are_of_boxes(rows: Sequence[Row]) -> bool:
    """Says whether the size in each row with a box is that of the box, not of the image."""
    given = [(*row.corners, *row.size) for row in rows if any(row.corners)]
    if not all(_are_numbers(fields) for fields in given):
        return False
    numbers = (map(float, fields) for fields in given)
    return bool(given) and all(
        abs(xmax - xmin - width) <= _ROUNDING_PX and abs(ymax - ymin - height) <= _ROUNDING_PX
        for xmin, ymin, xmax, ymax, height, width in numbers
    )


def _automl_row(table: Path, number: int, fields: list[str]) -> Row:
    _check_width(table, number, fields, _AUTOML_FIELDS)
    if fields[0].upper() not in AUTOML_SETS:
        raise errors.UserError(f"{table}: row {number} starts with `{fields[0]}`.{known(AUTOML_SETS)}")
    xs, ys = ([text for text in fields[start::2] if text] for start in (3, 4))
    corners = (xs[0], ys[0], xs[-1], ys[-1]) if xs and ys else ("",) * 4
    if all(map(layout.is_number, xs + ys)) and len(xs) > 1 < len(ys):
        corners = (min(xs, key=float), min(ys, key=float), max(xs, key=float), max(ys, key=float))
    return Row(number, fields[1], corners, fields[2], fields[0])


def _plain_row(number: int, fields: list[str], class_at: int) -> Row:
    corners = fields[2:6] if class_at == 1 else fields[1:5]
    return Row(number, fields[0], tuple(corners), fields[class_at])


def _check_width(table: Path, number: int, fields: Sequence[str], width: int) -> None:
    if len(fields) != width:
        raise errors.UserError(f"{table}: row {number} has {len(fields)} fields, the first row {width}. Correct it.")


def known(names: Mapping[str, str]) -> str:
    """Words the end of an error about a name that is none of some."""
    return f" Write one of: {', '.join(names)}."
