"""What readers share that find images and annotations in folders."""

import collections
import itertools
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

from data import errors
from data.sources import annotated, base, text_bytes

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp")
_WITH_FLAG = re.compile(r"(.*\S)\s+(-1|0|1)")
_NOBODYS = ("@eaDir", "__MACOSX")  # thumbnails of Synology's servers, and what macOS puts into archives


def existing(spec: str, kind: str, argument: str) -> Path:
    """Finds the path that a dataset names.

    Args:
        spec: what the user typed, for the error.
        kind: of the reader.
        argument: the path, as typed.

    Returns:
        The path of an existing file or folder.

    Raises:
        UserError: it is missing.
    """
    path = Path(argument).expanduser()
    if argument and path.exists():
        return path
    missing = f"there is no folder `{argument}`" if argument else "the path is missing"
    raise errors.UserError(f"Dataset `{spec}`: {missing}. Write {kind}:PATH with the path of an existing folder.")


def existing_folder(spec: str, kind: str, argument: str) -> Path:
    """Finds the folder that a dataset names; arguments and errors as `existing`, and a file is an error."""
    path = existing(spec, kind, argument)
    if not path.is_dir():
        raise errors.UserError(f"Dataset `{spec}`: `{path}` is a file. Name the folder that holds it.")
    return path


def nothing_found(spec: str, root: Path, looked_for: str) -> errors.UserError:
    """Words the error about a folder that is not in a reader's layout.

    Args:
        spec: what the user typed.
        root: the folder.
        looked_for: the layouts.
    """
    return errors.UserError(
        f"Dataset `{spec}`: looked in `{root}` for {looked_for}; found {base.found_in(root)}."
        " Add the files or correct the path."
    )


def is_image(name: str) -> bool:
    """Says whether a file name ends as those of images do."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not is_nobodys(name)


def is_nobodys(name: str) -> bool:
    """Says whether a file or folder of this name is no data: it is hidden, or another program's."""
    return name.startswith(".") or name in _NOBODYS


