"""Reads CSV tables of boxes, one row a box, in three styles told apart by the first row.

- A header with an image's path, xmin, ymin, xmax, ymax (px) and class, in any order and under the names in
  `csv_rows.COLUMNS`; also split, width, height and a flag of regions to ignore. Where width and height are the boxes'
  in every row, they say nothing of the image. torchvision's, TensorFlow's and Roboflow's tables are such.
- Google AutoML's, without a header: `SET,path,label,x1,y1,x2,y1,x2,y2,x1,y2`, fractions of the image's sides, of the
  eight at least two opposite corners; SET is TRAIN, VALIDATION or TEST (of Vertex AI: training, ...), and UNASSIGNED
  counts as train.
- RetinaNet's, without a header: `path,x1,y1,x2,y2,class` (px), or `path,class,x1,y1,x2,y2` where the class is a word.
  Rows that both orders could explain are a question.

A row with a path and no box is an image without objects. Paths are local and relative to the table, to images/ or to a
folder named as the split beside it; what is alike counts, too (`locate`). A folder holds train.csv, val.csv and
test.csv, or tables whose names hold these words, or one table, or Roboflow's train/_annotations.csv; a table's own
split column comes first. Where nothing else says the split, folders train/, val/, test/ above the images do. Classes
are sorted by name.
"""

import collections
import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from data import errors
from data.sources import annotated, base, class_labels, csv_rows, division, layout, locate, values

_CLASS_MAPS = ("classes.csv", "class_list.csv", "class-descriptions.csv")


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
        groups: dict[str, list[csv_rows.Row]] = collections.defaultdict(list)
        stated_in: dict[tuple[str, str], tuple[csv_rows.Row, Path]] = {}
        forms, notices = set(), []
        for split, table in tables.items():
            form, rows = csv_rows.read_table(table)
            forms.add(form)
            notices += _check_numbers(rows, table)
            rows, without = _clear_names(rows, table)
            notices += without
            for row in rows:
                target = _split_of(row, split, table, len(tables) > 1)
                stated_in.setdefault((target, row.path), (row, table))
                groups[target].append(row)
        if len(forms) > 1:
            raise errors.UserError(f"Dataset `{spec}`: its tables differ in style. Write all of them in one.")
        layout.check_any(spec, groups)
        finder = locate.Finder(root if root.is_dir() else root.parent, groups)
        places = _places(stated_in, finder)
        found = {
            split: [_read(*image, *forms) for image in _by_image((row, places[split, row.path]) for row in rows)]
            for split, rows in groups.items()
        }
        if _says_no_split(tables, root) and not any(row.split for rows in groups.values() for row in rows):
            found = division.divide_by_folder(found["train"], _path_of, finder.root, options.is_test_set)
        paths = {file for file, _ in places.values()}
        images, class_names = class_labels.label_by_name(found)
        notices += [*finder.notices(), *_left_out(tables, root, paths), *_unnamed(paths)]
        return cls(spec, images, class_names, options, notices)

    @classmethod
    def recognises(cls, path: Path) -> str | None:
        """Says which table has which style; None where there is none."""
        if path.is_file() and path.suffix.lower() != ".csv":
            return None
        for table in find_tables(path).values():
            try:
                style = csv_rows.style_at(table)
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
        others = [table for table in layout.files(path, ".csv") if table.name.casefold() not in _CLASS_MAPS]
        for table in others:
            split = layout.split_within(table.stem)
            if split and tables.setdefault(split, table) != table:
                raise errors.UserError(f"`{path}` has two for {split}: {tables[split].name}, {table.name}. Keep one.")
        if not tables and len(others) == 1:
            tables = {"train": others[0]}
        tables = {split: tables[split] for split in base.SPLITS if split in tables}
    return tables


def _path_of(named: annotated.NamedImage) -> str:
    return named.image.path


def _unnamed(paths: Collection[Path]) -> list[annotated.Notice]:
    """Notes the images that lie beside those that rows name."""
    folders = sorted({path.parent for path in paths if path.parent.is_dir()})
    named = set(map(str, paths))
    beside = (layout.unnamed_images(folder, named, "no row names it", deep=False) for folder in folders)
    return [notice for notices in beside for notice in notices]


def _says_no_split(tables: Mapping[str, Path], root: Path) -> bool:
    """Says whether the tables are one whose name and folder say no split."""
    (table, *others) = tables.values()
    in_split = root.is_dir() and table.parent != root
    return not others and not in_split and not (base.split_named(table.stem) or layout.split_within(table.stem))


def _left_out(tables: Mapping[str, Path], root: Path, images: Iterable[Path]) -> list[annotated.Notice]:
    """Notes the tables of boxes and the folders of images that lie beside those that are read."""
    folders = {table.parent for table in tables.values()}
    if root not in folders:
        return layout.beside(root, folders.union(image.parent for image in images)) if root.is_dir() else []
    others = [table for table in layout.files(root, ".csv") if table not in tables.values() and root.is_dir()]
    read = " and ".join(f"`{table.name}`" for table in tables.values())
    return [
        annotated.Notice("left_out", str(table), f"{read} {'are' if len(tables) > 1 else 'is'} read")
        for table in others
        if table.name.casefold() not in _CLASS_MAPS and _is_table(table)
    ]


