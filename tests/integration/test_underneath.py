"""Names of the libraries underneath that are private or experimental there, and that the kit builds on.

An upgrade that drops or changes one of them fails here, with the name and what it is for.
"""

import ast
import json
import pathlib
import pkgutil
import re
from collections.abc import Iterator

import apache_beam as beam
import keras
import keras_tuner
import numpy as np
import optuna
import pytest
import tensorflow as tf
from keras_tuner.engine.trial import Trial
from tensorflow.core.protobuf import trackable_object_graph_pb2

from models.od_api import checkpoint
from tuner_fn.oracles.saved import SavedOracle

ROOT = pathlib.Path(__file__).parents[2]
# Names with an underscore that are no private ones underneath: `os._exit` and two hooks of TFDS's builders have
# documentation, `_on_...` are methods that the kit's own screen calls by the kind of an event.
DOCUMENTED = re.compile("_exit|_info|_split_generators|_on_[a-z]+")
INTERNAL = re.compile(r"tfx\.orchestration\.|tensorflow\.|.*\.experimental\b")  # modules without a promise


class _Oracle(SavedOracle):
    """Proposes one value after another; notes which of the private methods Keras Tuner calls."""

    def populate_space(self, trial_id):
        return {"status": "RUNNING", "values": {"x": int(trial_id) % 5}}

    def _save_trial(self, trial):
        self.saved = [*getattr(self, "saved", []), trial.trial_id]
        super()._save_trial(trial)

    def _compute_values_hash(self, values):
        self.hashed = [*getattr(self, "hashed", []), dict(values)]
        return super()._compute_values_hash(values)


def make_oracle(folder, **settings) -> _Oracle:
    space = keras_tuner.HyperParameters()
    space.Int("x", 0, 4)
    oracle = _Oracle(objective=keras_tuner.Objective("score", "max"), hyperparameters=space, max_trials=3, **settings)
    oracle._set_project_dir(str(folder), "search")
    return oracle


def end(oracle, trial, status="COMPLETED") -> None:
    oracle.update_trial(trial.trial_id, {"score": 0.5}, step=1)
    trial.status = status
    oracle.end_trial(trial)


def test_keras_tuner_writes_trials_by_save_trial_into_project_dir(tmp_path) -> None:
    """`_save_trial`, `_project_dir`, `_get_oracle_fname`: a kill leaves whole files."""
    oracle = make_oracle(tmp_path)
    end(oracle, oracle.create_trial("tuner0"))
    oracle.save()
    assert (tmp_path / "search" / f"trial_{oracle.saved[0]}" / "trial.json").is_file()
    assert oracle._project_dir == str(tmp_path / "search")
    assert json.loads(pathlib.Path(oracle._get_oracle_fname()).read_text())["end_order"] == [oracle.saved[0]]


def test_keras_tuner_hashes_values_by_compute_values_hash(tmp_path) -> None:
    """`_compute_values_hash`: the kit's own entries among the values make no configuration another one."""
    oracle = make_oracle(tmp_path)
    end(oracle, oracle.create_trial("tuner0"))
    assert {"x": 0} in oracle.hashed
    assert oracle._compute_values_hash({"x": 1}) == oracle._compute_values_hash({"x": 1})
    assert oracle._compute_values_hash({"x": 1}) != oracle._compute_values_hash({"x": 2})


def test_keras_tuner_runs_a_trial_of_the_retry_queue_again(tmp_path) -> None:
    """`_retry_queue`, `ongoing_trials`, `start_order`, `end_order`: what ran when a search was killed runs again."""
    oracle = make_oracle(tmp_path)
    running = oracle.create_trial("tuner0")
    oracle.save()
    again = make_oracle(tmp_path)
    again.reload()
    assert again._retry_queue == [running.trial_id]
    assert again.start_order == [running.trial_id]
    repeated = again.create_trial("tuner0")
    assert (repeated.trial_id, repeated.hyperparameters.values["x"]) == (running.trial_id, 0)
    assert list(again.ongoing_trials) == ["tuner0"]


