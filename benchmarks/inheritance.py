"""Compares trainings that inherit weights with trainings afresh, by the kind of change between donor and heir.

A donor is trained with preset quick, but batches of 8, on scenes of the embedded dataset. Then each neighbour of it is
trained for as many epochs afresh and as many with the donor's weights; the first one also for twice as many afresh,
which is what both trainings cost together. Initial weights, order of images and augmentation have the donor's seed.

    python -m benchmarks.inheritance [--seeds=3] [--epochs=5]
"""

import argparse
import pathlib
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks import rounds
from data.road_scenes import scenes
from models.training import train
from pipeline import environment
from tuner_fn import presets

TRAIN_IMAGES, VAL_IMAGES, SIDE_PX, BATCH = 480, 96, 128, 8
CHANGES = {
    "learning rate, box weight": {"optimizer.learning_rate": 0.0015, "loss.localization_weight": 2.0},
    "wider: alpha 0.35 to 0.5": {"model.alpha": 0.5},
    "narrower: alpha 0.35 to 0.25": {"model.alpha": 0.25},
    "predictor's kernel 1 to 3": {"model.head_kernel_size": 3},
    "levels 6 to 5": {"model.num_levels": 5},
    "backbone v2 to v1": {"model.backbone": "mobilenet_v1"},
}
Score = tuple[float, float]  # AP, AP50


def main() -> int:
    """Prints every training's scores, then a table of the means; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="donors, and heirs of each kind")
    parser.add_argument("--epochs", type=int, default=5, help="of the donor and of each heir")
    arguments = parser.parse_args()
    command = f"python -m benchmarks.inheritance --seeds={arguments.seeds} --epochs={arguments.epochs}"
    rounds.print_heading(command, ("tensorflow", "keras"))
    environment.share_threads(SIDE_PX)
    found: dict[str, list[tuple[Score, Score]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        counts = {"train": TRAIN_IMAGES, "val": VAL_IMAGES}
        data = [[rounds.write_road_scenes(root, split, count, SIDE_PX)] for split, count in counts.items()]
        for seed in range(arguments.seeds):
            for name, scores in _family(data, root / f"{seed}.npz", seed, arguments.epochs):
                print(f"  seed {seed}, {name}: {', '.join(map(_text, scores))}", flush=True)
                found.setdefault(name, []).append(scores)
    _print_table(found, arguments.epochs)
    return 0


def _family(
    data: list[list[str]], donor: pathlib.Path, seed: int, epochs: int
) -> Iterator[tuple[str, tuple[Score, Score]]]:
    """Trains a donor and yields the scores of each neighbour, afresh and with inherited weights."""
    settings = {"input.image_size": SIDE_PX, "input.batch_size": BATCH}
    base = presets.experiment(presets.get_preset("quick"), settings, seed)

    def score(changes: Mapping[str, Any], epochs: int, **files: pathlib.Path) -> Score:
        settings = {"epochs": epochs, "validate_at": (), **files}
        report = train.train(base.replace(changes), *data, scenes.CLASS_NAMES, **settings).history[-1]
        return report["AP"], report["AP50"]

    print(f"  seed {seed}, donor: {_text(score({}, epochs, checkpoint=donor))}", flush=True)
    for name, changes in CHANGES.items():
        inherited = score(changes, epochs, inherit_from=donor)
        yield name, (score(changes, epochs), inherited)
        if name == next(iter(CHANGES)):
            yield "the first, afresh in twice the epochs", (score(changes, 2 * epochs), inherited)


def _print_table(found: Mapping[str, list[tuple[Score, Score]]], epochs: int) -> None:
    """Prints means over the seeds, and the least and the greatest gain."""
    print(
        f"\nval mAP (mAP@.5), mean of {len(next(iter(found.values())))} seeds; {epochs} epochs, {TRAIN_IMAGES} images"
    )
    print(f"{'':40s}{'afresh':>16s}{'inherited':>16s}{'gain (least to most)':>32s}{'ratio':>8s}")
    for name, runs in found.items():
        afresh, inherited = (tuple(map(statistics.mean, zip(*way, strict=True))) for way in zip(*runs, strict=True))
        gains = [with_weights[0] - without[0] for without, with_weights in runs]
        gain = f"{statistics.mean(gains):+.4f} ({min(gains):+.4f} to {max(gains):+.4f})"
        ratio = f"{inherited[0] / afresh[0]:.2f}" if afresh[0] else "-"
        print(f"{name:40s}{_text(afresh):>16s}{_text(inherited):>16s}{gain:>32s}{ratio:>8s}")


def _text(score: Score) -> str:
    return f"{score[0]:.4f} ({score[1]:.4f})"


if __name__ == "__main__":
    raise SystemExit(main())
