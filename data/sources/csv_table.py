"""Reads CSV tables of boxes, one row a box, in three styles told apart by the first row.

- A header with an image's path, xmin, ymin, xmax, ymax (px) and class, in any order and under the names in `_COLUMNS`;
  also split, width and height. torchvision's, TensorFlow's and Roboflow's tables are such.
- Google AutoML's, without a header: `SET,path,label,x1,y1,x2,y1,x2,y2,x1,y2`, fractions of the image's sides, of the
  eight at least two opposite corners; SET is TRAIN, VALIDATION or TEST, and UNASSIGNED counts as train.
- RetinaNet's, without a header: `path,x1,y1,x2,y2,class` (px).

A row with a path and nothing behind it is an image without objects. Paths are local and relative to the table, to
images/ or to a folder named as the split beside it. A folder holds train.csv, val.csv and test.csv, or one table, or
Roboflow's train/_annotations.csv; a table's own split column comes first. Classes are sorted by name.
"""

import collections
import csv
import dataclasses
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from data import errors
from data.sources import annotated, base, layout

_COLUMNS = {
    "path": ("filename", "file_name", "image", "image_path", "img_path", "path", "file", "image_name"),
    "xmin": ("xmin", "x_min", "x1", "left"),
    "ymin": ("ymin", "y_min", "y1", "top"),
    "xmax": ("xmax", "x_max", "x2", "right"),
    "ymax": ("ymax", "y_max", "y2", "bottom"),
    "class": ("class", "label", "class_name", "category", "name"),
    "split": ("split", "set", "subset"),
    "width": ("width", "image_width", "img_width"),
    "height": ("height", "image_height", "img_height"),
}
_NEEDED = ("path", "xmin", "ymin", "xmax", "ymax", "class")
_AUTOML_SETS = {"TRAIN": "train", "UNASSIGNED": "train", "VALIDATION": "val", "VALIDATE": "val", "TEST": "test"}
_AUTOML_FIELDS = 11
_RETINANET_FIELDS = 6
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
    """

    number: int
    path: str
    corners: tuple[str, ...]
    name: str
    split: str = ""
    size: tuple[str, ...] = ()


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
        places: dict[tuple[str, str], Path] = {}
        forms = set()
        for split, table in tables.items():
            form, rows = read_table(table)
            forms.add(form)
            for row in rows:
                target = _split_of(row, split, table)
                if (target, row.path) not in places:
                    places[target, row.path] = _locate(row, target, table)
                groups[target][row.path].append(row)
        if len(forms) > 1:
            raise errors.UserError(f"Dataset `{spec}`: its tables differ in style. Write all of them in one.")
        layout.check_any(spec, groups)
        found = {
            split: [_read(path, rows, places[split, path], *forms) for path, rows in by_path.items()]
            for split, by_path in groups.items()
        }
        images, class_names = annotated.label_by_name(found)
        roots = layout.outermost([*tables.values(), *(path.parent for path in places.values() if path.parent.is_dir())])
        return cls(spec, images, class_names, roots, options, _unnamed(set(places.values())))

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
        others = [table for table in sorted(path.glob("*.csv")) if table.name not in _CLASS_MAPS]
        tables = {"train": others[0]} if len(others) == 1 else {}
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
        raise errors.UserError(
            f"{table}: its first row is neither a header with {', '.join(f'`{name}`' for name in _NEEDED)} nor a row of"
            f" AutoML's ({_AUTOML_FIELDS} fields) or RetinaNet's ({_RETINANET_FIELDS} fields): got"
            f" `{','.join(first)[:80]}`. Add a header."
        )
    if style == "header":
        columns = _columns_of(first)
        return "xyxy_px", [_headed_row(table, *each, columns, len(first)) for each in records]
    parse = _automl_row if style == "AutoML" else _retinanet_row
    rows = [parse(table, number, first), *(parse(table, *each) for each in records)]
    return "xyxy" if style == "AutoML" else "xyxy_px", rows


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
    corners = first[1:5]
    plain = len(first) == _RETINANET_FIELDS and (all(map(layout.is_number, corners)) or not any(first[1:]))
    return "RetinaNet" if plain else ""


def _columns_of(header: Sequence[str]) -> dict[str, int]:
    """Returns {meaning: index} of a header's columns."""
    names = [field.casefold() for field in header]
    found = ((meaning, [names.index(name) for name in known if name in names]) for meaning, known in _COLUMNS.items())
    return {meaning: indices[0] for meaning, indices in found if indices}