def test_a_trial_survives_its_state() -> None:
    """`Trial.get_state`, `Trial.from_state`: a search reads its trials back."""
    trial = Trial(keras_tuner.HyperParameters(), trial_id="0007", status="FAILED")
    trial.message = "why"
    assert Trial.from_state(json.loads(json.dumps(trial.get_state()))).message == "why"


def test_keras_tuner_runs_a_trial_by_try_run_and_update_trial(tmp_path) -> None:
    """`_try_run_and_update_trial`, `_run_and_update_trial`: only what a training found fails its trial."""
    called = []

    class Tuner(keras_tuner.engine.base_tuner.BaseTuner):
        def _try_run_and_update_trial(self, trial, *args, **kwargs):
            called.append(trial.trial_id)
            self._run_and_update_trial(trial, *args, **kwargs)
            trial.status = "COMPLETED"

        def run_trial(self, trial, *args, **kwargs):
            return 0.5

    tuner = Tuner(make_oracle(tmp_path / "oracle"), directory=str(tmp_path), project_name="tuner", overwrite=True)
    tuner.search(verbose=0)
    assert len(called) == 3


@pytest.mark.parametrize(("parameter", "count"), [("Boolean", 2), ("Int", 5)])
def test_a_parameter_knows_its_number_of_values(parameter, count) -> None:
    """`_get_n_values`, `prob_to_value`, `value_to_prob`: points of the unit cube stand for values."""
    space = keras_tuner.HyperParameters()
    space.Boolean("x") if parameter == "Boolean" else space.Int("x", 0, 4, step=1)
    (one,) = space.space
    if parameter == "Int":
        assert one._get_n_values() == count
    values = {one.prob_to_value((index + 0.5) / count) for index in range(count)}
    assert len(values) == count
    assert all(one.prob_to_value(one.value_to_prob(value)) == value for value in values)


def test_optuna_keeps_what_samplers_remember_in_system_attributes() -> None:
    """`get_study_id_from_name`, `set_study_system_attr`, `system_attrs` of trials: a reloaded sampler continues."""
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, study_name="search")
    number = storage.get_study_id_from_name("search")
    storage.set_study_system_attr(number, "generation", [1, 2])
    assert storage.get_study_system_attrs(number) == {"generation": [1, 2]}
    study.add_trial(optuna.trial.create_trial(value=1.0, system_attrs={"kept": True}))
    assert study.get_trials(deepcopy=False)[-1].system_attrs == {"kept": True}


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_keras_optimizers_decay_weights_by_apply_weight_decay(decay) -> None:
    """`_apply_weight_decay`, `_use_weight_decay`, `_get_variable_index`: a backbone's rate scales its decay, too."""
    called = []

    class Spied(keras.optimizers.AdamW):
        def _apply_weight_decay(self, variables):
            called.extend(self._get_variable_index(one) for one in variables if self._use_weight_decay(one))
            super()._apply_weight_decay(variables)

    weight = keras.Variable(np.ones(3, np.float32))
    optimizer = Spied(learning_rate=0.1, weight_decay=decay)
    optimizer.build([weight])
    optimizer.apply([np.zeros(3, np.float32)], [weight])
    assert called == [0]
    assert np.allclose(weight, 1.0 - 0.1 * decay)


def test_keras_rmsprop_and_adam_keep_velocities_and_momentums() -> None:
    """`_velocities`, `_momentums`: the API's RMSProp begins its mean squares at 1; Adam's step is one kernel."""
    weight = keras.Variable(np.ones(3, np.float32))
    for make, names in (
        (lambda: keras.optimizers.RMSprop(momentum=0.9), ("_velocities", "_momentums")),
        (keras.optimizers.Adam, ("_velocities", "_momentums")),
    ):
        optimizer = make()
        optimizer.build([weight])
        for name in names:
            (kept,) = getattr(optimizer, name)
            assert kept.shape == (3,)


