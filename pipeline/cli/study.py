"""What the commands that study settings begin with: plan, run directory, screen and data."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from absl import flags

from data import dataset_info, sources
from data.run_directory import RunDirectory
from models.export import versions
from pipeline import configs, environment, planning, workdir
from pipeline.cli import run, study_flags
from pipeline.screen import display
from pipeline.source_hash import source_hash
from tuner_fn import devices
from tuner_fn.plan import plan

_SPLITS = ("train", "val")  # test is the Evaluator's alone
_LIBRARIES = ("tensorflow", "keras", "numpy")


@dataclasses.dataclass(frozen=True)
class Study:
    """A study that can begin.

    Attributes:
        config: of the run that is studied.
        folder: run directory, locked.
        results: folder of the study in it.
        screen: to print to.
        info: of the examples.
        data: the arguments `class_names`, `train_files` and `val_files` of a training.
    """

    config: configs.RunConfig
    folder: RunDirectory
    results: pathlib.Path
    screen: display.Display
    info: dataset_info.DatasetInfo
    data: Mapping[str, Any]

    @property
    def steps_per_epoch(self) -> int:
        """Training steps of an epoch with the share of the images that the settings take."""
        from data import input_pipeline

        settings = self.config.experiment
        num_images = int(self.info.num_examples["train"] * settings.training.data_share)
        return input_pipeline.steps_per_epoch(num_images, settings.input.batch_size)


@contextlib.contextmanager
def open_study(
    name: str,
    flag_values: flags.FlagValues,
    check: Callable[[configs.RunConfig], Any] = lambda config: None,
    space: str | None = None,
) -> Iterator[Study]:
    """Plans, opens the run directory and reads the data, saying so; the directory is locked while the context is open.

    Args:
        name: of the study's folder.
        flag_values: of `study_flags.define_flags`.
        check: raises where something else than the data is wrong, before these are read.
        space: whose fixed settings count; None for none.

    Yields:
        The study.

    Raises:
        UserError: a flag's value, the run directory or the dataset is unusable, or a GPU that was asked for is not
            there.
    """
    verbosity = flag_values["verbosity"].value
    with display.open_display(verbosity):
        values = study_flags.values(flag_values) | {"studied_space": space}
        config, found, key = planning.plan_run(values, study=name)
        devices.check(None)
        check(config)
    with (
        workdir.open_workdir(flag_values["workdir"].value) as folder,
        display.open_display(verbosity, folder.log) as screen,
    ):
        results = folder.study(name)
        screen.print_facts({"dataset": config.dataset, "preset": config.preset, "results": str(results)})
        plan.write(results, found, key)
        run.print_plan(screen, found)
        environment.share_threads(config.experiment.input.size)
        environment.share_gpu()
        info, data = _prepare(config, folder)
        screen.note("Starting TensorFlow (about 10 s) ...")
        yield Study(config, folder, results, screen, info, data)


def depends_on(info: dataset_info.DatasetInfo, module: str) -> Mapping[str, Any]:
    """Names what a training's result depends on beside settings and weights: data, code, libraries.

    Args:
        info: of the examples.
        module: that trains, as "models.training.train".
    """
    return {
        "data": info.fingerprint,
        "code": source_hash(module, ignore=("data.errors", "data.progress", "models.foreign_names")),
        "versions": {name: versions.installed()[name] for name in _LIBRARIES},
    }


def _prepare(config: configs.RunConfig, folder: RunDirectory) -> tuple[dataset_info.DatasetInfo, dict[str, Any]]:
    """Writes the examples of train and val, unless they are there; returns what they are and `Study.data`."""
    from pipeline import ingestion  # Beam is not needed for help and mistakes

    source = sources.open_source(config.dataset, config.data)
    examples = folder.study_examples(source.fingerprint())
    info = ingestion.examples(source, examples, _SPLITS)
    tfrecords = {f"{split}_files": tuple(dataset_info.split_files(examples, split)) for split in _SPLITS}
    return info, {"class_names": tuple(info.class_names), **tfrecords}
