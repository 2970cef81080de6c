"""`ssd-tuner lr-range`: between which learning rates the loss falls, for what `run` would begin with."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from data import errors
from models import hyperparameters
from pipeline.cli import parsing, study, study_flags
from tuner_fn.studies import space_file

if TYPE_CHECKING:
    from tuner_fn.studies import lr_range, rate_interval

SUMMARY = "Find the range of learning rates in which the loss falls (Smith's range test), for `run --space`."
USAGE = "--dataset=DATASET --workdir=FOLDER [--write_space=FILE] [flags]"
EXAMPLE = "ssd-tuner lr-range --dataset=road_scenes --workdir=runs/demo --write_space=space.yaml"
EXTRA = "pipeline"
_NAME = "lr_range"
_SETTING = "optimizer.learning_rate"


def define_flags(flag_values: flags.FlagValues) -> None:
    """Adds the command's flags."""
    study_flags.define_flags(flag_values, others=("space", "tune"))
    declared = hyperparameters.OptimizerConfig.__dataclass_fields__["learning_rate"].metadata
    numbers = {
        "min_rate": (declared["low"], "First learning rate."),
        "max_rate": (1.0, "Last learning rate. A sweep stops earlier if the loss diverges."),
    }
    for name, (default, text) in numbers.items():
        flags.DEFINE_float(
            name, default, text, lower_bound=declared["low"], upper_bound=declared["high"], flag_values=flag_values
        )
    flags.DEFINE_integer(
        "repeats",
        3,
        "Number of sweeps. Each has its own seed, counted from --seed; their spread shows how far to trust the range.",
        lower_bound=1,
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "steps",
        None,
        "Mini-batches per sweep. By default, all sweeps together take about two epochs at most.",
        lower_bound=10,
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "write_space",
        None,
        "File that `run --space` takes; the range of optimizer.learning_rate is written into it. Other lines of an"
        " existing file stay.",
        flag_values=flag_values,
    )


def main(arguments: Sequence[str], flag_values: flags.FlagValues) -> int:
    """Runs the command.

    Args:
        arguments: none are taken.
        flag_values: parsed flags.

    Returns:
        0 once the range is found and written.

    Raises:
        UserError: a flag's value or the dataset is unusable, or the loss falls with no seed.
    """
    parsing.no_arguments("lr-range", arguments, "dataset", flag_values)
    low, high, output = (flag_values[name].value for name in ("min_rate", "max_rate", "write_space"))
    if low >= high:
        raise errors.UserError(f"`--max_rate` must exceed `--min_rate`: got {high:g} and {low:g}.")
    if output is not None:
        space_file.check(output)
    with study.open_study(_NAME, flag_values) as opened:
        test = _range_test(opened, flag_values)
        epochs = test.steps * test.repeats / opened.steps_per_epoch
        opened.screen.note(f"{test.repeats} times {test.steps} mini-batches: the time of {epochs:.2g} epochs at most.")
        interval = _run(opened, test)
        if output is not None:
            ends = {"low": float(f"{interval.low:.2g}"), "high": float(f"{interval.high:.2g}"), "scale": "log"}
            space_file.write_range(output, _SETTING, ends)
            opened.screen.print_facts({"space": f"ssd-tuner run --space={output} ..."})
    return 0


def _range_test(opened: study.Study, flag_values: flags.FlagValues) -> "lr_range.RangeTest":
    from tuner_fn.studies import lr_range

    repeats, settings = flag_values["repeats"].value, opened.config.experiment
    return lr_range.RangeTest(
        config=settings,
        low=flag_values["min_rate"].value,
        high=flag_values["max_rate"].value,
        steps=flag_values["steps"].value or lr_range.num_steps(opened.steps_per_epoch, repeats),
        repeats=repeats,
        class_names=opened.data["class_names"],
        train_files=opened.data["train_files"],
        depends_on=study.depends_on(opened.info, "models.training.rate_sweep"),
    )


def _run(opened: study.Study, test: "lr_range.RangeTest") -> "rate_interval.Interval":
    """Sweeps, shows and writes the results.

    Raises:
        UserError: the loss falls with no seed.
    """
    from tuner_fn.studies import lr_range, lr_range_report

    folder, screen = opened.results, opened.screen
    sweeps = lr_range.run(test, folder / "sweeps")
    lr_range_report.write(folder, test, sweeps)
    picture = folder / lr_range_report.PLOT_FILE
    lr_range_report.write_logs(opened.folder.study_logs(_NAME), test, sweeps, picture.read_bytes())
    for text in lr_range.conclusions(test, sweeps):
        screen.note(text)
    screen.print_facts({"figure": str(picture)})
    found = lr_range.together(sweeps)
    if found is None:
        raise errors.UserError("There is no range to take. Give more --steps, or another --min_rate or --max_rate.")
    return found.interval
