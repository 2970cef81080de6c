"""One registry of readers; `open_source` turns `--dataset=KIND:ARGUMENT` into a source."""

import re
from collections.abc import Sequence
from pathlib import Path

from data import errors, progress
from data.checks import findings
from data.sources import (
    annotated,
    base,
    bdd100k,
    coco,
    createml,
    csv_table,
    cvat,
    datumaro,
    flir,
    kitti,
    labelme,
    recognition,
    road_scenes,
    selection,
    supervisely,
    tfds_builder,
    tfrecord,
    via,
    visdrone,
    voc,
    yolo,
)

Source = base.Source
DataOptions = selection.DataOptions
SPLITS = base.SPLITS
_NAMED = (tfds_builder.TfdsSource.kind, road_scenes.RoadScenesSource.kind)  # what they take is no path
_OPTION = re.compile(r",(?=\w+=)")
_URI = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)

READERS: dict[str, type[base.Reader]] = {
    reader.kind: reader
    for reader in (
        coco.CocoSource,
        voc.VocSource,
        yolo.YoloSource,
        kitti.KittiSource,
        csv_table.CsvSource,
        flir.FlirSource,
        cvat.CvatSource,
        datumaro.DatumaroSource,
        supervisely.SuperviselySource,
        labelme.LabelmeSource,
        via.ViaSource,
        createml.CreatemlSource,
        bdd100k.Bdd100kSource,
        visdrone.VisdroneSource,
        tfrecord.TfrecordSource,
        tfds_builder.TfdsSource,
        road_scenes.RoadScenesSource,
    )
}
_OF_PATHS = frozenset(READERS) - set(_NAMED)  # a plug-in's reader may take a URI


def register(reader: type[base.Reader]) -> type[base.Reader]:
    """Decorates a reader, which `--dataset=KIND:ARGUMENT` then takes.

    Raises:
        ValueError: its `kind` is taken.
    """
    if reader.kind in READERS:
        raise ValueError(f"`kind` must be new: got {reader.kind!r}, which is a reader already.")
    READERS[reader.kind] = reader
    return reader


def open_source(
    spec: str, options: DataOptions | None = None, required_splits: Sequence[str] = SPLITS, carve: bool = True
) -> Source:
    """Opens detection data and takes of it what the options say.

    Args:
        spec: "KIND" or "KIND:ARGUMENT", for example "road_scenes", "road_scenes:seed=3,look=thermal" or
            "coco:PATH"; or the bare path of a file or folder in a layout that a reader recognises.
        options: what to take; None takes everything as it is.
        required_splits: of "train", "val", "test", those that must be there.
        carve: take val and test, where they are missing, out of train; else only say what a run would take.

    Returns:
        The source.

    Raises:
        UserError: the kind, path, layout, a parameter or an option is wrong, an annotation file is malformed, or a
            required split is missing.
    """
    options = options or DataOptions()
    test_source = None
    if options.test_dataset:
        test_source = open_reader(options.test_dataset, options, is_test_set=True)
        require(test_source, ["test"])
    source = selection.SelectedSource(open_reader(spec, options), options, test_source, carve)
    for origin in source.origins:
        _say_notices(origin)
    require(source, required_splits)
    if source.carving:
        lines = (source.carving.describe(spec, carve), source.carving.warning(spec))
        for text in filter(None, lines):
            progress.emit("note", text=text)
    return source


def open_reader(spec: str, options: DataOptions, is_test_set: bool = False) -> base.Reader:
    """Opens the whole of a dataset, with all classes and splits that it has.

    Args:
        spec: as `open_source`.
        options: of which only the answers for `base.ReadOptions` count.
        is_test_set: it is a dataset to test on.

    Raises:
        UserError: the kind, path, layout or a parameter is wrong, or an annotation file is malformed.
    """
    kind, colon, argument = spec.partition(":")
    if _URI.match(argument) if kind in _OF_PATHS else kind not in READERS and _URI.match(spec):
        raise errors.UserError(
            f"Dataset `{spec}` is a URI, and datasets are read from a file system. Copy it to a folder or mount it, and"
            " name that folder."
        )
    answers = base.ReadOptions(options.exif, options.box_units, is_test_set)
    if kind in READERS and (colon or not argument):
        return READERS[kind].open(spec, argument, answers)
    path = Path(spec).expanduser()
    if spec and path.exists():
        found = recognition.recognise(spec, path, READERS)
        progress.emit("note", text=f"Recognised {spec} as {found.kind}, because {found.reason}.")
        reader = READERS[found.kind].open(spec, str(path), answers)
        if isinstance(reader, annotated.AnnotatedSource):
            reader.notices += found.notices
        return reader
    if not colon and (path.is_absolute() or len(path.parts) > 1):
        raise errors.UserError(f"Dataset `{spec}`: there is no such path. Give an existing folder, or KIND:PATH.")
    hint = errors.nearest(kind, READERS) or f" Known: {', '.join(READERS)}."
    raise errors.UserError(f"Unknown dataset kind `{kind}`.{hint} Write KIND:PATH, or the path of a folder.")


