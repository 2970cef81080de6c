"""`ssd-tuner lr-range`: between which learning rates the loss falls, for what `run` would begin with."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from data import dataset_info, errors
from pipeline import configs, environment, planning, workdir
from pipeline.cli import parsing, run, study_flags
from pipeline.screen import display
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
    numbers = {
        "min_rate": (1e-7, "First learning rate."),
        "max_rate": (1.0, "Last learning rate; a sweep ends before where the loss diverges."),
    }
    for name, (default, text) in numbers.items():
        flags.DEFINE_float(name, default, text, lower_bound=1e-10, flag_values=flag_values)
    flags.DEFINE_integer(
        "repeats",
        3,
        "Sweeps, each with a seed of its own from --seed on; they show how far the range can be trusted.",
        lower_bound=1,
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "steps",
        None,
        "Mini-batches of a sweep. By default all sweeps together take two epochs at most.",
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
    parsing.no_arguments("lr-range", arguments, "dataset")
    low, high, output = (flag_values[name].value for name in ("min_rate", "max_rate", "write_space"))
    if low >= high:
        raise errors.UserError(f"`--max_rate` must exceed `--min_rate`: got {high:g} and {low:g}.")
    if output is not None:
        space_file.check(output)
    with display.open_display(flag_values["verbosity"].value):
        config, found, _ = planning.plan_run(study_flags.values(flag_values))
    with (
        workdir.open_workdir(flag_values["workdir"].value) as folder,
        display.open_display(flag_values["verbosity"].value, folder.log) as screen,
    ):
        results = folder.study(_NAME)
        screen.print_facts({"dataset": config.dataset, "preset": config.preset, "results": str(results)})
        run.print_plan(screen, found)
        environment.share_threads(config.experiment.input.size)
        environment.share_gpu()
        info, data = study_flags.prepare(config, folder)
        screen.note("Starting TensorFlow (about 10 s) ...")
        test = _range_test(config, info, data, flag_values)
        epochs = test.steps * test.repeats / _steps_per_epoch(config, info)
        screen.note(f"{test.repeats} times {test.steps} mini-batches: the time of {epochs:.2g} epochs at most.")
        interval = _run(screen, test, results, folder.study_logs(_NAME))
        if output is not None:
            ends = {"low": float(f"{interval.low:.2g}"), "high": float(f"{interval.high:.2g}"), "scale": "log"}
            space_file.write_range(output, _SETTING, ends)
            screen.print_facts({"space": f"ssd-tuner run --space={output} ..."})
    return 0


def _steps_per_epoch(config: configs.RunConfig, info: dataset_info.DatasetInfo) -> int:
    from data import input_pipeline

    num_images = int(info.num_examples["train"] * config.experiment.training.data_share)
    return input_pipeline.steps_per_epoch(num_images, config.experiment.input.batch_size)


def _range_test(
    config: configs.RunConfig, info: dataset_info.DatasetInfo, data: Mapping[str, Any], flag_values: flags.FlagValues
) -> "lr_range.RangeTest":
    from tuner_fn.studies import lr_range

    repeats = flag_values["repeats"].value
    return lr_range.RangeTest(
        config=config.experiment,
        low=flag_values["min_rate"].value,
        high=flag_values["max_rate"].value,
        steps=flag_values["steps"].value or lr_range.num_steps(_steps_per_epoch(config, info), repeats),
        repeats=repeats,
        class_names=data["class_names"],
        train_files=data["train_files"],
        depends_on=study_flags.depends_on(info, config.experiment, "models.training.rate_sweep"),
    )


def _run(
    screen: display.Display, test: "lr_range.RangeTest", folder: pathlib.Path, logs: pathlib.Path
) -> "rate_interval.Interval":
    """Sweeps, shows and writes the results.

    Raises:
        UserError: the loss falls with no seed.
    """
    from tuner_fn.studies import lr_range, lr_range_report

    sweeps = lr_range.run(test, folder / "sweeps")
    lr_range_report.write(folder, test, sweeps)
    picture = folder / lr_range_report.PLOT_FILE
    lr_range_report.write_logs(logs, test, sweeps, picture.read_bytes())
    for text in lr_range.conclusions(test, sweeps):
        screen.note(text)
    screen.print_facts({"figure": str(picture)})
    found = lr_range.together(sweeps)
    if found is None:
        raise errors.UserError("There is no range to take. Give more --steps, or another --min_rate or --max_rate.")
    return found.interval
