"""Replays random searches over recorded learning curves, with and without early stopping.

For each chance it prints which share of the trials that would have become the best was stopped (those before enough
trainings were finished to judge are not counted), the epochs saved, and what the best of the same trials lost by it.
The curves are of LCBench's surrogate (52 epochs; regret as in `benchmarks.search`) and of this kit: trainings of random
configurations of the default space on road scenes, recorded by `--record` (8 epochs of 400 images of 128 px, preset
quick; mAP on 100 images).

    python -m benchmarks.early_stopping [--seeds=10] [--tasks=7593,126025] [--curves=FILE]
    python -m benchmarks.early_stopping --record=FILE [--trials=40]

Needs `requirements/benchmarks.txt`, and the surrogate in `$SSD_TUNER_SHARED_DATA/lcbench` or `../shared/data/lcbench`.
"""

import argparse
import dataclasses
import json
import math
import pathlib
import tempfile
from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks import rounds
from tuner_fn.early_stopping import LEAST_CURVES, StoppingRule

CHANCES = (0.01, 0.05, 0.1, 0.2)
TRIALS = 60  # of a search on LCBench
ORDERS = 200  # of the recorded trainings
EPOCHS, TRAIN_IMAGES, VAL_IMAGES, SIDE_PX = 8, 400, 100, 128
CURVES = pathlib.Path(__file__).parent.parent / "tests" / "unit" / "tuner_fn" / "road_scenes_curves.json"
Curves = Sequence[Sequence[float]]


@dataclasses.dataclass(frozen=True)
class Replay:
    """What early stopping does to a search.

    Attributes:
        winners: trials that would have become the best when there was enough to judge them by.
        stopped_winners: those of them that were stopped.
        saved: share of the epochs that were not trained.
        best: the highest score found.
    """

    winners: int
    stopped_winners: int
    saved: float
    best: float


def main() -> int:
    """Records curves, or replays searches over recorded ones and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="searches of each task")
    parser.add_argument("--tasks", help="of LCBench, by comma; those to develop on without it")
    parser.add_argument("--curves", type=pathlib.Path, default=CURVES, help="recorded trainings of this kit")
    parser.add_argument("--record", type=pathlib.Path, help="train and write their curves to this file instead")
    parser.add_argument("--trials", type=int, default=40, help="to record")
    arguments = parser.parse_args()
    if arguments.record:
        _record(arguments.record, arguments.trials)
        return 0
    rounds.print_heading("python -m benchmarks.early_stopping", ["numpy", "scipy"])
    curves = json.loads(arguments.curves.read_text())["curves"]
    print(f"\n{len(curves)} recorded trainings on road scenes in {ORDERS} random orders; loss is of mAP")
    _print_table([(curves, seed, 1.0) for seed in range(ORDERS)])
    searches = list(_lcbench_searches(arguments.tasks, arguments.seeds))
    print(f"\nLCBench, {len(searches)} searches of {TRIALS} random configurations; loss is of normalised regret")
    _print_table(searches)
    return 0


def replay(curves: Curves, chance: float, seed: int) -> Replay:
    """Goes through finished trainings in a random order as a search that stops trials early would.

    Args:
        curves: scores [N, T] by epoch.
        chance: as of `StoppingRule`.
        seed: of the order.
    """
    best, epochs, winners, stopped_winners = -math.inf, 0, 0, 0
    finished: list[tuple[float, ...]] = []
    for index in np.random.default_rng(seed).permutation(len(curves)):
        curve = tuple(map(float, curves[index]))
        rule = StoppingRule(chance, best, tuple(finished))
        trained = next((epoch for epoch in range(1, len(curve)) if rule.stops(curve[:epoch])), len(curve))
        would_win = curve[-1] > best and len(finished) >= LEAST_CURVES
        winners, stopped_winners = winners + would_win, stopped_winners + (would_win and trained < len(curve))
        if trained == len(curve):
            finished.append(curve)
        best, epochs = max(best, curve[trained - 1]), epochs + trained
    return Replay(winners, stopped_winners, 1.0 - epochs / sum(map(len, curves)), best)


def _print_table(searches: Sequence[tuple[Curves, int, float]]) -> None:
    """Prints a line a chance; each search is curves, the seed of their order and what a score is divided by."""
    print(f"{'chance':>8}{'would win':>11}{'stopped of them':>17}{'epochs saved':>14}{'loss of the best':>18}")
    for chance in CHANCES:
        found = [replay(curves, chance, seed) for curves, seed, _ in searches]
        winners, stopped = (sum(getattr(one, name) for one in found) for name in ("winners", "stopped_winners"))
        losses = [
            (max(curve[-1] for curve in curves) - one.best) / scale
            for one, (curves, _, scale) in zip(found, searches, strict=True)
        ]
        saved = np.mean([one.saved for one in found])
        share = f"{stopped} = {stopped / max(winners, 1):.1%}"
        print(f"{chance:8.2f}{winners:11d}{share:>17}{saved:14.1%}{np.mean(losses):18.4f}", flush=True)


def _lcbench_searches(tasks: str | None, seeds: int) -> Iterator[tuple[Curves, int, float]]:
    from benchmarks import lcbench

    space = lcbench.make_space().space
    for name in tasks.split(",") if tasks else lcbench.TASKS:
        task = lcbench.Task(name)
        for seed in range(seeds):
            genes = np.random.default_rng(seed).random((TRIALS, len(space)))
            drawn = [{one.name: one.prob_to_value(gene) for one, gene in zip(space, row, strict=True)} for row in genes]
            yield [task.curve(values).tolist() for values in drawn], seed, task.best - task.median


def _record(path: pathlib.Path, trials: int) -> None:
    """Trains random configurations of the default space and writes the mAP on val after each epoch."""
    from data.road_scenes import scenes
    from models.training import train
    from models.training.divergence import DivergedError
    from pipeline import environment
    from tuner_fn import presets, search_space
    from tuner_fn.oracles.space import Space

    environment.share_threads(SIDE_PX)
    config = presets.experiment(presets.get_preset("quick"), {"input.image_size": SIDE_PX}, 0)
    space = Space(search_space.make_search_space(config, search_space.named_space("default", config)))
    curves: list[list[float]] = []
    with tempfile.TemporaryDirectory() as folder:
        splits = (("train", TRAIN_IMAGES), ("val", VAL_IMAGES))
        data = [[rounds.write_road_scenes(pathlib.Path(folder), name, count, SIDE_PX)] for name, count in splits]
        for genes in space.sample(np.random.default_rng(0), trials):
            chosen = search_space.configuration(config, space.values(genes))
            try:
                history = train.train(chosen, *data, scenes.CLASS_NAMES, epochs=EPOCHS).history
            except DivergedError:
                continue
            curves.append([round(report["AP"], 5) for report in history])
            print(f"training {len(curves)}: {curves[-1]}", flush=True)
    lines = ",\n".join(json.dumps(curve) for curve in curves)
    path.write_text(f'{{"command": "python -m benchmarks.early_stopping --record", "curves": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    raise SystemExit(main())
