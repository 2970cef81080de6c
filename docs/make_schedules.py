"""Draws docs/schedules.png: the learning-rate schedules of `models.training.schedules`, as the code computes them.

python -m docs.make_schedules
"""

import pathlib

import matplotlib.pyplot as plt

from models.hyperparameters import OptimizerConfig
from models.training.schedules import LiveSchedule

STEPS = 1000
CASES = {
    "constant": [OptimizerConfig(schedule="constant")],
    "exponential": [
        OptimizerConfig(schedule="exponential", decay_steps=200, decay_factor=0.6),
        OptimizerConfig(schedule="exponential", decay_steps=200, decay_factor=0.6, staircase=True),
    ],
    "cosine": [OptimizerConfig(), OptimizerConfig(final_fraction=0.2)],
    "cyclic": [OptimizerConfig(schedule="cyclic", decay_steps=150, final_fraction=0.1)],
}
SHOWN = ("decay_steps", "decay_factor", "staircase", "final_fraction")


def main() -> None:
    """Writes the picture beside this file."""
    figure, axes = plt.subplots(1, len(CASES), figsize=(13, 2.9), sharey=True, layout="constrained")
    defaults = OptimizerConfig()
    for axis, (name, configs) in zip(axes, CASES.items(), strict=True):
        for config in configs:
            changed = {key: getattr(config, key) for key in SHOWN if getattr(config, key) != getattr(defaults, key)}
            label = "\n".join(f"{key}={value}" for key, value in changed.items()) or "defaults"
            schedule = LiveSchedule()
            schedule.configure(config, STEPS)
            axis.plot([float(schedule(step)) / config.learning_rate for step in range(0, STEPS, 2)], label=label)
        axis.set_title(f"optimizer.schedule={name}", fontsize=10)
        axis.set_xticks([0, 250, 500], ["0", "500", "1000"])
        axis.set_xlabel("step of 1000")
        axis.legend(fontsize=8, frameon=False, loc="upper right")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylim(-0.03, 1.5)
    axes[0].set_yticks([0, 0.5, 1])
    axes[0].set_ylabel("rate / optimizer.learning_rate")
    figure.savefig(pathlib.Path(__file__).with_name("schedules.png"), dpi=90)


if __name__ == "__main__":
    main()
