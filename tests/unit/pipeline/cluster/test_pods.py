import pytest
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

from pipeline.cluster import pods

NOTHING = {
    "volume": ["runs:/mnt"],
    "cpu": None,
    "memory": None,
    "gpus": 0,
    "gpu_resource": "nvidia.com/gpu",
    "node_selector": None,
    "toleration": None,
    "shared_memory": None,
    "secret_env": None,
    "image_pull_secret": None,
    "retries": 2,
}


def test_a_volume_alone():
    pod = pods.parse(NOTHING)
    (mount,) = pod.platform()["pvcMount"]
    assert (mount["constant"], mount["mountPath"]) == ("runs", "/mnt")
    assert pod.platform().keys() == {"pvcMount"}
    assert pod.resources("Trainer") == {}


def test_everything_is_what_kubernetes_and_kfp_know():
    pod = pods.parse(
        NOTHING
        | {
            "volume": ["runs:/mnt", "data:/data"],
            "cpu": "500m",
            "memory": "16Gi",
            "gpus": 2,
            "node_selector": ["pool=gpu", "zone=a"],
            "toleration": ["nvidia.com/gpu:NoSchedule", "team=vision:NoExecute", "spot"],
            "shared_memory": "2Gi",
            "secret_env": ["mlflow:token=MLFLOW_TRACKING_TOKEN"],
            "image_pull_secret": ["registry"],
        }
    )
    config = json_format.ParseDict(pod.platform(), kubernetes_executor_config_pb2.KubernetesExecutorConfig())
    assert [(mount.constant, mount.mount_path) for mount in config.pvc_mount] == [("runs", "/mnt"), ("data", "/data")]
    assert dict(config.node_selector.labels) == {"pool": "gpu", "zone": "a"}
    assert [(one.key, one.operator, one.value, one.effect) for one in config.tolerations] == [
        ("nvidia.com/gpu", "Exists", "", "NoSchedule"),
        ("team", "Equal", "vision", "NoExecute"),
        ("spot", "Exists", "", ""),
    ]
    (memory,) = config.empty_dir_mounts
    assert (memory.mount_path, memory.medium, memory.size_limit) == ("/dev/shm", "Memory", "2Gi")
    (secret,) = config.secret_as_env
    (pair,) = secret.key_to_env
    assert (secret.secret_name, pair.secret_key, pair.env_var) == ("mlflow", "token", "MLFLOW_TRACKING_TOKEN")
    assert [one.secret_name for one in config.image_pull_secret] == ["registry"]
    spec = pipeline_spec_pb2.PipelineDeploymentConfig.PipelineContainerSpec.ResourceSpec
    found = json_format.ParseDict(pod.resources("Trainer"), spec())
    assert (found.cpu_limit, found.cpu_request, found.resource_cpu_limit) == (0.5, 0.5, "500m")
    assert (found.memory_limit, found.resource_memory_request) == (16 * 2**30 / 1e9, "16Gi")
    assert (found.accelerator.count, found.accelerator.resource_type) == (2, "nvidia.com/gpu")
    assert not json_format.ParseDict(pod.resources("SchemaGen"), spec()).HasField("accelerator")


@pytest.mark.parametrize(
    ("path", "mount"),
    [("/mnt", "/mnt"), ("/mnt/x/y", "/mnt"), ("/mnts/x", None), ("mnt/x", None), ("gs://mnt/x", None)],
)
def test_which_volume_a_path_lies_on(path, mount):
    assert pods.parse(NOTHING).mount_of(path) == mount
