"""The flags that the commands that study settings share: those of `run` that decide what it begins with."""

from collections.abc import Sequence
from typing import Any

from absl import flags

from pipeline.cli import data_flags, run

_SHARED = ("preset", "config", "plan", "set", "epochs", "seed", "objective")


def define_flags(flag_values: flags.FlagValues, others: Sequence[str] = ()) -> None:
    """Adds `--workdir` and the flags of `run` that decide which settings it begins with.

    Args:
        flag_values: gets them.
        others: more flags of `run`.
    """
    data_flags.define_flags(flag_values)
    data_flags.define_training_flags(flag_values)
    every = _flags_of_run()
    for name in (*_SHARED, *others):
        flag_values[name] = every[name]
    flags.DEFINE_string(
        "workdir",
        None,
        "Run directory, new or of an earlier run or study; the same command continues where it was interrupted.",
        required=True,
        flag_values=flag_values,
    )


def values(flag_values: flags.FlagValues) -> dict[str, Any]:
    """Collects what `planning.plan_run` takes; `run`'s flags that a study does not have are at their defaults."""
    every = _flags_of_run()
    for name in every:
        if name in flag_values and flag_values[name].help == every[name].help:  # `repeats` means something else here
            every[name].value, every[name].present = flag_values[name].value, flag_values[name].present
    return run.experiment_values(every) | {"workdir": flag_values["workdir"].value}


def _flags_of_run() -> flags.FlagValues:
    every = flags.FlagValues()
    run.define_experiment_flags(every)
    return every