def _is_table(table: Path) -> bool:
    try:
        return bool(csv_rows.style_at(table))
    except errors.UserError:
        return False


def _check_numbers(rows: Sequence[csv_rows.Row], table: Path) -> list[annotated.Notice]:
    """Compares the classes' numbers with their names, where a table has both.

    Raises:
        UserError: a number goes with two names.
    """
    first: dict[str, csv_rows.Row] = {}
    for row in (row for row in rows if row.class_number and row.name):
        other = first.setdefault(row.class_number, row)
        if other.name != row.name and class_labels.plain(other.name) != class_labels.plain(row.name):
            raise errors.UserError(
                f"{table}: class {row.class_number} is called `{other.name}` in row {other.number} and `{row.name}` in"
                f" row {row.number}. Correct one of them."
            )
    return class_labels.merged_names(((number, row.name) for number, row in first.items()), table)


def _clear_names(rows: Sequence[csv_rows.Row], table: Path) -> tuple[list[csv_rows.Row], list[annotated.Notice]]:
    """Takes the class from the rows of one that has no box in the whole table, as "No finding", and notes it."""
    boxed = {row.name for row in rows if any(row.corners)}
    counts = collections.Counter(row.name for row in rows if row.name and row.name not in boxed)
    notices = [
        annotated.Notice("left_out", str(table), f"no row of the class `{name}` has a box; {_means(count)}")
        for name, count in counts.items()
    ]
    return [dataclasses.replace(row, name="") if row.name in counts else row for row in rows], notices


def _means(count: int) -> str:
    return f"its {count} rows mean images without objects" if count > 1 else "its 1 row means an image without objects"


def _split_of(row: csv_rows.Row, of_table: str, table: Path, by_table: bool) -> str:
    """Returns a row's split; its own comes before its table's, but where each split has a table they must agree."""
    if not row.split:
        return of_table
    known = base.SPLIT_NAMES | {name.casefold(): split for name, split in csv_rows.AUTOML_SETS.items()}
    if row.split.casefold() not in known:
        raise errors.UserError(f"{table}: row {row.number} is of the split `{row.split}`.{csv_rows.known(known)}")
    split = known[row.split.casefold()]
    if by_table and split != of_table:
        raise errors.UserError(
            f"{table}: row {row.number} is of the split `{row.split}`, in the table of {of_table}. Correct one of them."
        )
    return split


def _places(
    stated_in: Mapping[tuple[str, str], tuple[csv_rows.Row, Path]], finder: locate.Finder
) -> dict[tuple[str, str], tuple[Path, str | None]]:
    """Locates images, by split and stated path; the folders of a table are looked for once, not once an image."""
    folders = {key: _folders(*key) for key in {(table, split) for (split, _), (_, table) in stated_in.items()}}
    return {
        (split, name): _locate(row, table, folders[table, split], split, finder)
        for (split, name), (row, table) in stated_in.items()
    }


def _folders(table: Path, split: str) -> list[Path]:
    """Returns where the images of a table's split may lie."""
    images = layout.folder_named(table.parent, "images")
    folders = [table.parent, *filter(None, [images])]
    return folders + [of for folder in folders if (of := layout.split_folders(folder).get(split))]


def _locate(
    row: csv_rows.Row, table: Path, folders: Sequence[Path], split: str, finder: locate.Finder
) -> tuple[Path, str | None]:
    """Returns where an image is, or would be, and why it is not clear which is meant."""
    if not row.path:
        raise errors.UserError(f"{table}: row {row.number} names no image. Write its path or remove the row.")
    if "://" in row.path:
        raise errors.UserError(
            f"{table}: row {row.number} names `{row.path}`, but only local files are read. Copy the images beside the"
            " table (`gsutil -m cp` for gs:// paths) and write their local paths."
        )
    return finder.find(row.path, folders, split)


def _by_image(
    placed: Iterable[tuple[csv_rows.Row, tuple[Path, str | None]]],
) -> Iterator[tuple[str, list[csv_rows.Row], Path, str | None]]:
    """Yields each image's name, rows, file and why it is unclear; rows may spell its path in several ways."""
    groups: dict[tuple[str, str | None], list[tuple[csv_rows.Row, Path]]] = collections.defaultdict(list)
    for row, (path, unclear) in placed:
        groups[annotated.real_path(str(path)), unclear].append((row, path))
    for (_, unclear), pairs in groups.items():
        first, path = next((pair for pair in pairs if str(pair[1]).endswith(f"/{pair[0].path}")), pairs[0])
        yield first.path, [row for row, _ in pairs], path, unclear


def _read(
    name: str, rows: Sequence[csv_rows.Row], path: Path, unclear: str | None, box_form: str
) -> annotated.NamedImage:
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
