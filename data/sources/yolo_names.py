"""Reads what names the classes of YOLO labels, and compares all places that do."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from data import errors
from data.sources import class_labels, layout, values

YAML = (".yaml", ".yml")

_FILES = ("classes.txt", "obj.names", "_darknet.labels")


class _Loader(yaml.SafeLoader):
    """YAML whose keys come once, and whose numbers stay text where they are not written as Python writes them."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuses a key that comes twice: the last would count, without a word."""
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                text = f"the key `{key.value}` comes twice"
                raise yaml.constructor.ConstructorError(None, None, text, key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        return super().construct_mapping(node, deep)

    def _number(self, node: yaml.ScalarNode) -> Any:
        """Returns a number; the text of one as 0010, which YAML takes for 8."""
        is_int = node.tag.endswith(":int")
        number = self.construct_yaml_int(node) if is_int else self.construct_yaml_float(node)
        return number if str(number) == node.value else node.value


for _tag in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _Loader._number)


def parse_yaml(file: Path) -> dict[str, Any]:
    """Reads a data.yaml.

    Args:
        file: its path.

    Returns:
        Its table.

    Raises:
        UserError: it cannot be read, is malformed, names a key twice, or is no table.
    """
    try:
        table = yaml.load(layout.read_text(file, "YAML"), _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        reason = " ".join(str(getattr(error, "problem", None) or getattr(error, "reason", error)).split())
        raise errors.UserError(f"{file}: malformed YAML{where}: {reason}. Correct it.") from error
    if not isinstance(table, dict):
        raise errors.UserError(f"{file}: YOLO's data.yaml is `key: value` lines: got {type(table).__name__}.")
    return table


def read_list(file: Path) -> tuple[str, ...]:
    """Reads a file of classes, one a line.

    Args:
        file: its path.

    Returns:
        The names, by number.

    Raises:
        UserError: it cannot be read, or a line between the names is blank.
    """
    lines = [line.strip() for line in layout.read_text(file, "text").rstrip().splitlines()]
    if "" in lines:
        raise errors.UserError(
            f"{file}: line {lines.index('') + 1} is blank. A class has the number of its line, so it is not clear which"
            " numbers the names below have: remove the line, or write a name there."
        )
    return tuple(lines)


def of_table(table: Mapping[str, Any], file: Path) -> tuple[str, ...]:
    """Returns the class names of a data.yaml or of a Darknet's obj.data.

    Args:
        table: of the file.
        file: its path, for errors.

    Returns:
        The names, by number.

    Raises:
        UserError: `names` is missing or malformed, or the file says that there are more or fewer.
    """
    names = table.get("names")
    if isinstance(names, dict):
        numbers = [values.whole(key) for key in names]
        if sorted(-1 if number is None else number for number in numbers) != list(range(len(names))):
            raise errors.UserError(
                f"{file}: `names` must be numbered from 0 without gaps: got {', '.join(map(str, names))}."
            )
        names = [name for _, name in sorted(zip(numbers, names.values(), strict=True), key=lambda entry: entry[0] or 0)]
    if not isinstance(names, list) or not names:
        raise errors.UserError(f"{file}: needs the classes as a list `names`: got {names!r}.")
    for number, name in enumerate(names):
        if isinstance(name, bool) or not isinstance(name, str | int | float):
            raise errors.UserError(f"{file}: name {number} of `names` must be text: got {name!r}. Write it in quotes.")
    key = "nc" if file.suffix.lower() in YAML else "classes"  # the word of Darknet
    if values.whole(table.get(key, len(names))) != len(names):
        raise errors.UserError(
            f"{file}: `{key}` is {table[key]!r}, but `names` has {len(names)} names. Correct one of them."
        )
    return tuple(str(name) for name in names)


def check_all(
    file: Path,
    names: tuple[str, ...],
    folders: Iterable[Path],
    was_chosen: bool,
    has_place: Callable[[Mapping[str, Any], Path], bool],
) -> None:
    """Compares the classes' names with those of every other file that names them.

    Args:
        file: that they come from.
        names: of the classes, by number; where one list is longer, only what both have is compared.
        folders: to look in.
        was_chosen: whether the user has named the file, so that another data.yaml does not count.
        has_place: says of the table of a data.yaml and its path whether a place that it names is there; one without,
            as a coco.yaml that lies about, is of another dataset.

    Raises:
        UserError: one differs.
    """
    for other, listed in _others(folders, was_chosen, has_place):
        apart = ((class_labels.plain(one), class_labels.plain(two)) for one, two in zip(names, listed, strict=False))
        if not _same(other, file) and any(one != two for one, two in apart):
            choice = f", or name the one that counts, as yolo:{file}" if other.suffix.lower() in YAML else ""
            raise errors.UserError(
                f"{file} names the classes {', '.join(names)}; {other} names them {', '.join(listed)}. Which is right"
                f" decides what every label means: correct one of them, or remove it{choice}."
            )


def _others(
    folders: Iterable[Path], was_chosen: bool, has_place: Callable[[Mapping[str, Any], Path], bool]
) -> Iterator[tuple[Path, tuple[str, ...]]]:
    for folder in dict.fromkeys(folders):
        for file in (folder / name for name in layout.file_names(folder, "") if name.casefold() in _FILES):
            if file.is_file():
                yield file, read_list(file)
        for file in () if was_chosen else (path for end in YAML for path in layout.files(folder, end)):
            try:
                table = parse_yaml(file)
                names = of_table(table, file)
            except errors.UserError:  # it is no data.yaml
                continue
            if has_place(table, file):
                yield file, names


def _same(one: Path, other: Path) -> bool:
    return one.name == other.name and one.samefile(other)
