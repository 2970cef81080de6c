"""A run of the kit beside Ultralytics' smallest YOLO from scratch: the same data, minutes, cores and input size.

`ssd-tuner run --max_minutes=M` has M minutes for everything; the peer has M minutes of training with its own defaults
beside input size and time. Its best weights by its own val score are taken. Both are scored on the test split by
`models.evaluation.coco`. Everything that is done is kept in the folder: the same command continues.

    .venv/bin/python -m pip install -r requirements/benchmarks.txt
    taskset -c 0 python -m benchmarks.yolo --folder=FOLDER [--tasks=raccoon,cards] [--minutes=9] [--image_size=320]
        [--seeds=3] [--model=yolov8n.yaml] [--run=--set=model.alpha=0.35]
"""

import argparse
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks import kept_trainings, rounds
from data import convert, examples, files, input_pipeline, sources
from models.evaluation import coco, detections

METRICS = ("AP50", "AP")
_LEAST_SCORE = 0.001  # of a detection, as the peer's own validation has it
_MOST_DETECTIONS = 300  # an image, likewise


def main() -> int:
    """Runs what is missing and prints scores and differences; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="for datasets, runs and results")
    parser.add_argument("--tasks", default=",".join(kept_trainings.TASKS), help="by comma")
    parser.add_argument("--minutes", type=float, default=9.0, help="that each has")
    parser.add_argument("--image_size", type=int, default=320, help="px, of both inputs")
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0 on")
    parser.add_argument("--model", default="yolov8n.yaml", help="of the peer, by its own name")
    parser.add_argument("--run", action="append", default=[], help="flag of the kit's run, beside the plan's")
    arguments = parser.parse_args()
    arguments.folder = arguments.folder.resolve()
    rounds.print_heading("python -m benchmarks.yolo " + " ".join(sys.argv[1:]), ("tensorflow", "torch", "ultralytics"))
    print(f"cores: {len(os.sched_getaffinity(0))}")
    gains = []
    print(f"{'test split':28s}" + "".join(f"{name:>9s}" for name in (*METRICS, "minutes")))
    for task, seed in itertools.product(arguments.tasks.split(","), range(arguments.seeds)):
        found = {}
        for name, contestant in (("ssd-tuner", _run_kit), (arguments.model.removesuffix(".yaml"), _train_peer)):
            found[name] = _kept(f"{task}_{name}_{seed}", contestant, task, seed, arguments)
            row = "".join(f"{found[name][key]:9.3f}" for key in (*METRICS, "minutes"))
            print(f"{task:8s} seed {seed} {name:12s} {row}", flush=True)
        ours, theirs = (one["AP50"] for one in found.values())
        gains.append(ours - theirs)
    spread = f" ({statistics.stdev(gains):.3f})" if len(gains) > 1 else ""
    print(f"AP50 of the kit less the peer's: {statistics.mean(gains):+.3f}{spread}, least {min(gains):+.3f}")
    return 0


def _kept(name: str, contestant: Any, task: str, seed: int, arguments: argparse.Namespace) -> dict[str, float]:
    """Returns a contestant's result, from the folder where it has one for these settings."""
    settings = [arguments.minutes, arguments.image_size, *(arguments.run if contestant is _run_kit else ())]
    path = arguments.folder / f"{name}_{'_'.join(map(str, settings)).replace('/', '_')}.json"
    if not path.exists():
        files.write_json(path, contestant(task, seed, path.with_suffix(""), arguments))
    return json.loads(path.read_text(encoding="utf-8"))


def _run_kit(task: str, seed: int, workdir: pathlib.Path, arguments: argparse.Namespace) -> dict[str, float]:
    about = kept_trainings.TASKS[task]
    command = [str(pathlib.Path(sys.executable).with_name("ssd-tuner")), "run", f"--dataset={about.spec}"]
    command += [f"--workdir={workdir}", f"--seed={seed}", f"--max_minutes={arguments.minutes}", "--min_map=0"]
    command += [f"--set=input.image_size={arguments.image_size}", *arguments.run]
    command += [f"--splits={','.join(map(str, about.splits))}"] if about.splits else []
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    metrics = json.loads((workdir / "report" / "summary.json").read_text(encoding="utf-8"))["metrics"]
    return {name: metrics[name] for name in METRICS} | {"minutes": (time.monotonic() - began) / 60}


def _train_peer(task: str, seed: int, folder: pathlib.Path, arguments: argparse.Namespace) -> dict[str, float]:
    about, dataset = kept_trainings.TASKS[task], arguments.folder / f"{task}_yolo"
    if not dataset.exists():
        convert.convert(sources.open_source(about.spec, about.options), "yolo", dataset)
    splits, class_names = kept_trainings.write_examples(about, arguments.folder / task)
    records = list(input_pipeline.read_records(tuple(splits["test"])))
    images = [folder / "test" / f"{number:06d}.jpg" for number in range(len(records))]
    for image, record in zip(images, records, strict=True):
        files.write_bytes(image, record.encoded)  # a PNG is recognised by its first bytes
    train = {"data": dataset / "data.yaml", "time": arguments.minutes / 60, "seed": seed, "pretrained": False}
    train |= {"project": folder.parent, "name": folder.name, "exist_ok": True, "workers": 0}
    predict = {"conf": _LEAST_SCORE, "max_det": _MOST_DETECTIONS}
    both = {"imgsz": arguments.image_size, "device": "cpu", "verbose": False, "plots": False}
    settings = {"model": arguments.model, "train": train | both, "predict": predict | both, "images": images}
    output = folder / "detections.json"
    files.write_text(folder / "settings.json", json.dumps(settings | {"output": output}, default=str, indent=1))
    command = [sys.executable, "-m", "benchmarks.yolo_peer", str(folder / "settings.json")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    found = json.loads(output.read_text(encoding="utf-8"))
    if found["classes"] != class_names:
        raise ValueError(f"The peer has its classes in another order: {found['classes']}, not {class_names}.")
    results = [_result(*pair) for pair in zip(records, found["detections"], strict=True)]
    metrics = coco.coco_metrics(results, class_names)
    return {name: metrics[name] for name in METRICS} | {"minutes": found["minutes"]}


def _result(record: examples.DetectionRecord, found: Mapping[str, Any]) -> coco.ImageResult:
    boxes = np.array(found["boxes"], np.float64).reshape(-1, 4)[:, [1, 0, 3, 2]]
    scores, classes = np.array(found["scores"], np.float64), np.array(found["classes"], np.int64)
    return detections.image_result(record, detections.Detections(boxes, scores, classes))


if __name__ == "__main__":
    raise SystemExit(main())
