"""Reads CSV tables of boxes, one row a box, in three styles told apart by the first row.

- A header with an image's path, xmin, ymin, xmax, ymax (px) and class, in any order and under the names in `_COLUMNS`;
  also split, width, height and a flag of regions to ignore. torchvision's, TensorFlow's and Roboflow's tables are such.
- Google AutoML's, without a header: `SET,path,label,x1,y1,x2,y1,x2,y2,x1,y2`, fractions of the image's sides, of the
  eight at least two opposite corners; SET is TRAIN, VALIDATION or TEST, and UNASSIGNED counts as train.
- RetinaNet's, without a header: `path,x1,y1,x2,y2,class` (px), or `path,class,x1,y1,x2,y2` where the class is a word.
  Rows that both orders could explain are a question.

A row with a path and no box is an image without objects. Paths are local and relative to the table, to images/ or to a
folder named as the split beside it; what is alike counts, too (`locate`). A folder holds train.csv, val.csv and
test.csv, or tables whose names hold these words, or one table, or Roboflow's train/_annotations.csv; a table's own
split column comes first. Classes are sorted by name.
"""

import collections
import csv
import dataclasses
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from data import errors
from data.sources import annotated, base, layout, locate, values

_COLUMNS = {
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
    "width": ("width", "image_width", "img_width"),
    "height": ("height", "image_height", "img_height"),
}
_NEEDED = ("path", "xmin", "ymin", "xmax", "ymax", "class")
_AUTOML_SETS = {"TRAIN": "train", "UNASSIGNED": "train", "VALIDATION": "val", "VALIDATE": "val", "TEST": "test"}
_AUTOML_FIELDS = 11
_RETINANET_FIELDS = 6
_ORDERS = ("filename,xmin,ymin,xmax,ymax,class", "filename,class,xmin,ymin,xmax,ymax")
_CLASS_MAPS = ("classes.csv", "class_list.csv", "class-descriptions.csv")


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One row, whatever the style.

    Attributes:
        number: of its line, from 1.
        path: of the image, as it stands.
        corners: xmin, ymin, xmax, ymax, as they stand; all empty for an image without objects.
        name: of the class.
        split: as it stands, or "".
        size: height and width, as they stand, or empty.
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


class CsvSource(annotated.AnnotatedSource):
    """Boxes from CSV tables."""

    kind = "csv"
    argument_help = ":PATH (a table, or a folder with train.csv, val.csv, test.csv)"

    @classmethod
    def open(cls, spec: str, argument: str, options: base.ReadOptions) -> "CsvSource":
        """Opens a table or a folder of tables; classes sorted by name.

        Raises:
            UserError: the path is missing, a table is malformed or in none of the styles, or it names images that are
                not local files.
        """
        root = layout.existing(spec, cls.kind, argument)
        tables = find_tables(root)
        if not tables:
            raise layout.nothing_found(spec, root, "`train.csv`, `val.csv`, `test.csv`, or one table")
        groups: dict[str, dict[str, list[Row]]] = collections.defaultdict(lambda: collections.defaultdict(list))
        stated_in: dict[tuple[str, str], tuple[Row, Path]] = {}
        forms, notices = set(), []
        for split, table in tables.items():
            form, rows = read_table(table)
            forms.add(form)
            notices += _check_numbers(rows, table)
            rows, without = _clear_names(rows, table)
            notices += without
            for row in rows:
                target = _split_of(row, split, table, len(tables) > 1)
                stated_in.setdefault((target, row.path), (row, table))
                groups[target][row.path].append(row)
        if len(forms) > 1:
            raise errors.UserError(f"Dataset `{spec}`: its tables differ in style. Write all of them in one.")
        layout.check_any(spec, groups)
        finder = locate.Finder(root if root.is_dir() else root.parent, groups)
        places = {key: _locate(*stated, key[0], finder) for key, stated in stated_in.items()}
        found = {
            split: [_read(path, rows, *places[split, path], *forms) for path, rows in by_path.items()]
            for split, by_path in groups.items()
        }
        paths = {file for file, _ in places.values()}
        images, class_names = annotated.label_by_name(found)
        folders = sorted({path.parent for path in paths if path.parent.is_dir()})
        roots = layout.outermost([*tables.values(), *folders])
        notices += finder.notices()
        for folder in folders:
            notices += layout.unnamed_images(folder, set(map(str, paths)), "no row names it", deep=False)
        return cls(spec, images, class_names, roots, options, notices)

    @classmethod
    def recognises(cls, path: Path) -> str | None:
        """Says which table has which style; None where there is none."""
        if path.is_file() and path.suffix.lower() != ".csv":
            return None
        for table in find_tables(path).values():
            try:
                first = next(_records(table), (0, []))[1]
                style = _style_of(first)
            except errors.UserError:
                return None
            if not style and _looks_like_header(first) and len(_columns_of(first)) >= 3:
                style = "a header"  # which lacks columns, as reading it says
            name = table.name if path.is_file() else table.relative_to(path)
            return f"{name} starts as a table of boxes ({style})" if style else None
        return None


