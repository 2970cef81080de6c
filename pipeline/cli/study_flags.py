"""The flags that the commands that study settings share: those of `run` that decide what it begins with."""

from collections.abc import Sequence
from typing import Any

from absl import flags

from pipeline.cli import data_flags, run
from tuner_fn import objectives

_SHARED = ("preset", "config", "plan", "set", "epochs", "seed")
# Of flags that mean less without a search.
_HELP = {
    "objective": "Metric on the val split by which changes are judged: "
    + " or ".join(f"{name} ({one.text})" for name, one in objectives.COCO.items())
    + ", or a plug-in's metric."
}


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
        flag_values[name].help = _help(every[name])
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
        # `repeats` means something else here, as its help says.
        if name in flag_values and flag_values[name].help == _help(every[name]):
            every[name].value, every[name].present = flag_values[name].value, flag_values[name].present
    return run.experiment_values(every) | {"workdir": flag_values["workdir"].value}


def _help(flag: flags.Flag) -> str:
    """Returns what the help of a study says of a flag of `run`."""
    return _HELP.get(flag.name, flag.help)


def _flags_of_run() -> flags.FlagValues:
    every = flags.FlagValues()
    run.define_experiment_flags(every)
    return every
