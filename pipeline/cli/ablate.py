"""`ssd-tuner ablate`: which changes of the settings help or hurt, each with the same seeds as the baseline."""

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from data import errors
from pipeline import configs
from pipeline.cli import parsing, study, study_flags
from tuner_fn import objectives, search_space
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
    study_flags.define_flags(flag_values, others=("objective",))
    flags.DEFINE_string(
        "space",
        "flir_study",
        f"What to change: flir_study, the changes of the published study; another space, one of"
        f" {', '.join(search_space.SPACES)}; or a YAML file, as `run` takes it. Every value of a list"
        " and both ends of a range are tried; a single value also applies to the baseline.",
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "repeats",
        3,
        "Number of seeds, counted from --seed, with which the baseline and each variant are trained. Intervals need 2.",
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
    parsing.no_arguments("ablate", arguments, "dataset", flag_values)
    space = flag_values["space"].value
    fixed_by = None if space in variants.STUDIES else space
    with study.open_study(_NAME, flag_values, lambda config: _changes(space, config, 1), fixed_by) as opened:
        _run(opened, _ablation(opened, space, flag_values["repeats"].value))
    return 0


def _ablation(opened: study.Study, space: str, repeats: int) -> "ablation.Ablation":
    """Says what is compared; notes say what is left out of it."""
    from tuner_fn import worker
    from tuner_fn.studies import ablation

    settings = opened.config.experiment
    changes = _changes(space, opened.config, opened.steps_per_epoch * settings.training.epochs)
    for text in changes.left_out:
        opened.screen.note(f"Left out: {text}.")
    return ablation.Ablation(
        baseline=settings,
        variants=changes.kept,
        repeats=repeats,
        metric=opened.config.search.objective,
        depends_on=study.depends_on(opened.info, worker.TRAINING),
        **opened.data,
    )


def _run(opened: study.Study, wanted: "ablation.Ablation") -> None:
    """Trains, and shows what there is in the end, of an interrupted study too."""
    from tuner_fn import supervisor
    from tuner_fn.studies import ablation

    trainings = opened.results / "trainings"
    try:
        ablation.run(wanted, trainings, supervisor.TrainingProcess(opened.results / "worker.log"))
    finally:
        _show(opened, wanted, ablation.read(wanted, trainings))


def _changes(space: str, config: configs.RunConfig, total_steps: int) -> variants.Variants:
    if space in variants.STUDIES:
        proposed = variants.STUDIES[space](total_steps)
    else:
        proposed = variants.of_space(search_space.named_space(space, config.experiment), config.experiment)
    return variants.compare_with(config.experiment, proposed)


def _show(opened: study.Study, wanted: "ablation.Ablation", trainings: Sequence["ablation.Training"]) -> None:
    """Writes and prints the results."""
    from tuner_fn.studies import ablation_logs, ablation_plots, ablation_results

    found, folder, screen = ablation_results.rows(wanted, trainings), opened.results, opened.screen
    if len(found) < 2:
        return
    ablation_results.write(folder, wanted, found)
    figures = ablation_plots.write(folder, wanted, found)
    ablation_logs.write(opened.folder.study_logs(_NAME), found, figures)
    height, width = wanted.baseline.input.size
    title = (
        f"Ablation: val {objectives.get(wanted.metric).text}, {width}x{height} px, "
        f"{wanted.baseline.training.epochs} epochs, seeds {', '.join(map(str, wanted.seeds))}"
    )
    screen.print_table(
        title, ablation_results.PRINTED, [ablation_results.printed(row) for row in found], first_is_whole=True
    )
    for text in ablation_results.conclusions(wanted, found):
        screen.note(text)
    if len(found) > len(wanted.variants) and not any(row.scores for row in found[1:]):
        raise errors.UserError(f"Every variant failed; {folder / ablation_results.JSON_FILE} has the reasons.")
    names = (ablation_results.TABLE_FILE, ablation_plots.LOSS_FILE, ablation_plots.SCORES_FILE)
    screen.print_facts(
        {
            "written": ", ".join([str(folder / names[0]), *names[1:]]),
            "TensorBoard": f"ssd-tuner board {shlex.quote(str(opened.folder.root))}",
        }
    )
