"""TFX's Tuner with parallel trials, and with the search's results in its artifact."""

import json
import pathlib
from typing import Any

from tfx import types
from tfx.components.tuner import component, executor
from tfx.dsl.components.base import executor_spec
from tfx.types import artifact_utils, standard_component_specs

from data import files
from tuner_fn.search_results import RESULTS


class TunerExecutor(executor.Executor):
    """Hands `tune_args.num_parallel_trials`, which TFX's own executor refuses, to `tuner_fn`; keeps what was found.

    The search's folder changes with every later start of it, the artifact does not: a run that takes the Tuner from the
    cache reports what its model was made of.
    """

    def Do(  # noqa: N802, TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Searches, as `tfx.components.tuner.executor.Executor.Do`."""
        given = executor.get_tune_args(exec_properties)
        others = {k: v for k, v in exec_properties.items() if k != standard_component_specs.TUNE_ARGS_KEY}
        if given is not None and given.num_parallel_trials:
            settings = json.loads(others[standard_component_specs.CUSTOM_CONFIG_KEY])
            settings["search"]["parallel_trials"] = given.num_parallel_trials
            others[standard_component_specs.CUSTOM_CONFIG_KEY] = json.dumps(settings)
        tuner = executor.search(input_dict, others, self._get_tmp_dir())
        executor.write_best_hyperparameters(tuner, output_dict)
        folder = artifact_utils.get_single_uri(output_dict[standard_component_specs.TUNER_RESULTS_KEY])
        for path in (pathlib.Path(tuner.project_dir) / name for name in RESULTS):
            if path.exists():  # another tuner writes none
                files.write_bytes(pathlib.Path(folder) / path.name, path.read_bytes())


class Tuner(component.Tuner):
    """TFX's Tuner, which trains `tune_args.num_parallel_trials` trials at a time; by default one a GPU."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(TunerExecutor)
