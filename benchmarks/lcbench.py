"""LCBench's surrogate as tasks to search on: the accuracy of a network after 1 to 52 epochs, without training it."""

import json
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import keras_tuner
import numpy as np
import onnxruntime

MAX_EPOCHS = 52
# The tasks to develop on; the others are for judging.
TASKS = (
    *("7593", "126025", "126029", "167104", "167152", "167168", "167184", "167190"),
    *("167201", "168330", "168335", "168908", "189354", "189865", "189873", "189906", "189909"),
)
INPUTS = ("batch_size", "learning_rate", "momentum", "weight_decay", "num_layers", "max_units", "max_dropout")
_ACCURACY = 1  # column of the surrogate's output, in percent
_BATCH = 200  # configurations at a time, for memory
_RANDOM, _ROUNDS, _CHILDREN, _PARENTS, _STARTS = 1000, 60, 100, 20, 4


def make_space() -> keras_tuner.HyperParameters:
    """Declares the seven hyperparameters of LCBench (Zimmer et al. 2021, table 5) as the surrogate bounds them."""
    space = keras_tuner.HyperParameters()
    space.Int("batch_size", 16, 512, sampling="log", default=91)
    space.Float("learning_rate", 1e-4, 1e-1, sampling="log", default=3.1622777e-3)
    space.Float("momentum", 0.1, 0.99, default=0.545)
    space.Float("weight_decay", 1e-5, 1e-1, default=0.050005)
    space.Int("num_layers", 1, 5, default=3)
    space.Int("max_units", 64, 1024, sampling="log", default=256)
    space.Float("max_dropout", 0.0, 1.0, default=0.5)
    return space


class Task:
    """One of the surrogate's tasks.

    Attributes:
        best: the highest accuracy that a long search of the surrogate itself has found, in percent.
        median: of random configurations' highest accuracies, in percent.
    """

    def __init__(self, name: str) -> None:
        """Loads the surrogate and searches the task's best configuration (a few seconds)."""
        folder = pathlib.Path(os.environ.get("SSD_TUNER_SHARED_DATA") or "../shared/data") / "lcbench"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(folder / "model.onnx", options)
        self._code = json.loads((folder / "encoding.json").read_text())["OpenML_task_id"][name]
        self._space = make_space()
        self.name = name
        self.best, self.median = self._reference()

    def curve(self, values: Mapping[str, Any]) -> np.ndarray:
        """Returns the accuracies float [52] after each epoch, in percent."""
        return self._curves([[values[name] for name in INPUTS]])[0]

    def regret(self, accuracy: float) -> float:
        """Normalises an accuracy: 0 is the best known, 1 a median random configuration."""
        return (self.best - accuracy) / (self.best - self.median)

    def _curves(self, rows: Iterable[Iterable[float]]) -> np.ndarray:
        rows = np.array(list(rows), dtype=np.float32)
        if len(rows) > _BATCH:
            return np.concatenate([self._curves(rows[at : at + _BATCH]) for at in range(0, len(rows), _BATCH)])
        epochs = np.tile(np.arange(1, MAX_EPOCHS + 1, dtype=np.float32), len(rows))[:, None]
        inputs = np.concatenate([epochs, np.repeat(rows, MAX_EPOCHS, axis=0)], axis=1)
        codes = np.full((len(inputs), 1), self._code, dtype=np.int32)
        (outputs,) = self._session.run(["output"], {"x_cat": codes, "x_cont": inputs})
        return outputs[:, _ACCURACY].reshape(len(rows), MAX_EPOCHS)

    def _highest(self, genes: np.ndarray) -> np.ndarray:
        """Returns the highest accuracies [N] of configurations, given as Keras Tuner's probabilities [N, 7]."""
        rows = [[p.prob_to_value(g) for p, g in zip(self._space.space, row, strict=True)] for row in genes]
        return self._curves(rows).max(axis=1)

    def _reference(self) -> tuple[float, float]:
        """Searches, from several starts, by drawing many configurations and varying the best ones, bounds included."""
        rng = np.random.default_rng(0)
        genes = rng.random((_RANDOM, len(INPUTS)))
        found = self._highest(genes)
        median = float(np.median(found))
        best = float(found.max())
        for _ in range(_STARTS):
            genes = _some_at_bounds(rng.random((_RANDOM, len(INPUTS))), rng)
            found = self._highest(genes)
            for _ in range(_ROUNDS):
                kept = np.argsort(-found)[:_PARENTS]
                genes, found = genes[kept], found[kept]
                steps = rng.normal(size=(_CHILDREN, len(INPUTS))) * rng.choice([0.01, 0.03, 0.1, 0.3], (_CHILDREN, 1))
                parents = genes[rng.integers(0, _PARENTS, _CHILDREN)]
                children = np.clip(parents + steps * (rng.random(steps.shape) < 0.5), 0.0, 1.0)
                children = _some_at_bounds(children, rng)
                genes = np.concatenate([genes, children])
                found = np.concatenate([found, self._highest(children)])
            best = max(best, float(found.max()))
        return best, median


def _some_at_bounds(genes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Moves a tenth of the numbers to the nearer end of [0, 1], where many optima lie."""
    moved = np.where(rng.random(genes.shape) < 0.1, np.round(genes), genes)
    return np.minimum(moved, 1.0 - 1e-12)