def find_tables(path: Path) -> dict[str, Path]:
    """Finds the tables at a path.

    Args:
        path: of a table or of a folder.

    Returns:
        The tables, by split; a table that is not named as a split is under "train".

    Raises:
        UserError: two tables are one split.
    """
    if path.is_file():
        return {"train": path}
    tables = layout.split_files(path, ".csv")
    if not tables:
        named = {split: folder / "_annotations.csv" for split, folder in layout.split_folders(path).items()}
        tables = {split: table for split, table in named.items() if table.is_file()}
    if not tables:
        others = [table for table in layout.files(path, ".csv") if table.name.casefold() not in _CLASS_MAPS]
        for table in others:
            split = layout.split_within(table.stem)
            if split and tables.setdefault(split, table) != table:
                raise errors.UserError(f"`{path}` has two for {split}: {tables[split].name}, {table.name}. Keep one.")
        if not tables and len(others) == 1:
            tables = {"train": others[0]}
        tables = {split: tables[split] for split in base.SPLITS if split in tables}
    return tables


def read_table(table: Path) -> tuple[str, list[Row]]:
    """Reads a table's rows.

    Args:
        table: path of the file.

    Returns:
        The form of its boxes, of `annotated.BOX_FORMS`, and its rows.

    Raises:
        UserError: the table is malformed or in none of the styles.
    """
    records = _records(table)
    number, first = next(records, (0, []))
    style = _style_of(first)
    if not style:
        raise _unknown_style(table, first)
    if style == "header":
        columns = _columns_of(first)
        return "xyxy_px", [_headed_row(table, *each, columns, len(first)) for each in records]
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
    names = {meaning: f"`{_COLUMNS[meaning][0]}`" for meaning in _NEEDED}
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


def _records(table: Path) -> Iterator[tuple[int, list[str]]]:
    """Yields (line number, fields) of the rows that are not empty."""
    text = layout.read_text(table, "CSV")
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
    if len(first) == _AUTOML_FIELDS and first[0].upper() in _AUTOML_SETS:
        return "AutoML"
    corners = (first[1:5], first[2:6])
    plain = len(first) == _RETINANET_FIELDS and (any(map(_are_numbers, corners)) or not any(first[1:]))
    return "RetinaNet" if plain else ""


def _are_numbers(fields: Sequence[str]) -> bool:
    return all(map(layout.is_number, fields))


def _columns_of(header: Sequence[str]) -> dict[str, int]:
    """Returns {meaning: index} of a header's columns."""
    names = [field.casefold() for field in header]
    found = ((meaning, [names.index(name) for name in known if name in names]) for meaning, known in _COLUMNS.items())
    columns = {meaning: indices[0] for meaning, indices in found if indices}
    if "class" not in columns and "number" in columns:
        columns["class"] = columns.pop("number")
    return columns


def _headed_row(table: Path, number: int, fields: list[str], columns: Mapping[str, int], width: int) -> Row:
    _check_width(table, number, fields, width)
    stated = {meaning: fields[index] for meaning, index in columns.items()}
    return Row(
        number=number,
        path=stated["path"],
        corners=tuple(stated[corner] for corner in _NEEDED[1:5]),
        name=stated["class"],
        split=stated.get("split", ""),
        size=(stated.get("height", ""), stated.get("width", "")),
        class_number=stated.get("number", ""),
        ignored=stated.get("ignored", ""),
    )


def _automl_row(table: Path, number: int, fields: list[str]) -> Row:
    _check_width(table, number, fields, _AUTOML_FIELDS)
    if fields[0].upper() not in _AUTOML_SETS:
        raise errors.UserError(f"{table}: row {number} starts with `{fields[0]}`.{_known(_AUTOML_SETS)}")
    xs, ys = ([text for text in fields[start::2] if text] for start in (3, 4))
    corners = (xs[0], ys[0], xs[-1], ys[-1]) if xs and ys else ("",) * 4
    if all(map(layout.is_number, xs + ys)) and len(xs) > 1 < len(ys):
        corners = (min(xs, key=float), min(ys, key=float), max(xs, key=float), max(ys, key=float))
    return Row(number, fields[1], corners, fields[2], fields[0])


def _plain_row(number: int, fields: list[str], class_at: int) -> Row:
    corners = fields[2:6] if class_at == 1 else fields[1:5]
    return Row(number, fields[0], tuple(corners), fields[class_at])


