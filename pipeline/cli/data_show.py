"""`ssd-tuner data show`: a contact sheet of ground truth, or of augmented training images."""

import collections
import dataclasses
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from data import errors, files, progress, sources
from pipeline.cli import data_flags, data_stats, parsing, settings_flags
from pipeline.screen import display

if TYPE_CHECKING:
    from PIL import Image

    from data.examples import DetectionRecord
    from models.hyperparameters import ExperimentConfig

SUMMARY = "Draw a contact sheet of a dataset's ground truth, or of what augmentation makes of it."
USAGE = "--dataset=DATASET [--split=train] [--count=N] [--augment] [--output=SHEET.png] [flags]"
EXAMPLE = "ssd-tuner data show --dataset=road_scenes --augment --set=augment.mosaic_probability=0.5"

_COUNT, _COLUMNS = 12, 4
_AUGMENTED_COUNT, _AUGMENTED_COPIES = 4, 4


def define_flags(flag_values: flags.FlagValues) -> None:
    """Adds the command's flags."""
    data_flags.define_flags(flag_values)
    settings_flags.define_flags(flag_values)
    flags.DEFINE_enum("split", "train", list(sources.SPLITS), "Split to draw.", flag_values=flag_values)
    flags.DEFINE_integer(
        "count",
        None,
        f"Images to draw; by default {_COUNT}, with --augment {_AUGMENTED_COUNT}.",
        lower_bound=1,
        upper_bound=400,
        flag_values=flag_values,
    )
    flags.DEFINE_bool(
        "augment",
        False,
        f"Draw each image as it is stored and {_AUGMENTED_COPIES} times as training sees it.",
        flag_values=flag_values,
    )
    flags.DEFINE_string("output", "contact_sheet.png", "PNG file to write.", flag_values=flag_values)


def main(arguments: Sequence[str], flag_values: flags.FlagValues) -> int:
    """Draws the sheet.

    Args:
        arguments: none are taken.
        flag_values: as `define_flags`.

    Returns:
        0, where the sheet was written.

    Raises:
        UserError: the dataset or a setting is unusable, the output is not a PNG, or no image is readable.
    """
    parsing.no_arguments("data show", arguments, "dataset", flag_values)
    output, split, augment = (flag_values[name].value for name in ("output", "split", "augment"))
    if not output.lower().endswith(".png"):
        raise errors.UserError(f"`--output` needs a file name that ends in .png: got `{output}`.")
    files.check_writable(output, "--output")
    config = settings_flags.experiment(flag_values)
    count = flag_values["count"].value or (_AUGMENTED_COUNT if augment else _COUNT)
    with display.open_display(flag_values["verbosity"].value) as screen:
        source = data_stats.open_dataset(flag_values, config, (split,))
        records = _load(screen, source, split, count, config.training.seed)
        title = (
            f"{source.spec}, {split}: {len(records)} of {len(source.items(split))} images, seed {config.training.seed}"
        )
        if augment:
            screen.note("Starting TensorFlow (about 10 s) ...")
        sheet = draw(records, source.class_names, config, title, augment=augment)
        buffer = io.BytesIO()
        sheet.save(buffer, "PNG")
        files.write_bytes(output, buffer.getvalue())
        screen.note(f"{len(records)} images of the split {split} drawn to {output} ({sheet.width}x{sheet.height} px)")
    return 0


def draw(
    records: "Sequence[DetectionRecord]",
    class_names: Sequence[str],
    config: "ExperimentConfig",
    title: str,
    *,
    augment: bool,
) -> "Image.Image":
    """Draws the sheet of some examples.

    Args:
        records: the examples, at least one.
        class_names: in label order.
        config: settings of input and augmentation.
        title: of the sheet.
        augment: whether each row is one example, as stored and as training sees it.

    Returns:
        An RGB picture.
    """
    from data import contact_sheet

    stored = [contact_sheet.stored_cell(record) for record in records]
    if not augment:
        return contact_sheet.draw_sheet(stored, class_names, _COLUMNS, title)
    from data import augment as augmentations

    rows = contact_sheet.augmented_cells(
        records,
        augmentations.augmentation(**dataclasses.asdict(config.augment)),
        copies=_AUGMENTED_COPIES,
        size=config.input.size,
        max_boxes=config.input.max_boxes,
        seed=config.training.seed,
    )
    cells = [cell for first, row in zip(stored, rows, strict=True) for cell in (first, *row)]
    title = f"{title}; first as stored, then as training sees it at {config.input.shape_text} px"
    return contact_sheet.draw_sheet(cells, class_names, 1 + _AUGMENTED_COPIES, title)


def _load(
    screen: display.Display, source: sources.Source, split: str, count: int, seed: int
) -> "list[DetectionRecord]":
    from data import contact_sheet, loading

    records = []
    chosen = contact_sheet.sample(source.items(split), count, seed)
    for done, loaded in enumerate(loading.load_items(source, chosen), start=1):
        if isinstance(loaded, errors.BadExampleError):
            screen.note(f"Left out: {loaded}")
        else:
            records.append(loaded)
        progress.emit("ingest", done=done, total=len(chosen))
    loading.say_mended(collections.Counter(what for record in records for what in record.mended))
    if not records:
        raise errors.UserError(
            f"None of the images drawn of the split {split} is readable. See `ssd-tuner data check`."
        )
    return records
