"""The TFX component between Evaluator and ServingCheck: the formats asked for, and the model card."""

import json
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

from tfx.components.util import model_utils
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import path_utils

from data import dataset_info, files, input_pipeline
from models.evaluation import coco, detections
from models.export import formats, model_card
from pipeline.components import evaluator

TRAIN, SCORED = "train", "val"  # calibrates; measures the drop. The test split is the Evaluator's alone
NOT_BLESSED = "not pushed, because the Evaluator did not bless the model"


@component
def Exporter(  # noqa: N802 - the name is the component's, as TFX shows it
    model: InputArtifact[standard_artifacts.Model],
    model_blessing: InputArtifact[standard_artifacts.ModelBlessing],
    evaluation: InputArtifact[standard_artifacts.ModelEvaluation],
    examples: InputArtifact[standard_artifacts.Examples],
    exported_model: OutputArtifact[standard_artifacts.Model],
    export_formats: Parameter[str] = "",
    max_drop: Parameter[float] = 0.02,
    source_hash: Parameter[str] = "",
) -> None:
    """Copies the Trainer's model and adds what travels with it.

    `assets.extra/` gets the formats that lose little enough, `export.json` with all of them, `evaluation.json` and
    `model_card.md`. A format that is left out does not fail the component: its reason is written.

    Args:
        model: the Trainer's model.
        model_blessing: the Evaluator's verdict; formats of a model that it refused are measured and not pushed.
        evaluation: the Evaluator's numbers.
        examples: Examples with the splits train and val.
        exported_model: for ServingCheck and Pusher.
        export_formats: names of `models.export.formats.FORMATS`, with commas between.
        max_drop: most mAP@[.5:.95] that a format may lose.
        source_hash: of the code behind the component; part of the cache key.
    """
    del source_hash
    target = pathlib.Path(path_utils.serving_model_dir(exported_model.uri))
    shutil.copytree(path_utils.serving_model_path(model.uri), target, dirs_exist_ok=True)
    names = [name for name in export_formats.split(",") if name]
    blessed = model_utils.is_model_blessed(model_blessing)
    extras = target / detections.EXTRAS
    _, reasons, metrics = evaluator.read_blessing(evaluation.uri, model_blessing.uri)
    verdict = {
        "split": evaluator.SPLIT,
        "num_images": evaluator.read_evaluation(evaluation.uri).num_images,
        "blessed": blessed,
        "reasons": reasons,
        "metrics": coco.to_json_numbers(metrics),
    }
    files.write_json(extras / model_card.EVALUATION_FILE, verdict)
    report = _export(target, names, artifact_utils.get_split_uri([examples], TRAIN), max_drop)
    if not blessed:
        for one in report["formats"]:
            one |= {"kept": False, "file": "", "reason": one["reason"] or NOT_BLESSED}
    files.write_json(extras / formats.REPORT_FILE, report)
    texts = {name: detections.read_extra(target, name) for name in model_card.SOURCES}
    files.write_text(extras / model_card.FILE_NAME, model_card.write(texts))


def read_report(exported_uri: str) -> dict[str, Any]:
    """Reads the outcome.

    Args:
        exported_uri: uri of the component's `exported_model` artifact.

    Returns:
        `formats.ExportReport.to_dict` with `dataset` and `split`; `formats` is empty where none was asked for.
    """
    return json.loads(detections.read_extra(path_utils.serving_model_path(exported_uri), formats.REPORT_FILE) or "{}")


def _export(model_dir: pathlib.Path, names: list[str], train_dir: str, max_drop: float) -> dict[str, Any]:
    """Adds the formats to a SavedModel; returns the report, without a format where none was asked for."""
    if not names:
        return {"dataset": "", "split": SCORED, **formats.ExportReport((), 0, 0, max_drop).to_dict()}
    from models.export import format_export

    folder = pathlib.Path(train_dir).parent
    info = dataset_info.read(folder)
    config = json.loads(detections.read_extra(model_dir, "config.json") or "{}")
    found = format_export.export_formats(
        str(model_dir),
        names,
        model_dir / detections.EXTRAS,
        records=lambda: input_pipeline.read_records(dataset_info.split_files(folder, SCORED)),
        class_names=info.class_names,
        calibration=lambda: _calibration(folder),
        max_drop=max_drop,
        tiles_given=config["input"]["tile"] != "1x1",  # ingestion has cut train and val already
    )
    return {"dataset": info.spec, "split": SCORED, **found.to_dict()}


def _calibration(folder: pathlib.Path) -> Iterator[bytes]:
    """Yields the drawn training images."""
    from models.export import tflite_convert

    tfrecords = dataset_info.split_files(folder, TRAIN)
    rows = range(dataset_info.read(folder).num_examples[TRAIN])
    chosen = set(tflite_convert.choose(rows))
    for row, record in enumerate(input_pipeline.read_records(tfrecords)):
        if row in chosen:
            yield record.encoded
