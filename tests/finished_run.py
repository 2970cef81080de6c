"""Run directories made by hand, as finished, running and broken runs leave them, without a training."""

import dataclasses
import gzip
import io
import json
import math
import pathlib
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import evaluation
from data import examples, tfrecord_files
from data.run_directory import RunDirectory
from models.evaluation import coco, image_results
from models.hyperparameters import ExperimentConfig

KEY = "0123456789ab"
CLASS_NAMES = ("person", "bicycle", "car")
RANGES = {
    "optimizer.learning_rate": {"low": 1e-4, "high": 1e-1, "scale": "log"},
    "model.alpha": {"choices": [0.35, 0.5, 1.0]},
    "loss.matched_iou": {"low": 0.35, "high": 0.6, "scale": "linear"},
}
RUNG, EPOCHS = 2, 6


def write(root: pathlib.Path, *, num_trials: int = 12, class_names: Sequence[str] = CLASS_NAMES, seed: int = 0) -> None:
    """Writes a run that has ended: search, final model, evaluation and pictures.

    Args:
        root: the run directory.
        num_trials: every fourth continues from the one before it, the last one failed.
        class_names: three of them.
        seed: of scores and detections.
    """
    folder = RunDirectory(root)
    write_search(root, num_trials=num_trials, seed=seed)
    results = write_results(root, class_names, seed)
    rows = json.loads((folder.search(KEY) / "leaderboard.json").read_text())
    metrics = coco.to_json_numbers(coco.coco_metrics(results, class_names))
    history = [
        {
            "epoch": float(epoch),
            "loss": 9.0 / epoch,
            "learning_rate": 0.01 / epoch,
            "AP50": 0.1 * epoch,
            "AP": 0.05 * epoch,
        }
        | {f"AP50/{name}": 0.1 * epoch for name in class_names}
        for epoch in range(1, EPOCHS + 1)
    ]
    summary = {
        "blessed": True,
        "reasons": ["mAP@.5 reaches the threshold"],
        "pushed_model": None,
        "objective": "AP50",
        "metrics": metrics,
        "comparison": {"difference": 0.02, "low": -0.01, "high": 0.05, "p_worse": 0.1},
        "num_test_images": len(results),
        "leaderboard": rows,
        "seconds": {"Tuner": 300.0, "Trainer": 60.0},
        "cached": [],
        "export": {"dataset": "", "split": "val", "num_images": 0, "formats": []},
    }
    choice = {"setting": "model.alpha", "value": 0.5, "reason": "the images are small"}
    plan = {"choices": [choice], "before": {"model.alpha": 1.0}, "about": {"images": {"train": 8}}}
    invocation = {
        "command": "ssd-tuner run --dataset=road_scenes --workdir=runs/demo",
        "started": "2026-11-29T06:00:00+00:00",
        "system": "Linux",
        "cores": 2,
        "versions": {"keras": "3"},
    }
    report = {"summary": summary, "plan": {"key": "a", "plan": plan}, "history": history, "invocation": invocation}
    report |= {"config": ExperimentConfig().to_dict(), "leaderboard": rows}
    for name, value in report.items():
        _write_json(folder.report / f"{name}.json", value)
    (folder.report / "quarantine.csv").write_text("split,file,reason\ntrain,a.jpg,empty file (0 bytes)\n")


def write_search(root: pathlib.Path, *, num_trials: int, seed: int = 0, num_running: int = 0) -> None:
    """Writes a search alone, as a run has it before its end.

    Args:
        root: the run directory.
        num_trials: as of `write`.
        seed: of the scores.
        num_running: further trials that have not ended.
    """
    folder = RunDirectory(root).search(KEY)
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for number in range(num_trials):
        parent = rows[-1] if number % 4 == 3 else None
        rows.append(_row(number, parent, rng, failed=number == num_trials - 1 > 0))
        _write_trial(folder, rows[-1], parent)
    for number in range(num_trials, num_trials + num_running):
        _write_trial(folder, _row(number, None, rng, failed=False), None, status="RUNNING")
    rows.sort(key=lambda row: (row["score"] is None, -(row["score"] or 0)))
    for rank, row in enumerate([row for row in rows if row["score"] is not None], start=1):
        row["rank"] = rank
    search = {"strategy": "hyperband", "objective": "AP50", "seed": 0, "ranges": RANGES, "max_epochs": EPOCHS}
    parts = {"search": search, "code": "c0de", "settings": ExperimentConfig().to_dict()}
    files = {"leaderboard": rows, "search": parts}
    if len(rows) > 2:
        decision = {"start": "0000", "challenger": rows[0]["trial"], "gain": 0.04, "low": -0.01, "high": 0.09}
        files["decision"] = decision | {"confidence": 0.93, "replaced": True, "seeds": 2}
    for name, value in files.items():
        _write_json(folder / f"{name}.json", value)