def walk(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Walks through a folder and those below it, and follows links.

    A folder that several paths lead to is visited once, by its own path where it has one here; but once for each split
    whose name is in a path, as two splits may be links to one folder. What `is_nobodys` says of is left out: other
    programs keep theirs under such names.

    Args:
        folder: a path that need not exist.

    Yields:
        The path of each folder inside the first, "" or ending with "/", and the names of its files, sorted.
    """
    waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
    linked: collections.deque[tuple[str, frozenset[tuple[int, int]]]] = collections.deque()
    seen: set[tuple[int, int, frozenset[str | None]]] = set()
    while waiting or linked:
        inside, above = waiting.pop() if waiting else linked.popleft()
        path = os.path.join(folder, inside)
        try:
            stat = os.stat(path)
            entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        except OSError:
            continue
        here = (stat.st_dev, stat.st_ino)
        visit = (*here, frozenset(map(base.split_named, inside.split("/"))))
        if here in above or visit in seen:
            continue
        seen.add(visit)
        entries = [entry for entry in entries if not is_nobodys(entry.name)]
        folders = {entry.name: (f"{inside}{entry.name}/", above | {here}) for entry in entries if _is_folder(entry)}
        links = {entry.name for entry in entries if entry.name in folders and entry.is_symlink()}
        yield inside, [entry.name for entry in entries if entry.name not in folders]
        linked += [folders[name] for name in sorted(links)]
        waiting += [folders[name] for name in sorted(folders.keys() - links, reverse=True)]


def image_names(folder: Path, deep: bool = True) -> list[str]:
    """Lists the images of a folder.

    Args:
        folder: an existing path.
        deep: also those in folders below it.

    Returns:
        Paths inside the folder with "/" between their parts, sorted.
    """
    return _names(folder, is_image, deep)


def file_names(folder: Path, suffix: str, deep: bool = False) -> list[str]:
    """Lists the files of a folder whose names end with a suffix, in any case.

    Args:
        folder: a path that need not exist.
        suffix: as ".xml".
        deep: also those in folders below it.

    Returns:
        Paths inside the folder with "/" between their parts, sorted.
    """
    return _names(folder, lambda name: name.lower().endswith(suffix), deep)


def files(folder: Path, suffix: str, deep: bool = False) -> list[Path]:
    """Lists the paths of `file_names`, without links to nowhere."""
    return [path for name in file_names(folder, suffix, deep) if (path := folder / name).is_file()]


def _names(folder: Path, is_wanted: Callable[[str], bool], deep: bool) -> list[str]:
    walked = walk(folder) if deep else itertools.islice(walk(folder), 1)
    return sorted(inside + name for inside, names in walked for name in names if is_wanted(name))


def folder_named(folder: Path, *names: str) -> Path | None:
    """Returns the folder in another one that has the first of some names that is there, in any case."""
    exact = next((path for name in names if (path := folder / name).is_dir()), None)
    if exact:  # found without listing the folder, which is asked about for each of the thousands in it
        return exact
    there = {path.name.casefold(): path for path in sorted(subfolders(folder), reverse=True)}
    return next((there[name.casefold()] for name in names if name.casefold() in there), None)


def subfolders(folder: Path) -> list[Path]:
    """Lists the folders in a folder, sorted."""
    entries = os.scandir(folder) if folder.is_dir() else ()
    return sorted(folder / entry.name for entry in entries if _is_folder(entry) and not is_nobodys(entry.name))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def stem(name: str) -> str:
    """Returns a path without an image's or an annotation file's ending; other dots belong to the name."""
    head, tail = os.path.splitext(name)
    return head if tail.lower() in (*IMAGE_SUFFIXES, ".xml", ".txt", ".json") else name


def split_folders(root: Path) -> dict[str, Path]:
    """Finds folders that are named as splits.

    Args:
        root: an existing folder.

    Returns:
        The folders, by split, in the order train, val, test.

    Raises:
        UserError: two folders are one split, as `val/` and `valid/`.
    """
    return _by_split((folder.name, folder) for folder in subfolders(root))


def split_files(folder: Path, suffix: str, prefix: str = "") -> dict[str, Path]:
    """Finds files that are named as splits.

    Args:
        folder: a path that need not exist.
        suffix: what follows the split's name, as ".txt".
        prefix: what precedes it, in lower case.

    Returns:
        The files, by split, in the order train, val, test.

    Raises:
        UserError: two files are one split.
    """
    heads = ((path.name[: -len(suffix)], path) for path in files(folder, suffix))
    return _by_split((head[len(prefix) :], path) for head, path in heads if head.casefold().startswith(prefix))


def _by_split(named: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for name, path in named:
        split = base.split_named(name)
        if split is None:
            continue
        if split in found and not found[split].samefile(path):
            raise errors.UserError(f"`{path.parent}` has two for {split}: {found[split].name}, {path.name}. Keep one.")
        found.setdefault(split, path)
    return {split: found[split] for split in base.SPLITS if split in found}


def read_text(path: Path, kind: str) -> str:
    """Reads a text file.

    Args:
        path: of the file.
        kind: what it should hold, for the error, as "JSON".

    Returns:
        Its text, without a byte order mark.

    Raises:
        UserError: the file cannot be read or is not UTF-8 text.
    """
    try:
        with path.open("rb") as file:
            encoding = text_bytes.utf_of(file.read(2))
        return path.read_text(encoding=encoding)
    except OSError as error:
        raise errors.UserError(f"{path}: the file cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise errors.UserError(f"{path}: not UTF-8 text at byte {error.start}. Export it again as {kind}.") from error


def read_names(path: Path, known: Collection[str] = ()) -> list[str]:
    """Reads a file that lists a split's images, one a line.

    A line may end in a VOC class flag, -1, 0 or 1, but such a number may be of the name, too: it is where the whole
    line is a known name. Else it is a flag where the rest is a known name, or where every line ends so.

    Args:
        path: of the file.
        known: names that are there, without endings.

    Returns:
        The names without endings of images, in the file's order, each once.

    Raises:
        UserError: the file cannot be read or is not UTF-8 text.
    """
    lines = [line.strip() for line in read_text(path, "text").splitlines() if line.strip()]
    flagged = {line: match[1] for line in lines if (match := _WITH_FLAG.fullmatch(line))}
    is_of_flags = len(flagged) == len(set(lines))
    names = {line: stem(line) for line in lines}
    for line, name in flagged.items():
        if names[line] not in known and (is_of_flags or stem(name) in known):
            names[line] = stem(name)
    return list(dict.fromkeys(names.values()))


def unnamed_images(
    folder: Path, paths: Collection[str], why: str = "no annotation names it", deep: bool = True
) -> list[annotated.Notice]:
    """Notes the images of a folder that no annotation names.

    Args:
        folder: of the images.
        paths: of those that are annotated.
        why: the detail of each notice.
        deep: also those in folders below it.

    Returns:
        One notice an image.
    """
    named = set(map(annotated.real_path, paths))
    others = (os.path.join(folder, name) for name in image_names(folder, deep))
    return [annotated.Notice("unnamed_image", path, why) for path in others if annotated.real_path(path) not in named]


def beside(root: Path, used: Iterable[Path]) -> list[annotated.Notice]:
    """Notes the images that lie beside what is read: folders, and single files above folders that are read.

    Args:
        root: folder of the dataset.
        used: folders and files whose images are read or noted otherwise.

    Returns:
        One notice a folder; a link to a folder that is read, or above the root, is none.
    """
    known = {path.resolve() for path in used}
    above = {parent for path in known for parent in path.parents}
    notices, waiting = [], [root] if root.resolve() in above else []
    seen = {*known, *root.resolve().parents}  # links may lead back to a folder, or out of the dataset
    while waiting:
        folder = waiting.pop()
        here = folder.resolve()
        if here in seen:
            continue
        seen.add(here)
        names = image_names(folder, deep=here not in above)
        if names:
            count = f"{len(names)} images that are" if len(names) > 1 else "1 image that is"
            notices.append(annotated.Notice("left_out", str(folder), f"{count} not read, as {names[0]}"))
        waiting += reversed(subfolders(folder)) if here in above else ()
    return notices


def split_within(name: str) -> str | None:
    """Returns the split that a word of a name means, as of "train_labels"; None where none does, or several do."""
    splits = {split for word in re.split("[^a-z]+", name.casefold()) if (split := base.split_named(word))}
    return next(iter(splits)) if len(splits) == 1 else None


def is_number(text: str) -> bool:
    """Says whether a text is a number; "nan" and "inf" are."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def check_any(spec: str, images: Mapping[str, Collection[object]]) -> None:
    """Checks that a dataset has an image.

    Args:
        spec: what the user typed.
        images: by split.

    Raises:
        UserError: there is none.
    """
    if not any(images.values()):
        raise errors.UserError(f"Dataset `{spec}` has no image. Add images or correct the path.")


def outermost(paths: Iterable[Path]) -> list[Path]:
    """Leaves out the paths that lie inside another one.

    Args:
        paths: of files and folders.

    Returns:
        The others, each once, in their order.
    """
    given = list(dict.fromkeys(paths))
    known = set(given)
    return [path for path in given if not known.intersection(path.parents)]
