import pytest

from data import errors
from pipeline.cluster import uris

# From kubeflow/pipelines, backend/src/v2/component/launcher_v2_test.go and `LocalPathForURI`.
PLACES = {
    "minio://mlpipeline/v2/artifacts/x": "/minio/mlpipeline/v2/artifacts/x",
    "s3://bucket/x/y": "/s3/bucket/x/y",
    "gs://bucket/x": "/gcs/bucket/x",
}


@pytest.mark.parametrize(("uri", "path"), PLACES.items())
def test_the_folder_is_the_launchers(uri, path):
    assert uris.to_path(uri) == path
    assert uris.to_uri(path) == uri


@pytest.mark.parametrize(("uri", "path"), PLACES.items())
def test_folders_may_lie_elsewhere(monkeypatch, uri, path):
    monkeypatch.setenv(uris.ROOT_VARIABLE, "/pod/")
    assert uris.to_path(uri) == f"/pod{path}"
    assert uris.to_uri(f"/pod{path}") == uri
    assert uris.to_uri(path) == path


@pytest.mark.parametrize(
    "text", ["", "/mnt/x", "http://x/y", "a b", '["train", "val"]', "/miniopolis/x", "/s3", "C:/x"]
)
def test_other_texts_stay(text):
    assert uris.to_path(text) == text
    assert uris.to_uri(text) == text


def test_properties_are_converted_and_those_that_are_null_left_out():
    found = uris.map_artifacts(
        {
            "blessing": {
                "artifacts": [
                    {
                        "name": "7",
                        "uri": "minio://b/blessing",
                        "metadata": {"blessed": 1.0, "current_model": "minio://b/model", "nothing": None, "span": 0},
                    }
                ]
            },
            "none": {},
        },
        uris.to_path,
    )
    assert found == {
        "blessing": {
            "artifacts": [
                {
                    "name": "7",
                    "uri": "/minio/b/blessing",
                    "metadata": {"blessed": 1.0, "current_model": "/minio/b/model", "span": 0},
                }
            ]
        },
        "none": {"artifacts": []},
    }


@pytest.mark.parametrize("text", ["gs://bucket/run", "s3://x", "hdfs://x/y"])
def test_a_run_directory_is_no_uri(text):
    with pytest.raises(errors.UserError, match=f"`--workdir={text}` is a URI"):
        uris.check_folder(text, "--workdir")


@pytest.mark.parametrize("text", ["/mnt/x", "runs/demo", "C:\\x", "/odd://name"])
def test_folders_are_none(text):
    uris.check_folder(text, "--workdir")
