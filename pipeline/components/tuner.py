"""TFX's Tuner with parallel trials: `tune_args.num_parallel_trials`, which TFX's own executor refuses."""

import json
from typing import Any

from tfx import types
from tfx.components.tuner import component, executor
from tfx.dsl.components.base import executor_spec
from tfx.types import standard_component_specs


class TunerExecutor(executor.Executor):
    """Hands the number of parallel trials to `tuner_fn`, whose tuner trains them."""

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
        super().Do(input_dict, output_dict, others)


class Tuner(component.Tuner):
    """TFX's Tuner, which trains `tune_args.num_parallel_trials` trials at a time; by default one a GPU."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(TunerExecutor)
