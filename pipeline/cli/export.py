"""`ssd-tuner export`: TFLite files of an exported model, measured against it."""

import dataclasses
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from absl import flags

from data import errors, files, sources
from models.export import formats
from pipeline.cli import data_flags, evaluate, parsing
from pipeline.screen import display

SUMMARY = "Convert an exported model to TFLite, and measure what each format loses and costs."
USAGE = "--model=DIR --dataset=KIND:PATH [--formats=tflite_int8] [--split=val] [--output=DIR] [--max_drop=0.02]"
EXAMPLE = "ssd-tuner export --model=runs/demo/serving_model/VERSION --dataset=road_scenes --formats=tflite_int8"

STATUS_LEFT_OUT = 3  # a format asked for lost too much, or could not be made
CALIBRATION_SPLIT = "train"


def define_flags(flag_values: flags.FlagValues) -> None:
    """Adds the command's flags."""
    flags.DEFINE_string(
        "model", None, "Run directory, or folder of an exported model.", required=True, flag_values=flag_values
    )
    data_flags.define_flags(flag_values)
    flags.DEFINE_enum("split", "val", list(sources.SPLITS), "Split to score on.", flag_values=flag_values)
    define_format_flags(flag_values, "formats", "all")
    flags.DEFINE_string("output", "exported", "Folder for the files.", flag_values=flag_values)


def define_format_flags(flag_values: flags.FlagValues, name: str, default: str | None) -> None:
    """Adds the flags that say which formats are wanted and how good they must be."""
    flags.DEFINE_list(
        name,
        default,
        f"Formats: {', '.join(formats.FORMATS)} or all. The int8 formats are calibrated on the train split; the _nms"
        " formats contain the non-maximum suppression.",
        flag_values=flag_values,
    )
    flags.DEFINE_float(
        "max_drop",
        0.02,
        "Leave out a format if its mAP@[.5:.95] is lower than the model's by more than this.",
        lower_bound=0,
        upper_bound=1,
        flag_values=flag_values,
    )


def main(arguments: Sequence[str], flag_values: flags.FlagValues) -> int:
    """Exports a model.

    Args:
        arguments: none.
        flag_values: as `define_flags`.

    Returns:
        0 where every format was written, `STATUS_LEFT_OUT` where one was left out.

    Raises:
        UserError: model, dataset, formats or output folder are unusable.
    """
    parsing.no_arguments("export", arguments, "model", flag_values)
    with display.open_display(flag_values.verbosity) as screen:
        job = _Job(flag_values)
        screen.note("Loading the model ...")
        report = job.run()
        screen.print_formats(report)
        screen.note(f"Written to {job.output}")
    return 0 if all(one["kept"] for one in report["formats"]) else STATUS_LEFT_OUT


class _Job:
    """One export; every mistake of the user is found on construction, before TensorFlow is loaded."""

    def __init__(self, flag_values: flags.FlagValues) -> None:
        from models.evaluation import detections
        from models.export import predict

        self.model, self.split, self.max_drop = flag_values.model, flag_values.split, flag_values.max_drop
        self.output = pathlib.Path(flag_values.output)
        files.check_writable(self.output / formats.REPORT_FILE, "--output")
        if self.model.endswith(detections.TFLITE_SUFFIX):
            raise errors.UserError(f"`--model={self.model}` is exported already. Give the folder of its SavedModel.")
        self.model = predict.find_model(self.model)
        class_names = detections.read_class_names(self.model)
        tile = json.loads(detections.read_extra(self.model, "config.json") or "{}").get("input", {}).get("tile", "1x1")
        self.names = formats.parse(flag_values.formats, "--formats", tile)
        options = evaluate.divided_as_trained(flag_values.dataset, data_flags.options(flag_values), self.model)
        self.source = evaluate.open_for_model(flag_values.dataset, options, class_names, self.split)
        self.train = None
        if any(formats.FORMATS[name].precision == "int8" for name in self.names):
            tiled = dataclasses.replace(options, tile=tile)
            self.train = sources.open_source(flag_values.dataset, tiled, required_splits=[CALIBRATION_SPLIT])

    def run(self) -> dict[str, Any]:
        """Exports and writes the files beside the formats."""
        from models.evaluation import detections
        from models.export import format_export, model_card

        exported = format_export.export_formats(
            self.model,
            self.names,
            self.output,
            records=lambda: evaluate.good_records(self.source, self.split, []),
            class_names=self.source.class_names,
            calibration=self._calibration,
            max_drop=self.max_drop,
        )
        report = {"model": self.model, "dataset": self.source.spec, "split": self.split, **exported.to_dict()}
        files.write_json(self.output / formats.REPORT_FILE, report)
        for name in ("labels.txt", "config.json"):
            files.write_text(self.output / name, detections.read_extra(self.model, name) or "")
        extras = {name: detections.read_extra(self.model, name) for name in model_card.SOURCES}
        extras[formats.REPORT_FILE] = json.dumps(report)
        files.write_text(self.output / model_card.FILE_NAME, model_card.write(extras))
        return report

    def _calibration(self) -> Iterator[bytes]:
        return calibration_files(self.train)


def calibration_files(source: sources.Source) -> Iterator[bytes]:
    """Yields up to `tflite_convert.CALIBRATION_IMAGES` images of the train split; bad ones are left out."""
    from models.export import tflite_convert

    for item in tflite_convert.choose(source.items(CALIBRATION_SPLIT)):
        try:
            yield source.load(item).encoded
        except errors.BadExampleError:
            continue