def write_results(root: pathlib.Path, class_names: Sequence[str], seed: int) -> list[coco.ImageResult]:
    """Writes eight test images, and what a model found in them; returns that."""
    folder = RunDirectory(root)
    drawn = evaluation.random_results(0, 8, detections=6, height=48, width=64)
    scores = np.random.default_rng(seed).uniform(0.1, 1.0, (8, 6)).astype(np.float32)
    results = [dataclasses.replace(one, det_scores=score) for one, score in zip(drawn, scores, strict=True)]
    records = [_record(f"image-{number}", one) for number, one in enumerate(results)]
    ingested = folder.pipeline / "DetectionExampleGen" / "examples" / "1"
    split = ingested / "Split-test" / "data_tfrecord-00000-of-00001.gz"
    split.parent.mkdir(parents=True, exist_ok=True)
    framed = [tfrecord_files.frame(examples.encode_example(one, class_names).SerializeToString()) for one in records]
    split.write_bytes(gzip.compress(b"".join(framed)))
    counts = {"train": 8, "val": 4, "test": 8}
    about = {"spec": "road_scenes", "fingerprint": "f00d", "class_names": list(class_names), "max_boxes": 9}
    _write_json(
        ingested / "dataset.json",
        about | {"num_examples": counts, "num_boxes": counts, "num_quarantined": dict.fromkeys(counts, 0)},
    )
    checksums = np.array([zlib.crc32(one.encoded) for one in records], np.uint32)
    found = image_results.ImageResults(
        tuple(class_names), tuple(one.source_id for one in records), checksums, tuple(results)
    )
    folder.test_results.parent.mkdir(parents=True, exist_ok=True)
    folder.test_results.write_bytes(found.to_bytes())
    return results


def _record(source_id: str, result: coco.ImageResult) -> examples.DetectionRecord:
    buffer = io.BytesIO()
    Image.new("L", (result.width, result.height), 90).save(buffer, "PNG")
    return examples.DetectionRecord(
        source_id=source_id,
        encoded=buffer.getvalue(),
        image_format="png",
        height=result.height,
        width=result.width,
        boxes=result.gt_boxes.astype(np.float32),
        labels=result.gt_labels.astype(np.int32),
        is_crowd=result.gt_is_crowd,
        area_px=result.gt_area_px.astype(np.float32),
    )


def _row(number: int, parent: dict[str, Any] | None, rng: np.random.Generator, *, failed: bool) -> dict[str, Any]:
    rate, alpha = float(10 ** rng.uniform(-4, -1)), float(rng.choice([0.35, 0.5, 1.0]))
    drawn = {"optimizer.learning_rate": rate, "model.alpha": alpha, "loss.matched_iou": float(rng.uniform(0.35, 0.6))}
    # The rate decides, 10^-2.5 is best; the width helps a little, the rest is noise.
    expected = 0.6 - 0.2 * (math.log10(rate) + 2.5) ** 2 + 0.1 * alpha
    score = None if failed else max(0.0, float(expected + rng.normal(0, 0.02)))
    return {
        "rank": None,
        "trial": f"{number:04}",
        "score": score,
        "AP": score,
        "AP50": score,
        "epochs": None if failed else float(EPOCHS if parent else RUNG),
        "fidelity": "",
        "seconds": None if failed else 20.0,
        "parameters": None if failed else alpha * 2e6,
        "multiply_adds": None if failed else alpha * 1e8,
        "file_mb": None if failed else alpha * 8,
        "latency_ms": None if failed else alpha * 20,
        "status": "failed" if failed else "completed",
        "reason": "the loss became NaN" if failed else "",
        "parent": parent["trial"] if parent else None,
        "inherited": None,
        "hyperparameters": parent["hyperparameters"] if parent else drawn,
        "mean": None,
        "spread": None,
        "seeds": None,
        "confidence": None,
    }


def _write_trial(
    folder: pathlib.Path, row: dict[str, Any], parent: dict[str, Any] | None, status: str | None = None
) -> None:
    curve = {} if row["score"] is None else {RUNG: (parent or row)["score"], int(row["epochs"]): row["score"]}
    observations = [{"value": [score], "step": epoch} for epoch, score in curve.items()]
    values = row["hyperparameters"] | {"tuner/epochs": EPOCHS if parent else RUNG}
    values |= {"tuner/trial_id": parent["trial"]} if parent else {}
    state = {
        "trial_id": row["trial"],
        "status": status or row["status"].upper(),
        "hyperparameters": {"space": [], "values": values},
        "metrics": {"metrics": {"score_by_epoch": {"direction": "max", "observations": observations}}},
    }
    if status == "RUNNING":
        state["metrics"] = {"metrics": {}}
    _write_json(folder / f"trial_{row['trial']}" / "trial.json", state)


def _write_json(path: pathlib.Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
