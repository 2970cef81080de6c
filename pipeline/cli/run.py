"""`ssd-tuner run`: the main job, from a dataset to a pushed model."""

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from data.run_directory import RunDirectory
from pipeline import beam_options, configs, environment, invocation, planning, workdir
from pipeline.cli import data_flags, export, parsing
from pipeline.screen import display
from tuner_fn import devices, finalists, objectives, pareto, presets, search_options, search_space, strategies
from tuner_fn.plan import plan

if TYPE_CHECKING:
    from pipeline.runners import local

SUMMARY = "Search, train, evaluate and export a detector; the same command continues an interrupted run."
USAGE = "--dataset=DATASET --workdir=FOLDER [flags]"
EXAMPLE = "ssd-tuner run --dataset=road_scenes --workdir=runs/demo"
EXTRA = "pipeline"

# The run came to its end, but its model, or a format of it, was not good enough to be pushed.
STATUS_NOT_BLESSED = 3


def define_flags(flag_values: flags.FlagValues) -> None:
    """Adds the command's flags."""
    define_experiment_flags(flag_values)
    flags.DEFINE_string(
        "workdir",
        None,
        "Run directory, new or of an earlier run: artifacts, search, TensorBoard logs, report, pushed models.",
        required=True,
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "mlflow",
        None,
        "Keep MLflow up to date with the run: a tracking URI, or local for a SQLite file in the run directory."
        " `ssd-tuner mlflow` does the same later.",
        flag_values=flag_values,
    )
    flags.DEFINE_float(
        "min_free_gb",
        2.0,
        "Free space, in GB, that the disk of the run directory must have at the start.",
        lower_bound=0,
        flag_values=flag_values,
    )


def define_experiment_flags(flag_values: flags.FlagValues) -> None:
    """Adds the flags that say what to search and on which data, wherever it runs."""
    data_flags.define_flags(flag_values)
    data_flags.define_training_flags(flag_values)
    _define_search_flags(flag_values)
    flags.DEFINE_string(
        "config",
        None,
        "Start from these settings: a config.json of `ssd-tuner import-config` or of a run, or a best_config.json. They"
        " override the preset and the plan; --set overrides them.",
        flag_values=flag_values,
    )
    flags.DEFINE_enum(
        "plan",
        planning.MODES[0],
        planning.MODES,
        "auto derives settings from the dataset before the search (`ssd-tuner plan` shows them); off uses the preset"
        " alone.",
        flag_values=flag_values,
    )
    flags.DEFINE_multi_string(
        "set",
        None,
        "Fix a setting, for example --set=optimizer.learning_rate=0.01. May be given several times.",
        flag_values=flag_values,
    )
    flags.DEFINE_multi_string(
        "fidelity",
        None,
        "Make trials cheaper than the final training, for example with --fidelity=training.data_share=0.25 or"
        " --fidelity=input.image_size=160. May be given several times.",
        flag_values=flag_values,
    )
    _define_beam_flags(flag_values)
    flags.DEFINE_boolean(
        "profile",
        False,
        "Record a few steps of the final training for XProf, TensorBoard's profiler (docs/review.md).",
        flag_values=flag_values,
    )
    flags.DEFINE_integer("seed", 0, "Seed of the search and of training.", lower_bound=0, flag_values=flag_values)
    _define_blessing_flags(flag_values)
    export.define_format_flags(flag_values, "export", None)


def _define_beam_flags(flag_values: flags.FlagValues) -> None:
    flags.DEFINE_integer(
        "direct_num_workers",
        1,
        "Number of processes that read and write examples.",
        lower_bound=1,
        flag_values=flag_values,
    )
    flags.DEFINE_multi_string(
        "beam_args",
        None,
        "An option for Apache Beam, for example --beam_args=--runner=DataflowRunner. May be given several times.",
        flag_values=flag_values,
    )


def experiment_values(flag_values: flags.FlagValues) -> dict[str, Any]:
    """Collects what `configs.RunConfig.from_flags` takes from the flags of `define_experiment_flags`."""
    names = (
        "dataset",
        "tile",
        "preset",
        "config",
        "set",
        "fidelity",
        "plan",
        "search",
        "space",
        "tune",
        *(field.name for field in search_options.options()),
        "epochs",
        "seed",
        "min_map",
        "min_map50",
        "max_p_worse",
        "export",
        "max_drop",
        "direct_num_workers",
        "beam_args",
        "profile",
    )
    values = {name: flag_values[name].value for name in names}
    return values | {"data": data_flags.options(flag_values), "seed_given": bool(flag_values["seed"].present)}


