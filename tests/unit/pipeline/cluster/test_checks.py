import pytest

from data import errors, sources
from models.hyperparameters import ExperimentConfig
from pipeline.cluster import checks
from pipeline.cluster.pods import Pod

POD = Pod(volumes={"/mnt": "runs"})


@pytest.mark.parametrize("name", ["weights", "backbone_weights"])
def test_weights_that_the_containers_do_not_see(name):
    seen = ExperimentConfig().replace({f"model.{name}": "/mnt/weights.npz"})
    checks.check_weights(seen, POD)
    checks.check_weights(ExperimentConfig(), POD)
    with pytest.raises(errors.UserError, match=f"`--set=model.{name}=/home/me/w.npz`: the containers do not see"):
        checks.check_weights(ExperimentConfig().replace({f"model.{name}": "/home/me/w.npz"}), POD)


@pytest.mark.parametrize(
    "spec",
    ["road_scenes", "road_scenes:seed=3", "tfds:voc/2007", "coco:/mnt/street", "/mnt/street", "flir:/mnt/f,bits=8"],
)
def test_datasets_that_the_containers_see(spec):
    checks.check_paths(spec, sources.DataOptions(), "/mnt/run", POD)


@pytest.mark.parametrize(
    "spec", ["coco:/data/street", "street", "flir:/data/f,bits=8", "yolo:gs://bucket/x", "/mnts/x"]
)
def test_datasets_that_they_do_not_see(spec):
    with pytest.raises(errors.UserError, match="the containers do not see"):
        checks.check_paths(spec, sources.DataOptions(), "/mnt/run", POD)


@pytest.mark.parametrize("root", ["minio://mlpipeline/v2/artifacts", "s3://bucket/x", "gs://bucket"])
def test_places_of_artifacts(root):
    checks.check_root(root)
