"""The flags that say which data to read, the same for every command that reads a dataset."""

from typing import Any

from absl import flags

from data import errors, sources

_CLASSES_HELP = (
    "Detect only these classes, in this order. NEW=OLD renames a class and NEW=OLD+OLD merges classes, for example"
    " person,vehicle=car+truck. By default all classes."
)
_SPLITS_HELP = (
    "Divide the whole dataset anew into these shares of train, val and test, for example 0.8,0.1,0.1. By default the"
    " dataset keeps its own splits, and a missing val or test split is taken out of train."
)
_GROUP_BY_HELP = (
    "Regular expression. Images in whose names it finds the same text (its first group, if it has one) stay in one"
    " split. Use it for the frames of a video."
)
_LIMIT_HELP = "Use at most this many images of each split, evenly spread."
_MIN_BOX_HELP = "In training and evaluation, ignore objects whose shorter side has fewer pixels than this."
_EXIF_HELP = (
    "Whether the boxes refer to the image as rotated by its EXIF orientation (apply) or as stored (ignore); auto"
    " decides by the annotated size."
)
_UNITS_HELP = "Unit of the boxes in the annotation files; auto uses the format's own unit."

_TAKING = ("splits", "split_seed", "group_by", "limit", "min_box_px", "exif", "box_units")


def define_flags(flag_values: flags.FlagValues) -> None:
    """Adds `--dataset` and what to take of it."""
    kinds = "; ".join(f"{name}{reader.argument_help}" for name, reader in sources.READERS.items())
    flags.DEFINE_string(
        "dataset",
        None,
        f"Path of a folder or file, whose format is then recognised, or KIND:PATH. Kinds: {kinds}.",
        required=True,
        flag_values=flag_values,
    )
    flags.DEFINE_list("classes", None, _CLASSES_HELP, flag_values=flag_values)
    flags.DEFINE_string("splits", None, _SPLITS_HELP, flag_values=flag_values)
    flags.DEFINE_integer(
        "split_seed",
        0,
        "Seed for --splits and for splits that are taken out of train.",
        lower_bound=0,
        flag_values=flag_values,
    )
    flags.DEFINE_string("group_by", None, _GROUP_BY_HELP, flag_values=flag_values)
    flags.DEFINE_integer("limit", None, _LIMIT_HELP, lower_bound=1, flag_values=flag_values)
    flags.DEFINE_float("min_box_px", 0.0, _MIN_BOX_HELP, lower_bound=0, flag_values=flag_values)
    flags.DEFINE_enum("exif", "auto", ("auto", "apply", "ignore"), _EXIF_HELP, flag_values=flag_values)
    flags.DEFINE_enum("box_units", "auto", ("auto", "pixels", "normalized"), _UNITS_HELP, flag_values=flag_values)


def define_training_flags(flag_values: flags.FlagValues) -> None:
    """Adds what only training can use: tiles, and another dataset to test on."""
    strings = {
        "tile": "For small objects: cut the train and val images into ROWSxCOLS tiles; 2x2:0.2 overlaps them by 0.2"
        " of a tile. The exported model cuts a whole image in the same way. Short for --set=input.tile.",
        "test_dataset": "Use the test split of this dataset. The syntax is that of --dataset.",
    }
    for name, text in strings.items():
        flags.DEFINE_string(name, None, text, flag_values=flag_values)
    flags.DEFINE_list(
        "test_classes",
        None,
        "Classes of --test_dataset. The syntax is that of --classes. By default classes are paired by name, ignoring"
        " case.",
        flag_values=flag_values,
    )


def options(flag_values: flags.FlagValues) -> sources.DataOptions:
    """Collects the options from the flags of `define_flags`, and of `define_training_flags` where they are defined.

    Raises:
        UserError: `--splits` is not three numbers.
    """
    values: dict[str, Any] = {name: flag_values[name].value for name in _TAKING}
    values["group_by"] = values["group_by"] or ""
    values["splits"] = _shares(values["splits"])
    values["classes"] = tuple(flag_values["classes"].value) if flag_values["classes"].value else None
    if "test_dataset" in flag_values:
        values["test_dataset"] = flag_values["test_dataset"].value or ""
        wanted = flag_values["test_classes"].value
        values["test_classes"] = tuple(wanted) if wanted else None
    return sources.DataOptions(**values)


def open_dataset(flag_values: flags.FlagValues, required_splits: tuple[str, ...] = ()) -> sources.Source:
    """Opens what the flags of `define_flags` name, with the splits that it has; a note says what a run would add.

    Args:
        flag_values: parsed flags.
        required_splits: those that must be there.

    Raises:
        UserError: as `sources.open_source`.
    """
    return sources.open_source(flag_values["dataset"].value, options(flag_values), required_splits, carve=False)


def _shares(text: str | None) -> tuple[float, ...] | None:
    if not text:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise errors.UserError(
            f"`--splits` needs shares of train, val and test, as 0.8,0.1,0.1: got `{text}`."
        ) from error
