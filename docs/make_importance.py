"""Draws docs/importance.png: the importance of the settings of 300 random configurations of LCBench.

Needs `requirements/benchmarks.txt`, and the surrogate in `$SSD_TUNER_SHARED_DATA/lcbench` or `../shared/data/lcbench`.

python -m docs.make_importance
"""

import pathlib

import numpy as np

from benchmarks import lcbench
from tuner_fn.oracles.space import Space
from tuner_fn.studies import importance, importance_plot

TASK, TRIALS = "7593", 300


def main() -> None:
    """Writes the picture beside this file."""
    space, task = Space(lcbench.make_space()), lcbench.Task(TASK)
    configurations = [space.values(genes) for genes in space.sample(np.random.default_rng(0), TRIALS)]
    rows = [{**values, "accuracy": float(task.curve(values)[-1])} for values in configurations]
    found = importance.measure(rows, "accuracy", list(lcbench.INPUTS), space=space)
    title = f"Which settings matter for the accuracy of LCBench's task {TASK} after {lcbench.MAX_EPOCHS} epochs"
    picture = importance_plot.plot(found, title, "accuracy in percent")
    pathlib.Path(__file__).with_name("importance.png").write_bytes(picture)


if __name__ == "__main__":
    main()
