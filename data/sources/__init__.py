"""One registry of readers; `open_source` turns `--dataset=KIND:ARGUMENT` into a source."""

from collections.abc import Sequence
from pathlib import Path

from data import errors
from data.sources import base, coco, road_scenes

Source = base.Source
SPLITS = base.SPLITS

READERS: dict[str, type[Source]] = {reader.kind: reader for reader in (coco.CocoSource, road_scenes.RoadScenesSource)}


def open_source(spec: str, classes: Sequence[str] | None = None, required_splits: Sequence[str] = SPLITS) -> Source:
    """Opens detection data.

    Args:
        spec: "KIND" or "KIND:ARGUMENT", for example "road_scenes", "road_scenes:seed=3,look=thermal" or
            "coco:PATH"; or the bare path of a folder in a layout that a reader recognises.
        classes: names of the classes to detect, in label order; boxes of others are dropped and their images
            stay as negatives. None takes all classes in the data's own order.
        required_splits: of "train", "val", "test", those that must be there.

    Returns:
        The source.

    Raises:
        UserError: the kind, path, layout, a parameter or a class is unknown, an annotation file is malformed,
            or a required split is missing.
    """
    kind, colon, argument = spec.partition(":")
    if kind in READERS and (colon or not argument):
        return READERS[kind].open(spec, argument, classes, required_splits)
    path = Path(spec).expanduser()
    if spec and path.exists():
        return _recognise(spec, path).open(spec, spec, classes, required_splits)
    if not colon and (path.is_absolute() or len(path.parts) > 1):
        raise errors.UserError(f"Dataset `{spec}`: there is no such path. Give an existing folder, or KIND:PATH.")
    usage = "; ".join(f"{name}{reader.argument_help}" for name, reader in READERS.items())
    raise errors.UserError(f"Unknown dataset kind `{kind}`.{errors.nearest(kind, READERS)} Write one of: {usage}.")


def _recognise(spec: str, path: Path) -> type[Source]:
    for reader in READERS.values():
        if reader.recognises(str(path)):
            return reader
    raise errors.UserError(
        f"Dataset `{spec}`: its layout is not recognised; it holds {base.found_in(path)}."
        f" Say which one it is with KIND:PATH; kinds: {', '.join(READERS)}."
    )
