"""The flags that say which data to read, the same for every command that reads a dataset."""

from typing import Any

from absl import flags

from data import errors, sources

_CLASSES_HELP = (
    "Detect these classes only, in this order; NEW=OLD renames, NEW=OLD+OLD merges, as person,vehicle=car+truck."
    " All by default."
)
_SPLITS_HELP = (
    "Shares of train, val and test to divide the whole dataset into, as 0.8,0.1,0.1; by default it keeps its own, and a"
    " val or test that it lacks is taken out of train."
)
_GROUP_BY_HELP = (
    "Regular expression: images whose names agree in what it finds (its first group, where it has one) stay in one"
    " split, as the frames of a video should."
)
_LIMIT_HELP = "At most this many images of each split, evenly spread."
_MIN_BOX_HELP = "Objects whose shorter side has fewer pixels become regions to ignore, in training and evaluation."
_EXIF_HELP = "Whether boxes belong to the image as its EXIF orientation turns it; auto decides by the annotated size."
_UNITS_HELP = "Unit of the boxes in the annotation files; auto takes the format's own."

_TAKING = ("splits", "split_seed", "group_by", "limit", "min_box_px", "exif", "box_units")


def define_flags(flag_values: flags.FlagValues) -> None:
    """Adds `--dataset` and what to take of it."""
    kinds = "; ".join(f"{name}{reader.argument_help}" for name, reader in sources.READERS.items())
    flags.DEFINE_string(
        "dataset",
        None,
        f"Path of a folder or file, whose format is recognised, or KIND:PATH. Kinds: {kinds}.",
        required=True,
        flag_values=flag_values,
    )
    flags.DEFINE_list("classes", None, _CLASSES_HELP, flag_values=flag_values)
    flags.DEFINE_string("splits", None, _SPLITS_HELP, flag_values=flag_values)
    flags.DEFINE_integer(
        "split_seed", 0, "Seed of --splits and of what is taken out of train.", lower_bound=0, flag_values=flag_values
    )
    flags.DEFINE_string("group_by", None, _GROUP_BY_HELP, flag_values=flag_values)
    flags.DEFINE_integer("limit", None, _LIMIT_HELP, lower_bound=1, flag_values=flag_values)
    flags.DEFINE_float("min_box_px", 0.0, _MIN_BOX_HELP, lower_bound=0, flag_values=flag_values)
    flags.DEFINE_enum("exif", "auto", ("auto", "apply", "ignore"), _EXIF_HELP, flag_values=flag_values)
    flags.DEFINE_enum("box_units", "auto", ("auto", "pixels", "normalized"), _UNITS_HELP, flag_values=flag_values)


def define_training_flags(flag_values: flags.FlagValues) -> None:
    """Adds what only training can use: tiles, and another dataset to test on."""
    strings = {
        "tile": "Cut train and val into ROWSxCOLS tiles, as 2x2:0.2 with an overlap of 0.2 of a tile, for small"
        " objects; the exported model does the same with a whole image. Short for --set=input.tile.",
        "test_dataset": "Test on the test split of this dataset, written as --dataset.",
    }
    for name, text in strings.items():
        flags.DEFINE_string(name, None, text, flag_values=flag_values)
    flags.DEFINE_list(
        "test_classes",
        None,
        "Classes of --test_dataset, written as --classes; by default names pair that agree in all but case.",
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
