"""Real trainings that benchmarks share: the tasks, and one training with its curve, kept by what it depends on.

A training's file is named by a digest of task, settings and epochs, so that the same training is never paid for twice
and a benchmark that was killed continues where it stopped.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
from typing import Any

from data import files, sources
from models import imagenet_weights
from models.hyperparameters import ExperimentConfig
from models.training import train
from pipeline.components import ingest

CURVE = ("AP", "AP50", "loss", "seconds")  # kept of each epoch
DEPENDS_ON = ("task", "epochs", "settings")  # what tells one training from another


@dataclasses.dataclass(frozen=True)
class Task:
    """A dataset to train on.

    Attributes:
        dataset: as of `ssd-tuner run`; "{shared}" is the folder of the shared data.
        splits: shares of train, val and test, where it has none of its own.
    """

    dataset: str
    splits: tuple[float, ...] | None = None

    @property
    def spec(self) -> str:
        """The dataset with the folder filled in."""
        return self.dataset.format(shared=shared_data())

    @property
    def options(self) -> sources.DataOptions:
        """What is taken of the dataset."""
        return sources.DataOptions(splits=self.splits)


TASKS = {
    "hituav": Task("coco:{shared}/hituav_night_dev"),
    "raccoon": Task("voc:{shared}/raccoon", (0.65, 0.15, 0.2)),
    "cards": Task("{shared}/cards", (0.7, 0.1, 0.2)),
    "thermal": Task("road_scenes:look=thermal,train=300,val=60,test=120"),
}


def shared_data() -> pathlib.Path:
    """Finds the folder of the shared data: `$SSD_TUNER_SHARED_DATA`, else `../shared/data`."""
    return pathlib.Path(os.environ.get("SSD_TUNER_SHARED_DATA", "../shared/data")).resolve()


def one_core() -> None:
    """Keeps this process to one core; called before anything of TensorFlow runs."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def write_examples(task: Task, folder: pathlib.Path, tile: str = "1x1") -> tuple[dict[str, list[str]], list[str]]:
    """Ingests a task's dataset once; returns as `write_source`."""
    return write_source(sources.open_source(task.spec, dataclasses.replace(task.options, tile=tile)), folder)


def write_source(source: sources.Source, folder: pathlib.Path) -> tuple[dict[str, list[str]], list[str]]:
    """Ingests a dataset once, into a folder named by its content; returns the files by split, and the classes."""
    folder = folder / f"examples_{source.fingerprint()[:12]}"
    splits = {}
    for split in sources.SPLITS:
        shards = ingest.plan_shards(split, source.items(split), str(folder / split))
        splits[split] = [shard.path for shard in shards]
        for shard in shards:
            if not os.path.exists(shard.path):
                ingest.write_shard(shard, source)
    return splits, list(source.class_names)


def from_scratch(config: ExperimentConfig) -> ExperimentConfig:
    """Takes no weights where the configuration leaves it to the machine: what every machine has."""
    is_open = config.model.backbone_weights == imagenet_weights.AUTO
    return config.replace({"model.backbone_weights": "none"}) if is_open else config


def score(
    task: str, config: ExperimentConfig, folder: pathlib.Path, *, epochs: int, every: int = 1, **labels: Any
) -> dict[str, Any]:
    """Trains one configuration, unless that is done already.

    Args:
        task: of `TASKS`.
        config: all settings.
        folder: for examples and results.
        epochs: of the training.
        every: epochs from one validation to the next.
        **labels: kept with the result, beside what it depends on.

    Returns:
        "task", "epochs", "settings" (those that differ from the declared defaults), "curve" {name of `CURVE`: by
        epoch}, "test" {"AP", "AP50"} after the last epoch, and "minutes".
    """
    config = from_scratch(config)
    defaults = ExperimentConfig().flat()
    settings = {path: value for path, value in config.flat().items() if value != defaults[path]}
    about = json.loads(json.dumps(dict(zip(DEPENDS_ON, (task, epochs, settings), strict=True))))
    name = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
    path = folder / task / f"{name}.json"
    if not path.exists():
        splits, class_names = write_examples(TASKS[task], folder / task, config.input.tile)
        state = path.with_suffix(".npz")
        data = (config, splits["train"], splits["val"], class_names)
        result = train.train(*data, epochs=epochs, checkpoint=state, validate_at=range(0, epochs, every))
        test = train.Validation(tuple(splits["test"]), config, tuple(class_names)).metrics(result.detector)
        curve = {key: [_digits(report.get(key)) for report in result.history] for key in CURVE}
        minutes = sum(report["seconds"] for report in result.history) / 60
        found = {"curve": curve, "test": {key: _digits(test[key]) for key in CURVE[:2]}, "minutes": _digits(minutes)}
        files.write_json(path, about | found | labels)
        state.unlink(missing_ok=True)
    found = json.loads(path.read_text(encoding="utf-8"))
    if found | labels != found:
        files.write_json(path, found | labels)
    return found | labels


def _digits(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