def _check_numbers(rows: Sequence[Row], table: Path) -> list[annotated.Notice]:
    """Compares the classes' numbers with their names, where a table has both.

    Raises:
        UserError: a number goes with two names.
    """
    first: dict[str, Row] = {}
    for row in (row for row in rows if row.class_number and row.name):
        other = first.setdefault(row.class_number, row)
        if other.name != row.name:
            raise errors.UserError(
                f"{table}: class {row.class_number} is called `{other.name}` in row {other.number} and `{row.name}` in"
                f" row {row.number}. Correct one of them."
            )
    return annotated.merged_names(((number, row.name) for number, row in first.items()), table)


def _clear_names(rows: Sequence[Row], table: Path) -> tuple[list[Row], list[annotated.Notice]]:
    """Takes the class from the rows of one that has no box in the whole table, as "No finding", and notes it."""
    boxed = {row.name for row in rows if any(row.corners)}
    counts = collections.Counter(row.name for row in rows if row.name and row.name not in boxed)
    notices = [
        annotated.Notice("left_out", str(table), f"no row of `{name}` has a box; its {count} count as without objects")
        for name, count in counts.items()
    ]
    return [dataclasses.replace(row, name="") if row.name in counts else row for row in rows], notices


def _check_width(table: Path, number: int, fields: Sequence[str], width: int) -> None:
    if len(fields) != width:
        raise errors.UserError(f"{table}: row {number} has {len(fields)} fields, the first row {width}. Correct it.")


def _split_of(row: Row, of_table: str, table: Path, by_table: bool) -> str:
    """Returns a row's split; its own comes before its table's, but where each split has a table they must agree."""
    if not row.split:
        return of_table
    known = base.SPLIT_NAMES | {name.casefold(): split for name, split in _AUTOML_SETS.items()}
    if row.split.casefold() not in known:
        raise errors.UserError(f"{table}: row {row.number} is of the split `{row.split}`.{_known(known)}")
    split = known[row.split.casefold()]
    if by_table and split != of_table:
        raise errors.UserError(
            f"{table}: row {row.number} is of the split `{row.split}`, in the table of {of_table}. Correct one of them."
        )
    return split


def _locate(row: Row, table: Path, split: str, finder: locate.Finder) -> tuple[Path, str | None]:
    """Returns where an image is, or would be, and why it is not clear which is meant."""
    if not row.path:
        raise errors.UserError(f"{table}: row {row.number} names no image. Write its path or remove the row.")
    if "://" in row.path:
        raise errors.UserError(
            f"{table}: row {row.number} names `{row.path}`, but only local files are read. Copy the images beside the"
            " table (`gsutil -m cp` for gs:// paths) and write their local paths."
        )
    images = layout.folder_named(table.parent, "images")
    folders = [table.parent, *filter(None, [images])]
    folders += [of for folder in tuple(folders) if (of := layout.split_folders(folder).get(split))]
    return finder.find(row.path, folders, split)


def _read(name: str, rows: Sequence[Row], path: Path, unclear: str | None, box_form: str) -> annotated.NamedImage:
    """Reads one image's rows; `unclear` is why it is not clear which image is meant."""
    boxes, names, is_crowd, problem = [], [], [], unclear
    size: tuple[int, int] | None = None
    for row in rows:
        stated = values.size(*row.size) if row.size else None
        if stated and size and stated != size:
            problem = f"row {row.number} states {stated[1]}x{stated[0]} px, a row before it {size[1]}x{size[0]} px"
        size = stated or size
        if not any(row.corners) and not row.name:
            continue
        wrong = next((corner for corner in row.corners if not layout.is_number(corner)), None)
        if wrong is not None or not row.name:
            lacks = "a class" if wrong is None else "xmin, ymin, xmax, ymax as numbers"
            problem = f"row {row.number} needs {lacks}: got `{','.join((*row.corners, row.name))}`"
            break
        try:
            is_crowd.append(values.flag(row.ignored))
        except ValueError as error:
            problem = f"row {row.number}: {error}"
            break
        boxes.append(tuple(float(corner) for corner in row.corners))
        names.append(row.name)
    if problem:
        boxes, names, is_crowd = [], [], []
    image = annotated.AnnotatedImage(
        source_id=name,
        path=str(path),
        size=size,
        boxes=tuple(boxes),
        is_crowd=tuple(is_crowd),
        areas_px=(None,) * len(boxes),
        box_form=box_form,
        problem=problem,
    )
    return annotated.NamedImage(image, tuple(names))


def _known(names: Mapping[str, str]) -> str:
    return f" Write one of: {', '.join(names)}."
