import pytest

from data import errors, sources
from models.hyperparameters import ExperimentConfig
from pipeline.cluster import checks
from pipeline.cluster.pods import Pod

POD = Pod(volumes={"/mnt": "runs"})


@pytest.mark.parametrize("name", ["weights", "backbone_weights"])
def test_weights_that_the_containers_do_not_see(name):
    seen = ExperimentConfig().replace({f"model.{name}": "/mnt/weights.npz"})
    checks.check_weights(seen, {}, POD)
    checks.check_weights(ExperimentConfig(), {}, POD)
    with pytest.raises(errors.UserError, match=f"`--set=model.{name}=/home/me/w.npz`: the containers do not see"):
        checks.check_weights(ExperimentConfig().replace({f"model.{name}": "/home/me/w.npz"}), {}, POD)


def test_weights_that_are_searched_and_that_the_containers_do_not_see():
    name = "model.backbone_weights"
    checks.check_weights(ExperimentConfig(), {name: {"choices": ["none", "/mnt/w.npz"]}}, POD)
    checks.check_weights(ExperimentConfig(), {"loss.l2": {"low": 0.0, "high": 1.0, "scale": "linear"}}, POD)
    with pytest.raises(errors.UserError, match=f"`--space, {name}: /home/me/w.npz`: the containers do not see"):
        checks.check_weights(ExperimentConfig(), {name: {"choices": ["none", "/home/me/w.npz"]}}, POD)


def test_a_plug_in_is_a_module_or_lies_on_a_volume(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checks.check_plugins(["my_kit", "/mnt/my_kit.py"], POD)
    with pytest.raises(errors.UserError, match=f"`--plugin=my_kit.py`: .* do not see `{tmp_path}/my_kit.py"):
        checks.check_plugins(["my_kit.py"], POD)


@pytest.mark.parametrize(
    ("trials", "gpus", "cpu"), [(None, 1, ""), (4, 4, "1"), (1, 1, ""), (4, 0, ""), (4, 0, "4"), (1, 0, "500m")]
)
def test_trials_that_a_pod_has_gpus_or_cores_for(trials, gpus, cpu):
    checks.check_trials(trials, Pod(volumes={}, gpus=gpus, cpu=cpu))


@pytest.mark.parametrize(
    ("gpus", "cpu", "text"),
    [
        (1, "8", "needs a GPU .* --gpus=1. Give --gpus=4, or lower --parallel_trials to 1"),
        (0, "2500m", "needs a core .* --cpu=2500m. Give --cpu=4, or lower --parallel_trials to 3"),
    ],
)
def test_more_trials_than_a_pod_has_gpus_or_cores(gpus, cpu, text):
    with pytest.raises(errors.UserError, match=f"^`--parallel_trials=4` {text}"):
        checks.check_trials(4, Pod(volumes={}, gpus=gpus, cpu=cpu))


@pytest.mark.parametrize("spec", ["road_scenes", "coco:{}", "tfds:voc", "tfrecord:{}/none-*.tfrecord", "{}"])
def test_datasets_that_this_machine_may_have(spec, tmp_path):
    checks.check_here("--dataset", spec.format(tmp_path))


@pytest.mark.parametrize(
    ("spec", "moved"),
    [
        ("coco:/mnt/street", "coco:PATH"),
        ("/mnt/street", "PATH"),
        ("tfds:voc,data_dir=/mnt/t", "tfds:voc,data_dir=PATH"),
    ],
)
def test_datasets_that_this_machine_does_not_have(spec, moved):
    with pytest.raises(errors.UserError, match=f"this machine reads the data, .* --dataset_here={moved}[.]$"):
        checks.check_here("--dataset", spec)


@pytest.mark.parametrize(
    "spec",
    [
        "road_scenes",
        "road_scenes:seed=3",
        "tfds:voc/2007",
        "tfds:voc,download=1,data_dir=/mnt/tfds",
        "coco:/mnt/street",
        "/mnt/street",
        "flir:/mnt/f,bits=8",
    ],
)
def test_datasets_that_the_containers_see(spec):
    checks.check_paths(spec, sources.DataOptions(), "/mnt/run", POD)


@pytest.mark.parametrize(
    "spec",
    [
        *("coco:/data/street", "street", "flir:/data/f,bits=8", "yolo:gs://bucket/x", "/mnts/x"),
        *("tfds:voc,data_dir=/home/me/tfds", "tfds:voc,download=1,data_dir=~/tfds"),
    ],
)
def test_datasets_that_they_do_not_see(spec):
    with pytest.raises(errors.UserError, match="the containers do not see"):
        checks.check_paths(spec, sources.DataOptions(), "/mnt/run", POD)


@pytest.mark.parametrize("root", ["minio://mlpipeline/v2/artifacts", "s3://bucket/x", "gs://bucket"])
def test_places_of_artifacts(root):
    checks.check_root(root)
