"""`ssd-tuner data stats`: what a dataset holds, and what that means for anchors."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from data import errors, files, loading, sources
from pipeline.cli import data_flags, parsing, settings_flags
from pipeline.screen import display

if TYPE_CHECKING:
    from models.hyperparameters import ExperimentConfig

SUMMARY = "Show what a dataset holds, how well the anchors fit it, and which would fit better."
USAGE = "--dataset=DATASET [--output=FOLDER] [flags]"
EXAMPLE = "ssd-tuner data stats --dataset=coco:datasets/flir --preset=cpu"

_JSON_FILE, _PLOT_FILE = "stats.json", "stats.png"
_ANCHOR_SPLITS = ("train", "val")  # anchors are settings: nobody chooses them by the test split
_MOST_NAMED = 3
_WORTH_A_WORD = 0.05  # share of boxes too small for the finest level


def define_flags(flag_values: flags.FlagValues) -> None:
    """Adds the command's flags."""
    data_flags.define_flags(flag_values)
    settings_flags.define_flags(flag_values)
    flags.DEFINE_string(
        "output", "dataset_stats", f"Folder for {_JSON_FILE} and {_PLOT_FILE}.", flag_values=flag_values
    )


def main(arguments: Sequence[str], flag_values: flags.FlagValues) -> int:
    """Reads the dataset once and reports.

    Args:
        arguments: none are taken.
        flag_values: as `define_flags`.

    Returns:
        0, where the report was written.

    Raises:
        UserError: the dataset or a setting is unusable, or no image is readable.
    """
    parsing.no_arguments("data stats", arguments, "dataset", flag_values)
    config = settings_flags.experiment(flag_values)
    folder = pathlib.Path(flag_values["output"].value)
    for name in (_JSON_FILE, _PLOT_FILE):
        files.check_writable(folder / name, "--output")
    with display.open_display(flag_values["verbosity"].value) as screen:
        source = open_dataset(flag_values, config)
        report, plot = measure(source, config)
        report = {"dataset": source.spec, "preset": settings_flags.preset_name(flag_values), **report}
        files.write_json(folder / _JSON_FILE, report)
        files.write_bytes(folder / _PLOT_FILE, plot)
        _show(screen, report)
        screen.note(f"Written to {folder / _JSON_FILE} and {folder / _PLOT_FILE}")
    return 0


def open_dataset(
    flag_values: flags.FlagValues, config: "ExperimentConfig", required_splits: Sequence[str] = ()
) -> sources.Source:
    """Opens what the flags name, cut into tiles where the settings say so.

    Raises:
        UserError: as `sources.open_source`.
    """
    options = dataclasses.replace(data_flags.options(flag_values), tile=config.input.tile)
    return sources.open_source(flag_values["dataset"].value, options, required_splits)


def measure(source: sources.Source, config: "ExperimentConfig") -> tuple[dict[str, Any], bytes]:
    """Reads every image of a dataset once and measures it.

    Args:
        source: the dataset.
        config: the settings whose anchors are measured.

    Returns:
        The report: class_names, splits (`statistics.summarise`), left_out (file, reason) and anchors
        (`anchor_fit.compare`); and the charts, as PNG.

    Raises:
        UserError: no image is readable.
    """
    from data import statistics, statistics_plot
    from tuner_fn.plan import anchor_fit

    left_out: list[dict[str, str]] = []
    tables = {split: statistics.collect(loading.load_split(source, split, left_out)) for split in source.splits}
    if not any(len(table.image_sizes_px) for table in tables.values()):
        first = f" First: {left_out[0]['file']}: {left_out[0]['reason']}." if left_out else ""
        raise errors.UserError(f"Dataset `{source.spec}` has no readable image.{first}")
    objects = {split: tables[split].objects() for split in _ANCHOR_SPLITS if split in tables}
    report = {
        "class_names": list(source.class_names),
        "splits": statistics.summarise(tables, source.class_names),
        "left_out": left_out,
        "anchors": anchor_fit.compare(
            {split: table.boxes for split, table in objects.items()},
            {split: table.labels for split, table in objects.items()},
            source.class_names,
            config,
        ),
    }
    return report, statistics_plot.plot(tables, source.class_names, source.spec)


def anchor_rows(comparison: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Lists the recall of `anchor_fit.compare` as a table.

    Returns:
        The headings, and one row a split for all boxes, each class and each size that has any.
    """
    found = comparison["anchors"]
    rows = []
    for split, first in found["configured"]["recall"].items():
        groups = [("all", ("all",)), *((name, ("by_class", name)) for name in first["by_class"])]
        groups += [(f"{name} px", ("by_size_px", name)) for name in first["by_size_px"]]
        for name, path in groups:
            entries = [_at(each["recall"][split], path) for each in found.values()]
            if entries[0]["boxes"]:
                rows.append([split, name, entries[0]["boxes"], *(_share(entry["recall"]) for entry in entries)])
    return ["split", "objects", "boxes", *found], rows


def _show(screen: display.Display, report: Mapping[str, Any]) -> None:
    from data import statistics

    screen.print_table("Images", statistics.IMAGE_COLUMNS, statistics.image_rows(report["splits"]))
    screen.note("brightness: 5th, 50th and 95th percentile of the images' means, 0 to 255")
    screen.note("")
    rows = statistics.class_rows(report["splits"], report["class_names"])
    screen.print_table("Boxes", statistics.CLASS_COLUMNS, rows)
    screen.note("small, medium, large: COCO's, below 32², below 96² px and above; medians: side px = √(w · h),")
    screen.note("side = the same / the image's side, w / h = aspect ratio in px")
    screen.note("")
    comparison = report["anchors"]
    height, width = comparison["image_size_px"]
    size = f"{width}x{height}"
    title = f"Boxes that an anchor covers with IoU {comparison['iou']:g}, preset {report['preset']}, input {size} px"
    screen.print_table(title, *anchor_rows(comparison))
    screen.note(f"px: side of the box in the image as the detector gets it, squashed to {size}")
    small = comparison["small_boxes"]
    if small["share"].get("train", 0.0) >= _WORTH_A_WORD:
        screen.note(
            f"{small['share']['train']:.0%} of the train boxes have a side below {small['below_px']:g} px there:"
            " they fall between the anchors of the finest level."
        )
        screen.note(
            "More of them would be covered with --set=input.tile=2x2:0.2 or a larger --set=input.image_size=..."
        )
    _show_proposals(screen, comparison["anchors"])
    for row in report["left_out"][:_MOST_NAMED]:
        screen.note(f"Left out: {row['file']}: {row['reason']}")
    if len(report["left_out"]) > _MOST_NAMED:
        screen.note(f"Left out: {len(report['left_out'])} images in all; see `ssd-tuner data check`.")


def _show_proposals(screen: display.Display, found: Mapping[str, Any]) -> None:
    if len(found) == 1:
        screen.note("No anchors were found that cover more boxes of the train split than the configured ones.")
    for name, each in found.items():
        recalls = ", ".join(f"{split} {_share(own['all']['recall']) or '-'}" for split, own in each["recall"].items())
        screen.note(f"{name}: {each['num_anchors']} anchors, recall {recalls}")
        if each["settings"]:
            screen.note("  " + " ".join(f"--set={text}" for text in each["settings"]))


def _at(values: Mapping[str, Any], path: Sequence[str]) -> Mapping[str, Any]:
    for key in path:
        values = values[key]
    return values


def _share(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"