def canonical(spec: str) -> str:
    """Writes a dataset's name in one way: with its kind, an absolute path where it has one, and sorted options.

    Args:
        spec: as `open_source` takes it.

    Returns:
        "coco:/data/street" for "coco:street", "street/" and "/data/street" alike, where they are the same folder.
    """
    kind, colon, argument = spec.partition(":")
    if kind not in READERS or (argument and not colon):
        path = Path(spec).expanduser()
        kind, argument = (recognition.recognise(spec, path, READERS).kind, spec) if path.exists() else (spec, "")
    argument = _located(kind, argument)
    return f"{kind}:{argument}" if argument else kind


def _located(kind: str, argument: str) -> str:
    """Sorts the options of a reader's argument; writes the path before them, and that of `data_dir`, absolutely."""
    if kind == road_scenes.RoadScenesSource.kind:
        return ",".join(sorted(filter(None, "".join(argument.split()).split(","))))  # options alone
    is_whole = Path(argument).expanduser().exists()
    path, *options = [argument] if is_whole else _OPTION.split(argument)
    if path and kind not in _NAMED and (any(mark in path for mark in "*?[") or Path(path).expanduser().exists()):
        path = str(Path(path).expanduser().resolve())
    pairs = (option.partition("=") for option in options)
    options = [
        f"{name}={Path(value).expanduser().resolve()}" if name == "data_dir" else f"{name}={value}"
        for name, _, value in pairs
    ]
    return ",".join([path, *sorted(options)])


def _say_notices(source: Source) -> None:
    """Says what is wrong with a dataset as a whole, one line a kind; `ssd-tuner data check` lists all of it."""
    groups: dict[str, list[annotated.Notice]] = {}
    for notice in getattr(source, "notices", ()):
        groups.setdefault(notice.kind, []).append(notice)
    for kind, notices in groups.items():
        first = f"{notices[0].file}{': ' if notices[0].detail else ''}{notices[0].detail}"
        others = f" and {len(notices) - 1} more" if len(notices) > 1 else ""
        progress.emit("note", text=f"`{source.spec}`: {findings.describe(kind).title}: {first}{others}.")


def require(source: Source, splits: Sequence[str]) -> None:
    """Checks that a dataset has splits, with an image each.

    Raises:
        UserError: one is missing; says why it could not be taken out of train.
    """
    missing = [split for split in splits if split not in source.splits or not source.items(split)]
    if missing:
        has = ", ".join(f"{split} ({len(source.items(split))} images)" for split in source.splits)
        options = getattr(source, "options", None)
        if options and not options.splits and "train" not in missing:
            groups = f" in as many groups of --group_by={options.group_by}" if options.group_by else ""
            advice = f"To be divided, train needs {1 + len(missing)} usable images{groups}. Add images, or the splits."
            advice += _first_problem(source)
        else:
            advice = (
                "Divide it with --splits=0.8,0.1,0.1 (--group_by=REGEX keeps the frames of a sequence together), or add"
                " the files."
            )
        raise errors.UserError(
            f"Dataset `{source.spec}` has no split {' and no split '.join(missing)}; it has {has or 'none'}. {advice}"
        )


def _first_problem(source: Source) -> str:
    """Says why the first train image that is unusable is that; "" where none is."""
    for item in source.items("train") if "train" in source.splits else ():
        try:
            source.load(item)
        except errors.BadExampleError as error:
            return f" First that is not usable: {error}."
    return ""
