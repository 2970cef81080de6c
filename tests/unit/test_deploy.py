"""What deploy/ names is there, and its manifests fit together."""

import pathlib
import re

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"


def manifests():
    return [one for path in sorted(DEPLOY.glob("*.yaml")) for one in yaml.safe_load_all(path.read_text())]


def test_the_image_is_built_from_files_that_are_there_and_not_ignored():
    allowed = [line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().split() if line.startswith("!")]
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    sources = [name for line in copied for name in line.split()]
    assert {"setup.py", "requirements.lock", "pipeline"} <= set(sources)
    for name in sources:
        assert (ROOT / name).exists(), name
        assert any(name == one or name.startswith(f"{one}/") for one in allowed), name


def test_the_image_takes_the_release_of_uv_that_the_makefile_takes():
    (wanted,) = re.findall(r"^UV_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert f"uv=={wanted}" in (DEPLOY / "Dockerfile").read_text()


def test_every_pod_mounts_the_claim_that_is_made_and_is_not_root():
    found = manifests()
    (claim,) = [one["metadata"]["name"] for one in found if one["kind"] == "PersistentVolumeClaim"]
    specs = [one["spec"] for one in found if one["kind"] == "Pod"]
    specs += [one["spec"]["template"]["spec"] for one in found if one["kind"] == "Deployment"]
    assert len(specs) == 2
    for spec in specs:
        assert [volume["persistentVolumeClaim"]["claimName"] for volume in spec["volumes"]] == [claim]
        assert spec["securityContext"]["runAsUser"] == 1000
        assert spec["securityContext"]["runAsNonRoot"]
    assert "useradd --uid 1000" in (DEPLOY / "Dockerfile").read_text()


@pytest.mark.parametrize("name", ["volume.yaml", "data.yaml", "tensorboard.yaml"])
def test_the_guide_names_every_manifest(name):
    assert f"deploy/{name}" in (ROOT / "docs" / "kubeflow.md").read_text()