def test_tflite_calibrates_only_and_implements_its_own_suppression() -> None:
    """`_experimental_calibrate_only`, `experimental_implements`: int8 files with boxes of their own range."""

    @tf.function(experimental_implements="name: 'own'", input_signature=[tf.TensorSpec([1, 4], tf.float32)])
    def double(x):
        return 2.0 * x

    converter = tf.lite.TFLiteConverter.from_concrete_functions([double.get_concrete_function()])
    assert converter._experimental_calibrate_only is False
    converter._experimental_calibrate_only = True
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: iter([[np.ones((1, 4), np.float32)]])
    assert converter.convert()
    assert callable(tf.config.experimental.set_memory_growth)  # a GPU's memory is shared between two processes
    assert callable(tf.config.experimental.get_device_details)  # half precision where a GPU is good at it


def test_tensorboard_takes_messages_as_they_are(tmp_path) -> None:
    """`write_raw_pb`: the hyperparameters' columns and the precision-recall curves of a trial."""
    written = tf.compat.v1.Summary(value=[tf.compat.v1.Summary.Value(tag="kept")])
    with tf.summary.create_file_writer(str(tmp_path)).as_default(step=0):
        assert tf.summary.experimental.write_raw_pb(written.SerializeToString())
    (log,) = tmp_path.iterdir()
    assert b"kept" in log.read_bytes()


def test_the_profiler_starts_and_stops(tmp_path) -> None:
    """`tf.profiler.experimental.start`, `stop`: `--profile` records some steps."""
    tf.profiler.experimental.start(str(tmp_path))
    tf.profiler.experimental.stop()
    assert list(tmp_path.glob("plugins/profile/*/*.xplane.pb"))


def test_a_checkpoint_holds_the_graph_of_its_objects(tmp_path) -> None:
    """`_CHECKPOINTABLE_OBJECT_GRAPH`: layers of checkpoints of the Object Detection API are found by their names."""
    path = tf.train.Checkpoint(one=tf.Variable(1.0)).save(str(tmp_path / "model"))
    graph = trackable_object_graph_pb2.TrackableObjectGraph()
    graph.ParseFromString(tf.train.load_checkpoint(path).get_tensor(checkpoint._GRAPH))
    assert "one" in {child.local_name for child in graph.nodes[0].children}


def test_tfx_gives_executors_a_beam_pipeline_and_a_folder(tmp_path) -> None:
    """`_make_beam_pipeline`: ingestion. `_get_tmp_dir`: what the Tuner's search leaves."""
    from pipeline.components import example_gen

    about = {"beam_pipeline_args": ["--runner=FnApiRunner"], "tmp_dir": str(tmp_path), "unique_id": "7"}
    executor = example_gen.Executor(example_gen.Executor.Context(**about))
    with executor._make_beam_pipeline() as pipeline:
        _ = pipeline | beam.Create([1, 2]) | beam.Map(str) | beam.io.WriteToText(str(tmp_path / "out"))
    assert list(tmp_path.glob("out*"))
    assert executor._get_tmp_dir().startswith(str(tmp_path))


def nodes() -> Iterator[ast.AST]:
    for package in ("data", "models", "tuner_fn", "pipeline"):
        for path in sorted((ROOT / package).rglob("*.py")):
            yield from ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def private_names() -> set[str]:
    """Finds private names of libraries: read here and defined nowhere here, or methods that nothing here calls."""
    read, defined, methods = set(), set(), set()
    for node in nodes():
        if isinstance(node, ast.ClassDef):
            methods |= {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
            defined |= {part.id for line in node.body for part in ast.walk(line) if isinstance(part, ast.Name)}
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) != "super()":
            (defined if isinstance(node.ctx, ast.Store) else read).add(node.attr)
    found = (read - defined - methods) | (methods - read)
    return {name for name in found if re.match("_[^_]", name) and not DOCUMENTED.fullmatch(name)}


