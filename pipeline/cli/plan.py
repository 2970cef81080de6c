"""`ssd-tuner plan`: the settings that `ssd-tuner run` would derive from a dataset, with the reasons."""

from collections.abc import Sequence

from absl import flags

from data import files
from pipeline import planning
from pipeline.cli import parsing, run
from pipeline.screen import display

SUMMARY = "Show the settings that a run would derive from a dataset, with the reasons; nothing is trained."
USAGE = "--dataset=DATASET [--output=FILE] [flags]"
EXAMPLE = "ssd-tuner plan --dataset=coco:datasets/flir"


def define_flags(flag_values: flags.FlagValues) -> None:
    """Adds the command's flags: those of `ssd-tuner run` that a plan depends on."""
    run.define_experiment_flags(flag_values)
    flags.DEFINE_string(
        "output", None, "File for all settings with the plan, as `run --config` takes them.", flag_values=flag_values
    )


def main(arguments: Sequence[str], flag_values: flags.FlagValues) -> int:
    """Prints the plan.

    Args:
        arguments: none are taken.
        flag_values: as `define_flags`.

    Returns:
        0 once it is printed, and written where `--output` asks for it.

    Raises:
        UserError: a flag's value, the dataset or the weights' path is unusable.
    """
    parsing.no_arguments("plan", arguments, "dataset", flag_values)
    output = flag_values["output"].value
    if output is not None:
        files.check_writable(output, "--output")
    with display.open_display(flag_values["verbosity"].value) as screen:
        config, found, _ = planning.plan_run(run.experiment_values(flag_values) | {"workdir": ""})
        screen.print_facts({"dataset": config.dataset, "preset": config.preset})
        run.print_plan(screen, found)
        if not found.choices:
            screen.note("Nothing to change: the settings are yours, or fit as they are.")
        screen.print_facts(found.facts())
        if output is not None:
            files.write_json(output, config.experiment.to_dict())
            screen.note(f"Written to {output}")
    return 0
