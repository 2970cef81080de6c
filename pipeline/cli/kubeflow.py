"""`ssd-tuner kubeflow compile`: writes the pipeline for Kubeflow Pipelines v2."""

from collections.abc import Sequence

from absl import flags

from data import errors
from pipeline import planning
from pipeline.cli import run
from pipeline.screen import display

SUMMARY = "Compile the pipeline of `run` for Kubeflow Pipelines v2."
USAGE = "compile --dataset=DATASET --workdir=FOLDER --pipeline_root=URI --image=IMAGE [--output=FILE] [flags]"
EXTRA = "pipeline"
EXAMPLE = (
    "ssd-tuner kubeflow compile --dataset=road_scenes --workdir=/mnt/demo --pipeline_root=gs://bucket/demo "
    "--image=registry.example/ssd-tuner:0.1.0 --output=pipeline.yaml"
)

_ACTIONS = ("compile",)
_ENDINGS = (".yaml", ".yml", ".json")


def define_flags(flag_values: flags.FlagValues) -> None:
    """Adds the command's flags."""
    run.define_experiment_flags(flag_values)
    texts = {
        "workdir": "Run directory as the cluster's containers see it, on a volume that all of them mount.",
        "pipeline_root": "Where the cluster keeps the artifacts, as gs://bucket/runs.",
        "image": "Container image that has ssd-tuner installed.",
    }
    for name, text in texts.items():
        flags.DEFINE_string(name, None, text, required=True, flag_values=flag_values)
    flags.DEFINE_string("output", "pipeline.yaml", "File to write, .yaml or .json.", flag_values=flag_values)


def main(arguments: Sequence[str], flag_values: flags.FlagValues) -> int:
    """Runs the command.

    Args:
        arguments: "compile".
        flag_values: parsed flags.

    Returns:
        0 once the file is written.
    """
    _check_action(arguments)
    output = flag_values["output"].value
    if not output.endswith(_ENDINGS):
        raise errors.UserError(f"`--output` needs a name that ends in .yaml or .json: got `{output}`.")
    with display.open_display(flag_values["verbosity"].value) as screen:
        values = run.experiment_values(flag_values) | {"workdir": flag_values["workdir"].value}
        config, found, _ = planning.plan_run(values, here=False)
        run.print_plan(screen, found)
        screen.note("Starting TFX (about 15 s) ...")
        from pipeline.runners import kubeflow

        path = kubeflow.compile_pipeline(
            config,
            pipeline_root=flag_values["pipeline_root"].value,
            image=flag_values["image"].value,
            output=output,
        )
        screen.note(f"Wrote {path}")
    return 0


def _check_action(arguments: Sequence[str]) -> None:
    if list(arguments) == list(_ACTIONS):
        return
    if not arguments:
        raise errors.UserError(f"`kubeflow` needs an action: compile. Example: {EXAMPLE}")
    if arguments[0] not in _ACTIONS:
        hint = errors.nearest(arguments[0], _ACTIONS)
        raise errors.UserError(f"`{arguments[0]}` is not an action of `kubeflow`.{hint}")
    raise errors.UserError(f"`kubeflow compile` takes flags only: got `{arguments[1]}`.")
