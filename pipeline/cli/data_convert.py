"""`ssd-tuner data convert`: writes a dataset in another format."""

from collections.abc import Sequence

from absl import flags

from data import convert, errors, loading
from pipeline.cli import data_check, data_flags, parsing
from pipeline.screen import display

SUMMARY = "Write a dataset as COCO, VOC, YOLO or Object Detection API TFRecord."
USAGE = "--dataset=KIND:PATH --format=coco|voc|yolo|tfrecord --output=DIR"
EXAMPLE = "ssd-tuner data convert --dataset=voc:VOC2012 --format=coco --output=voc2012_coco"

_MOST_NAMED = 5


def define_flags(flag_values: flags.FlagValues) -> None:
    """Adds the command's flags."""
    data_flags.define_flags(flag_values)
    flags.DEFINE_enum("format", None, list(convert.FORMATS), "Format to write.", required=True, flag_values=flag_values)
    flags.DEFINE_string("output", None, "Folder to write: new, or empty.", required=True, flag_values=flag_values)


def main(arguments: Sequence[str], flag_values: flags.FlagValues) -> int:
    """Converts a dataset.

    Args:
        arguments: none.
        flag_values: as `define_flags`.

    Returns:
        0, where all of the dataset was written; `data_check.STATUS_PROBLEMS` where bad examples were left out.

    Raises:
        UserError: the dataset is unusable, or the folder holds something.
    """
    parsing.no_arguments("data convert", arguments, "dataset", flag_values)
    convert.check_output(flag_values.output)
    with display.open_display(flag_values.verbosity) as screen:
        source = data_flags.open_dataset(flag_values)
        if not any(source.items(split) for split in source.splits):
            raise errors.UserError(f"Dataset `{source.spec}` has no image.")
        screen.note(f"Writing {source.spec} as {flag_values.format} ...")
        result = convert.convert(source, flag_values.format, flag_values.output)
        _show(screen, result)
    return data_check.STATUS_PROBLEMS if result.left_out else 0


def _show(screen: display.Display, result: convert.Conversion) -> None:
    bad = {split: sum(each.split == split for each in result.left_out) for split in result.num_images}
    rows = [
        (split, count, result.num_boxes[split], result.num_ignored[split], bad[split])
        for split, count in result.num_images.items()
    ]
    screen.print_table(f"Written as {result.format}", ["split", "images", "objects", "ignored", "left out"], rows)
    for what, count in result.lost.items():
        screen.note(f"Lost, because {result.format} cannot represent it: {what} ({count})")
    loading.say_mended(result.mended)
    if result.num_renamed:
        screen.note(f"Images that have another name than in the dataset: {result.num_renamed}")
    for each in result.left_out[:_MOST_NAMED]:
        screen.note(f"Left out: {each.split}: {each.file}: {each.reason}")
    more = len(result.left_out) - _MOST_NAMED
    if more > 0:
        screen.note(f"and {more} more; {convert.SUMMARY_NAME} lists all")
    screen.note(f"Written to {result.output}")
