"""What `data check`, ingestion, statistics and COCO metrics take for more and more images: seconds, peak memory, files.

COCO folders of small JPEG images with two boxes each, a tenth of them in the test split. Each step runs in a process of
its own, as the pipeline runs it: the executors of TFX's components, with Beam in the process. The metrics are those of
the Evaluator on the test split, from random detections, 100 for each image; no network runs. Imports are not counted in
the seconds, but they take memory before a dataset is opened: the row of the fewest images shows how much. The last
column is what each further image adds.

    python -m benchmarks.scale --folder=FOLDER [--images=10,20000,200000] [--steps=check,ingest,statistics]
"""

import argparse
import json
import pathlib
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks import checking, evaluation, rounds

STEPS = ("check", "ingest", "statistics", "metrics")
BOXES, DETECTIONS = 2, 100  # in each image


def main() -> int:
    """Prints a row for each step and size; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="for datasets and examples; they are kept")
    parser.add_argument("--images", default="10,2000,20000,200000", help="by comma, the smallest first")
    parser.add_argument("--steps", default=",".join(STEPS), help="by comma; statistics needs what ingest writes")
    parser.add_argument("--measure", nargs=2, metavar=("STEP", "SET"), help="run one step in this process, print JSON")
    arguments = parser.parse_args()
    if arguments.measure:
        step, name = arguments.measure
        print(json.dumps(_measure(step, arguments.folder / name)))
        return 0
    rounds.print_heading(f"python -m benchmarks.scale {' '.join(sys.argv[1:])}", ("tfx", "apache-beam", "numpy"))
    print(f"{'step':12}{'images':>9}{'seconds':>9}{'images/s':>10}{'peak MB':>9}{'files':>7}{'kB an image':>13}")
    least: dict[str, tuple[int, float]] = {}
    for num_images in map(int, arguments.images.split(",")):
        dataset = arguments.folder / str(num_images) / "set"
        if not dataset.exists():
            partial = dataset.with_name("partial")
            shutil.rmtree(partial, ignore_errors=True)
            checking.write_dataset(partial, num_images, BOXES)
            partial.rename(dataset)
        for step in arguments.steps.split(","):
            command = [sys.executable, "-m", "benchmarks.scale", f"--folder={arguments.folder}"]
            command += ["--measure", step, str(num_images)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found = json.loads(done.stdout.splitlines()[-1])
            smallest, base = least.setdefault(step, (num_images, found["peak_mb"]))
            more = num_images - smallest
            added = f"{(found['peak_mb'] - base) / more * 1024:.2f}" if more else ""
            print(
                f"{step:12}{num_images:9d}{found['seconds']:9.1f}{num_images / found['seconds']:10.0f}"
                f"{found['peak_mb']:9.0f}{found['files']:7d}{added:>13}",
                flush=True,
            )
    return 0


def _measure(step: str, folder: pathlib.Path) -> dict[str, float]:
    """Runs a step on the dataset of a folder; returns seconds, peak_mb of this process, and files written."""
    prepare = {"check": _check, "ingest": _ingest, "statistics": _statistics, "metrics": _metrics}[step]
    output = folder / step
    run = prepare(folder, output)
    started = time.perf_counter()
    run()
    return {
        "seconds": time.perf_counter() - started,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "files": sum(path.is_file() for path in output.rglob("*")),
    }


def _check(folder: pathlib.Path, output: pathlib.Path) -> Callable[[], Any]:
    from data import sources
    from data.checks import dataset

    del output
    return lambda: dataset.check(sources.open_source(f"coco:{folder / 'set'}"))


def _ingest(folder: pathlib.Path, output: pathlib.Path) -> Callable[[], Any]:
    from pipeline.components import example_gen

    properties = {"dataset": f"coco:{folder / 'set'}", "options": "{}", "report_dir": str(output)}
    executor = example_gen.Executor(_context(output))
    return lambda: executor.Do({}, {"examples": [_examples(folder)]}, properties)


def _statistics(folder: pathlib.Path, output: pathlib.Path) -> Callable[[], Any]:
    from tfx import types
    from tfx.components.statistics_gen import executor
    from tfx.types import standard_artifacts

    from pipeline import pipeline

    statistics = standard_artifacts.ExampleStatistics()
    statistics.uri = str(output)
    examples = _examples(folder)
    examples.split_names = json.dumps(["train", "val", "test"])
    examples.set_string_custom_property("payload_format", "FORMAT_TF_EXAMPLE")
    examples.set_string_custom_property("file_format", "tfrecords_gzip")
    component, *_ = pipeline.make_data_checks(types.Channel(type=standard_artifacts.Examples))
    ours = executor.Executor(_context(output))
    return lambda: ours.Do({"examples": [examples]}, {"statistics": [statistics]}, component.exec_properties)


def _metrics(folder: pathlib.Path, output: pathlib.Path) -> Callable[[], Any]:
    from models.evaluation import coco, constancy

    del output
    num_images = round(int(folder.name) * checking.SHARES["test"])
    results = evaluation.random_results(0, num_images, detections=DETECTIONS)
    return lambda: (coco.coco_metrics(results, evaluation.CLASS_NAMES), constancy.constancy(results))


def _examples(folder: pathlib.Path) -> Any:
    """Makes the artifact that `ingest` writes."""
    from tfx.types import standard_artifacts

    examples = standard_artifacts.Examples()
    examples.uri = str(folder / "ingest")
    return examples


def _context(output: pathlib.Path) -> Any:
    """Makes what a Beam executor works with."""
    from tfx.dsl.components.base import base_beam_executor

    from pipeline import beam_options

    return base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=beam_options.arguments([]), tmp_dir=str(output / "tmp"), unique_id="1"
    )


if __name__ == "__main__":
    raise SystemExit(main())