def main(arguments: Sequence[str], flag_values: flags.FlagValues) -> int:
    """Runs the command.

    Args:
        arguments: none are taken.
        flag_values: parsed flags.

    Returns:
        0 where the model was pushed with every format asked for, `STATUS_NOT_BLESSED` where one was not good enough.
    """
    parsing.no_arguments("run", arguments, "dataset", flag_values)
    tracking_uri = flag_values["mlflow"].value
    if tracking_uri is not None:
        environment.check_environment("mlflow")
    values = experiment_values(flag_values) | {"workdir": flag_values["workdir"].value}
    _check_machines(values)
    # A mistake in the dataset or the weights' path should not wait for TFX, nor leave a folder.
    with display.open_display(flag_values["verbosity"].value):
        config, found, key = planning.plan_run(values)
    with (
        workdir.open_workdir(flag_values["workdir"].value, flag_values["min_free_gb"].value) as folder,
        display.open_display(flag_values["verbosity"].value, folder.log) as screen,
    ):
        _check_nodes(values["ray"], folder)
        facts = {"dataset": config.dataset, "preset": config.preset}
        if flag_values["config"].value is not None:
            facts["config"] = flag_values["config"].value
        screen.print_facts(facts | {"workdir": str(folder.root), "log": str(folder.log)})
        workdir.claim(config)
        plan.write(folder.newest, found, key)
        invocation.write(folder, "run", flag_values)
        print_plan(screen, found)
        screen.note("Starting TensorFlow and TFX (about 15 s) ...")
        environment.share_threads(config.experiment.input.size)
        environment.share_gpu()
        from pipeline.runners import local
        from pipeline.tracking import follow

        result = None
        try:
            with follow.follow(folder, tracking_uri):
                result = local.run(config)
                _show(screen, result, config, folder)
                _write_page(screen, folder)  # MLflow takes it, too
        except BaseException:  # Ctrl-C, too
            if result is None:
                _write_page_so_far(screen, folder)
            raise
    pushed_all = result.blessed and all(one["kept"] for one in result.export["formats"])
    return 0 if pushed_all else STATUS_NOT_BLESSED


def _check_machines(values: Mapping[str, Any]) -> None:
    """Asks whether what trials and Beam's steps run on is there."""
    beam_options.check(values["beam_args"] or ())
    if values["ray"] is None:
        devices.check_reserved(values["trial_cpus"], values["trial_gpus"])
        devices.check(values["parallel_trials"])
        return
    environment.check_environment("ray")
    from tuner_fn import ray_connection  # Ray is an extra

    ray_connection.join(*(values[name] for name in ("ray", "parallel_trials", "trial_cpus", "trial_gpus")))


def _check_nodes(ray: str | None, folder: RunDirectory) -> None:
    """Asks the nodes of a Ray cluster for this code and the run directory, before hours of ingestion."""
    if ray is not None:
        from tuner_fn import ray_connection  # Ray is an extra

        ray_connection.check_nodes(folder.root)


def print_plan(screen: display.Display, found: plan.Plan) -> None:
    """Prints what a plan chose, with the reasons, and its notes."""
    if found.choices:
        title = "Plan: settings derived from the dataset (--plan=off leaves them out)"
        screen.print_table(title, plan.COLUMNS, found.rows(), first_is_whole=True)
    for note in found.notes:
        screen.note(note)


def _write_page(screen: display.Display, folder: RunDirectory) -> None:
    """Writes the report and says where it is; whatever goes wrong with it, the run has succeeded."""
    from pipeline.report import page

    try:
        screen.print_facts({"page": str(page.write(folder.root))})
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        screen.note(f"Warning: no report was written ({reason}). `ssd-tuner report {folder.root}` tries again.")


def _write_page_so_far(screen: display.Display, folder: RunDirectory) -> None:
    """Writes the report of a run that did not end, where a trial has ended since the last report."""
    page = folder.report_page
    boards = (search / "leaderboard.json" for search in folder.searches())  # written anew after every trial
    ended = max((board.stat().st_mtime_ns for board in boards if board.exists()), default=0)
    if ended > (page.stat().st_mtime_ns if page.exists() else 0):
        screen.note("The run has not ended. Writing the report of what there is ...")
        _write_page(screen, folder)