def _headed_row(table: Path, number: int, fields: list[str], columns: Mapping[str, int], width: int) -> Row:
    _check_width(table, number, fields, width)
    values = {meaning: fields[index] for meaning, index in columns.items()}
    return Row(
        number=number,
        path=values["path"],
        corners=tuple(values[corner] for corner in _NEEDED[1:5]),
        name=values["class"],
        split=values.get("split", ""),
        size=(values.get("height", ""), values.get("width", "")),
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


def _retinanet_row(table: Path, number: int, fields: list[str]) -> Row:
    _check_width(table, number, fields, _RETINANET_FIELDS)
    return Row(number, fields[0], tuple(fields[1:5]), fields[5])


def _check_width(table: Path, number: int, fields: Sequence[str], width: int) -> None:
    if len(fields) != width:
        raise errors.UserError(f"{table}: row {number} has {len(fields)} fields, the first row {width}. Correct it.")


def _split_of(row: Row, of_table: str, table: Path) -> str:
    """Returns a row's split; its own comes before its table's."""
    if not row.split:
        return of_table
    known = base.SPLIT_NAMES | {name.casefold(): split for name, split in _AUTOML_SETS.items()}
    if row.split.casefold() not in known:
        raise errors.UserError(f"{table}: row {row.number} is of the split `{row.split}`.{_known(known)}")
    return known[row.split.casefold()]


def _locate(row: Row, split: str, table: Path) -> Path:
    """Returns where an image is, or would be."""
    if not row.path:
        raise errors.UserError(f"{table}: row {row.number} names no image. Write its path or remove the row.")
    if "://" in row.path:
        raise errors.UserError(
            f"{table}: row {row.number} names `{row.path}`, but only local files are read. Copy the images beside the"
            " table (`gsutil -m cp` for gs:// paths) and write their local paths."
        )
    names = [name for name, of in base.SPLIT_NAMES.items() if of == split]
    folders = ["", "images", *names, *(f"images/{name}" for name in names)]
    candidates = [table.parent / folder / row.path for folder in folders]
    candidates += [table.parent / row.path.replace("\\", "/")]
    return next((path for path in candidates if path.is_file()), candidates[0])


def _read(name: str, rows: Sequence[Row], path: Path, box_form: str) -> annotated.NamedImage:
    """Reads one image's rows."""
    boxes, names, problem, size = [], [], None, None
    for row in rows:
        if all(side.isdecimal() and int(side) > 0 for side in row.size) and row.size:
            size = (int(row.size[0]), int(row.size[1]))
        if not any(row.corners) and not row.name:
            continue
        wrong = next((corner for corner in row.corners if not layout.is_number(corner)), None)
        if wrong is not None or not row.name:
            lacks = "a class" if wrong is None else "xmin, ymin, xmax, ymax as numbers"
            problem = f"row {row.number} needs {lacks}: got `{','.join((*row.corners, row.name))}`"
            break
        boxes.append(tuple(float(corner) for corner in row.corners))
        names.append(row.name)
    if problem:
        boxes, names = [], []
    image = annotated.AnnotatedImage(
        source_id=name,
        path=str(path),
        size=size,
        boxes=tuple(boxes),
        is_crowd=(False,) * len(boxes),
        areas_px=(None,) * len(boxes),
        box_form=box_form,
        problem=problem,
    )
    return annotated.NamedImage(image, tuple(names))


def _unnamed(paths: set[Path]) -> list[annotated.Notice]:
    """Notes the images that no table names, in the folders of those that they name."""
    folders = sorted({path.parent for path in paths if path.parent.is_dir()})
    return [
        annotated.Notice("unnamed_image", str(folder / name), "no row names it")
        for folder in folders
        for name in layout.image_names(folder, deep=False)
        if folder / name not in paths
    ]


def _known(names: Mapping[str, str]) -> str:
    return f" Write one of: {', '.join(names)}."
