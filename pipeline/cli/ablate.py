"""`ssd-tuner ablate`: which changes of the settings help or hurt, each with the same seeds as the baseline."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from data import dataset_info, errors
from pipeline import configs, environment, planning, workdir
from pipeline.cli import parsing, run, study_flags
from pipeline.screen import display
from tuner_fn import objectives, search_space
from tuner_fn.plan import plan
from tuner_fn.studies import variants

if TYPE_CHECKING:
    from tuner_fn.studies import ablation

SUMMARY = "Change one setting at a time: which changes help, which hurt, which show no effect; with repeats."
USAGE = "--dataset=DATASET --workdir=FOLDER [--space=flir_study] [--repeats=3] [flags]"
EXAMPLE = "ssd-tuner ablate --dataset=road_scenes --workdir=runs/demo --space=flir_study --repeats=3"
EXTRA = "pipeline"
_NAME = "ablation"


def define_flags(flag_values: flags.FlagValues) -> None:
    """Adds the command's flags."""
    study_flags.define_flags(flag_values)
    flags.DEFINE_string(
        "space",
        "flir_study",
        f"What to change: flir_study, the changes of the published study; another space, one of"
        f" {', '.join(search_space.SPACES)}; or a YAML file, as `run` takes it. Every value of a list"
        " and both ends of a range are tried.",
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "repeats",
        3,
        "Seeds, from --seed on, that baseline and variants are trained with; intervals need 2.",
        lower_bound=1,
        flag_values=flag_values,
    )


def main(arguments: Sequence[str], flag_values: flags.FlagValues) -> int:
    """Runs the command.

    Args:
        arguments: none are taken.
        flag_values: parsed flags.

    Returns:
        0 once every training has ended and the results are written.

    Raises:
        UserError: a flag's value or the dataset is unusable, there is nothing to compare, or the baseline or every
            variant cannot be trained.
    """
    parsing.no_arguments("ablate", arguments, "dataset")
    space = flag_values["space"].value
    values = study_flags.values(flag_values)
    with display.open_display(flag_values["verbosity"].value):
        config, found, key = planning.plan_run(values)
        _changes(space, config, 1)  # a mistake in the space should not wait for the data
    with (
        workdir.open_workdir(flag_values["workdir"].value) as folder,
        display.open_display(flag_values["verbosity"].value, folder.log) as screen,
    ):
        results = folder.study(_NAME)
        screen.print_facts({"dataset": config.dataset, "preset": config.preset, "results": str(results)})
        plan.write(results, found, key)
        run.print_plan(screen, found)
        environment.share_threads(config.experiment.input.size)
        environment.share_gpu()
        info, data = study_flags.prepare(config, folder)
        screen.note("Starting TensorFlow (about 10 s) ...")
        study = _study(screen, space, config, info, flag_values["repeats"].value, data)
        _run(screen, study, results)
    return 0


def _study(
    screen: display.Display,
    space: str,
    config: configs.RunConfig,
    info: dataset_info.DatasetInfo,
    repeats: int,
    data: Mapping[str, Any],
) -> "ablation.Ablation":
    """Builds the study; notes say what is left out of it."""
    from data import input_pipeline
    from tuner_fn import worker
    from tuner_fn.studies import ablation

    steps = input_pipeline.steps_per_epoch(info.num_examples["train"], config.experiment.input.batch_size)
    changes = _changes(space, config, steps * config.experiment.training.epochs)
    for text in changes.left_out:
        screen.note(f"Left out: {text}.")
    return ablation.Ablation(
        baseline=config.experiment,
        variants=changes.kept,
        repeats=repeats,
        metric=config.search.objective,
        depends_on=study_flags.depends_on(info, config.experiment, worker.TRAINING),
        **data,
    )


def _run(screen: display.Display, study: "ablation.Ablation", folder: pathlib.Path) -> None:
    """Trains, and shows what there is in the end, of an interrupted study too."""
    from tuner_fn import supervisor
    from tuner_fn.studies import ablation

    trainings = folder / "trainings"
    try:
        ablation.run(study, trainings, supervisor.TrainingProcess(folder / "worker.log"))
    finally:
        _show(screen, study, ablation.read(study, trainings), folder)


def _changes(space: str, config: configs.RunConfig, total_steps: int) -> variants.Variants:
    if space in variants.STUDIES:
        proposed = variants.STUDIES[space](total_steps)
    else:
        proposed = variants.of_space(search_space.named_space(space, config.experiment), config.experiment)
    return variants.compare_with(config.experiment, proposed)


def _show(
    screen: display.Display, study: "ablation.Ablation", trainings: Sequence["ablation.Training"], folder: pathlib.Path
) -> None:
    """Writes and prints the results."""
    from tuner_fn.studies import ablation_plots, ablation_results

    found = ablation_results.rows(study, trainings)
    if len(found) < 2:
        return
    ablation_results.write(folder, study, found)
    ablation_plots.write(folder, study, found)
    height, width = study.baseline.input.size
    title = (
        f"Ablation: val {objectives.get(study.metric).text}, {width}x{height} px, "
        f"{study.baseline.training.epochs} epochs, seeds {', '.join(map(str, study.seeds))}"
    )
    screen.print_table(
        title, ablation_results.PRINTED, [ablation_results.printed(row) for row in found], first_is_whole=True
    )
    for text in ablation_results.conclusions(study, found):
        screen.note(text)
    if len(found) > len(study.variants) and not any(row.scores for row in found[1:]):
        raise errors.UserError(f"Every variant failed; {folder / ablation_results.JSON_FILE} has the reasons.")
    names = (ablation_results.TABLE_FILE, ablation_plots.LOSS_FILE, ablation_plots.SCORES_FILE)
    screen.print_facts({"written": ", ".join([str(folder / names[0]), *names[1:]])})