def _show(
    screen: display.Display,
    result: "local.RunResult",
    config: configs.RunConfig,
    folder: RunDirectory,
) -> None:
    size = configs.read_config(str(folder.report / "config.json")).input.shape_text  # the search may have changed it
    dataset = config.data.test_dataset or config.dataset
    about = f"{dataset}, test split, {result.num_test_images} images, detector input {size} px"
    screen.note("")
    screen.print_leaderboard(result.leaderboard, result.objective)
    for cost, rows in result.pareto.items():
        screen.print_front(rows, cost, result.objective)
    screen.print_metrics(result.metrics, about)
    if result.export["formats"]:
        screen.print_formats(result.export)
    screen.print_facts(_facts(result, folder))


def _facts(result: "local.RunResult", folder: RunDirectory) -> dict[str, str]:
    decision = None if result.decision is None else finalists.Decision(**result.decision)
    facts = finalists.describe(decision, result.leaderboard)
    metric, text = result.objective, objectives.get(result.objective).text
    facts["final model"] = (
        f"{text} {result.final_val[metric]:.3f} on val after {_epochs(result.final_val['epoch'])}, "
        f"{result.metrics[metric]:.3f} on test"
    )
    facts["blessed"] = f"{'yes' if result.blessed else 'no'}: {'; '.join(result.reasons)}"
    facts["model"] = result.pushed_model or "not pushed"
    facts["report"] = str(folder.report)
    if result.pareto:
        facts["Pareto front"] = str(folder.report / pareto.PLOT_FILE)
    facts["TensorBoard"] = f"ssd-tuner board {shlex.quote(str(folder.root))}"
    return facts


def _epochs(number: float) -> str:
    return f"{number:.0f} epoch{'' if number == 1 else 's'}"


def _define_blessing_flags(flag_values: flags.FlagValues) -> None:
    defaults = ", ".join(f"{one.min_map} for {name}" for name, one in objectives.every().items())
    thresholds = {
        "min_map": f"Push a model only if its --objective on the test split is at least this; by default {defaults}.",
        "min_map50": "Older name of --min_map, for --objective=AP50.",
    }
    for name, about in thresholds.items():
        flags.DEFINE_float(name, None, about, lower_bound=0, upper_bound=1, flag_values=flag_values)
    flags.DEFINE_float(
        "max_p_worse",
        configs.MAX_P_WORSE,
        "Do not push a model that is worse than the last blessed one with more than this probability, according to a"
        " paired bootstrap over the test images.",
        lower_bound=0,
        upper_bound=1,
        flag_values=flag_values,
    )


def _define_search_flags(flag_values: flags.FlagValues) -> None:
    about = " ".join(f"{name}: {preset.help}" for name, preset in presets.PRESETS.items())
    flags.DEFINE_enum(
        "preset",
        None,
        list(presets.PRESETS),
        f"Starting point. By default quick for road_scenes; for other data standard with a GPU and cpu without."
        f" {about}",
        flag_values=flag_values,
    )
    flags.DEFINE_enum(
        "search",
        next(iter(strategies.STRATEGIES)),
        list(strategies.STRATEGIES),
        "Search strategy; docs/search.md describes them.",
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "space",
        "default",
        f"What to search: {', '.join(search_space.SPACES)}, or a YAML file with lines such as "
        "`optimizer.learning_rate: {low: 1.0e-4, high: 0.01, scale: log}` or `model.alpha: [0.35, 0.5]`. "
        "Settings that --set fixes are left out.",
        flag_values=flag_values,
    )
    flags.DEFINE_list(
        "tune",
        None,
        "Search only these hyperparameters, for example optimizer.learning_rate,augment.*, in the ranges of --space.",
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "epochs",
        None,
        "Epochs of the final training; the learning rate schedule of every trial spans them, too. By default the"
        " preset's.",
        lower_bound=1,
        flag_values=flag_values,
    )
    for field in search_options.options():
        _define_option(field, flag_values)


def _define_option(field: dataclasses.Field, flag_values: flags.FlagValues) -> None:
    """Makes a flag of an option of the search."""
    declared = field.metadata
    default = None if field.default is dataclasses.MISSING else field.default
    if choices := list(declared["choices"]()):
        flags.DEFINE_enum(field.name, default, choices, declared["help"], flag_values=flag_values)
    elif declared["kind"] is bool:
        flags.DEFINE_boolean(field.name, default, declared["help"], flag_values=flag_values)
    elif declared["kind"] is str:
        flags.DEFINE_string(field.name, default, declared["help"], flag_values=flag_values)
    else:
        define = flags.DEFINE_integer if declared["kind"] is int else flags.DEFINE_float
        lowest = declared["above"] if declared["low"] is None else declared["low"]
        define(field.name, default, declared["help"], lower_bound=lowest, flag_values=flag_values)
