"""Exports a SavedModel to the formats asked for, measures each, and keeps those that lose little."""

import dataclasses
import logging
import math
import os
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tensorflow.lite.python.convert import ConverterError

from data import files, progress
from data.examples import DetectionRecord
from models.evaluation import detections
from models.evaluation import score as evaluation
from models.export import footprint, predict, tflite_convert, tflite_detector
from models.export.formats import FORMATS, SAVED_MODEL, ExportReport, FormatReport
from models.network import decoding

ROUNDING = 1e-9  # a drop is a difference of means in float64
EXTRAS = ("labels.txt", "config.json", decoding.FILE_NAME)  # travel with every file


def export_formats(
    model_dir: str,
    names: Sequence[str],
    output: str | os.PathLike[str],
    *,
    records: Callable[[], Iterable[DetectionRecord]],
    class_names: Sequence[str],
    calibration: Callable[[], Iterable[bytes]],
    max_drop: float,
    tiles_given: bool = False,
) -> ExportReport:
    """Writes and measures formats of a SavedModel; reports progress as notes.

    Args:
        model_dir: folder of the SavedModel.
        names: of `formats.FORMATS`.
        output: folder for the files.
        records: opens the images to score on, with ground truth; called once for the SavedModel and each format.
        class_names: of the ground truth.
        calibration: opens training images, JPEG or PNG files' bytes; called where int8 is asked for.
        max_drop: a file whose mAP is lower than the SavedModel's by more is deleted again.
        tiles_given: whether `records` are tiles already, as a model of tiles is trained on.

    Returns:
        The report.

    Raises:
        UserError: the SavedModel cannot be converted.
    """
    run = _Export(model_dir, pathlib.Path(output), records, class_names, tiles_given)
    images = []
    if any(FORMATS[name].precision == "int8" for name in names):
        progress.emit("note", text="Decoding training images to calibrate int8 ...")
        images = tflite_convert.calibration_images(calibration(), run.decoder.image_size)
    progress.emit("note", text=f"{SAVED_MODEL}: scoring ...")
    base = run.score(run.load_saved_model(), FormatReport(SAVED_MODEL, drop=0.0, size_bytes=_size_bytes(model_dir)))
    reports = [base]
    for name in names:
        progress.emit("note", text=f"{name}: converting and scoring ...")
        reports.append(judge(run.export(name, images), base, max_drop))
    progress.emit("note", text=f"Measuring time and memory on {footprint.THREADS} CPU thread ...")
    return ExportReport(tuple(run.measure(reports)), run.num_images, len(images), max_drop)


class _Export:
    """A SavedModel, loaded to be converted, and the images to score on."""

    def __init__(
        self,
        model_dir: str,
        output: pathlib.Path,
        records: Callable[[], Iterable[DetectionRecord]],
        class_names: Sequence[str],
        tiles_given: bool,
    ) -> None:
        self._model_dir, self._output = model_dir, output
        self._records, self._class_names = records, class_names
        self._model, self.decoder = tflite_convert.load_exported(model_dir)
        self._tile = "1x1" if tiles_given else None
        self.num_images = 0
        self._extras = {name: detections.read_extra(model_dir, name) or "" for name in EXTRAS}

    def load_saved_model(self) -> Any:
        """Loads the detector, or its network alone where tiles are given."""
        if self._tile is None:
            return predict.load_detector(self._model_dir)

        def network(image: Any) -> Any:
            outputs = self._model.network_outputs(image[None].astype("float32"))
            return {name: value.numpy() for name, value in outputs.items()}

        decoder = dataclasses.replace(self.decoder, tile=self._tile)
        return tflite_detector.NetworkDetector(network, decoder, detections.read_class_names(self._model_dir))

    def score(self, detector: Any, report: FormatReport) -> FormatReport:
        """Adds the detector's AP and AP50 on the records to a report."""
        metrics, self.num_images = evaluation.evaluate(detector, self._records(), self._class_names)
        return dataclasses.replace(report, map=_number(metrics.get("AP")), map50=_number(metrics.get("AP50")))

    def export(self, name: str, images: Sequence[Any]) -> FormatReport:
        """Writes and scores one format; a converter or an interpreter that gives up is a reason, not an error."""
        kind = FORMATS[name]
        path = self._output / kind.file_name
        try:
            content = tflite_convert.convert(self._model, self.decoder, kind, self._extras, images)
            files.write_bytes(path, content)
            report = FormatReport(name, kind.file_name, size_bytes=len(content))
            return self.score(tflite_detector.load(str(path), self._tile), report)
        except (ConverterError, RuntimeError) as error:
            logging.exception("The conversion to %s failed.", name)
            path.unlink(missing_ok=True)
            lines = str(error).strip().splitlines() or [type(error).__name__]
            return FormatReport(name, kept=False, reason=f"the conversion failed: {lines[0][:200]}")

    def measure(self, reports: Sequence[FormatReport]) -> list[FormatReport]:
        """Adds time and memory of everything that was written, if they can be had; deletes what is not kept."""
        paths = {one.name: str(self._output / one.file) if one.file else self._model_dir for one in reports}
        written = [one.name for one in reports if one.size_bytes is not None]
        found: dict[str, dict[str, Any]] = {}
        try:
            found = footprint.measure([paths[name] for name in written])
        except RuntimeError as error:
            logging.exception("Time and memory were not measured.")
            progress.emit("note", text=f"Time and memory are left out: {str(error).strip().splitlines()[0][:200]}")
        measured = []
        for one in reports:
            if one.name in written:
                one = dataclasses.replace(one, **found.get(paths[one.name], {}))
                if not one.kept:
                    pathlib.Path(paths[one.name]).unlink()
                    one = dataclasses.replace(one, file="")
            measured.append(one)
        return measured


def judge(report: FormatReport, base: FormatReport, max_drop: float) -> FormatReport:
    """Decides whether a format is kept.

    Args:
        report: of the format, scored.
        base: of the SavedModel, scored on the same images.
        max_drop: most mAP@[.5:.95] that it may lose.

    Returns:
        The report with `drop`, and with `kept` and `reason` where it is left out.
    """
    if not report.kept:
        return report
    if base.map is None or report.map is None:
        return dataclasses.replace(report, kept=False, reason="its mAP cannot be computed: there is no ground truth")
    drop = base.map - report.map
    if drop <= max_drop + ROUNDING:
        return dataclasses.replace(report, drop=drop)
    return dataclasses.replace(
        report, drop=drop, kept=False, reason=f"its mAP is {drop:.4f} below the SavedModel's, more than {max_drop:g}"
    )


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def _size_bytes(model_dir: str) -> int:
    """Sums up what a SavedModel's loading reads: graph and variables."""
    folder = pathlib.Path(model_dir)
    parts = [folder / "saved_model.pb", *(folder / "variables").rglob("*")]
    return sum(path.stat().st_size for path in parts if path.is_file())