def experimental_names() -> set[str]:
    """Finds what is called experimental, or stands below a module of that name."""
    found = set()
    for node in nodes():
        if isinstance(node, ast.ImportFrom) and INTERNAL.match(node.module or ""):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value).endswith(".experimental"):
            found.add(node.attr)
        elif isinstance(node, ast.Attribute | ast.keyword):
            name = (node.attr if isinstance(node, ast.Attribute) else node.arg) or ""
            found |= {name} if "experimental_" in name else set()
    return found


@pytest.mark.parametrize("find", [private_names, experimental_names])
def test_this_file_holds_each_private_or_experimental_name(find) -> None:
    found, text = find(), pathlib.Path(__file__).read_text(encoding="utf-8")
    assert len(found) > 5
    missing = sorted(name for name in found if not re.search(rf"\b{name}\b", text))
    assert not missing, f"tests/integration/test_underneath.py needs a test of {missing}"


@pytest.mark.parametrize(
    ("module", "names", "purpose"),
    [
        ("tfx.dsl.component.experimental.decorators", ["component"], "Exporter and ServingCheck"),
        (
            "tfx.dsl.component.experimental.annotations",
            ["InputArtifact", "OutputArtifact", "Parameter"],
            "Exporter and ServingCheck",
        ),
        ("tfx.orchestration.portable.launcher", ["Launcher"], "progress by component"),
        (
            "tfx.orchestration.portable.runtime_parameter_utils",
            ["substitute_runtime_parameter"],
            "progress by component",
        ),
        (
            "tfx.orchestration.local.runner_utils",
            ["extract_local_deployment_config", "extract_executor_spec", "extract_custom_driver_spec"],
            "progress by component",
        ),
        ("tfx.orchestration.portable.mlmd.execution_lib", ["get_output_artifacts"], "what a component has written"),
        (
            "tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner",
            ["KubeflowV2DagRunner", "KubeflowV2DagRunnerConfig"],
            "`ssd-tuner kubeflow compile`",
        ),
        ("tfx.orchestration.kubeflow.v2.container.kubeflow_v2_run_executor", ["main"], "a step on Kubeflow"),
        ("tensorflow.lite.python.convert", ["mlir_quantize", "ConverterError"], "int8 files"),
        ("tensorflow.lite.python.schema_py_generated", ["BuiltinOperator", "TensorType"], "reading TFLite files"),
        (
            "tensorflow.lite.tools.flatbuffer_utils",
            ["convert_bytearray_to_object", "convert_object_to_bytearray"],
            "int8 files and reading TFLite files",
        ),
        ("tfx.components.util.model_utils", ["is_model_blessed"], "what the Exporter exports"),
        ("tfx.components.tuner.component", ["TunerFnResult"], "the tuner_fn"),
        (
            "tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy",
            ["LatestBlessedModelStrategy"],
            "the model to compare with",
        ),
        (
            "tfx.components.statistics_gen.executor.options.StatsOptions",
            ["experimental_filter_read_paths", "use_sketch_based_topk_uniques"],
            "statistics that hold no image",
        ),
        ("tensorflow_model_analysis.constants", ["ARROW_RECORD_BATCH_KEY", "ARROW_INPUT_COLUMN"], "own extractors"),
        ("tensorflow_model_analysis.extractors.predictions_extractor", ["PredictionsExtractor"], "own extractors"),
        ("tensorflow_model_analysis.extractors.slice_key_extractor", ["SliceKeyExtractor"], "own extractors"),
        (
            "tensorflow_model_analysis.metrics.metric_types",
            ["Metric", "MetricComputation", "MetricKey", "Preprocessor"],
            "COCO's numbers in the Evaluator",
        ),
        ("tensorflow_model_analysis.writers.eval_config_writer", ["load_eval_run"], "reading the Evaluator's numbers"),
    ],
)
def test_names_that_the_pipeline_builds_on_are_there(module, names, purpose) -> None:
    """The end-to-end tests exercise them; here an upgrade says which is gone, and what for."""
    found = pkgutil.resolve_name(module)
    missing = [name for name in names if not hasattr(found, name)]
    assert not missing, f"{module} lacks {missing}, needed for {purpose}"
