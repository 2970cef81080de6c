"""What deploy/ names is there, and its manifests fit together."""

import pathlib
import re
import shlex

import pytest
import yaml

from pipeline.cli import parsing, run

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"


def manifests():
    return [one for path in sorted(DEPLOY.glob("*.yaml")) for one in yaml.safe_load_all(path.read_text())]


def pod_specs(manifest):
    """Yields what every pod of a manifest is made from, however deep a kind of another's making keeps it."""
    if isinstance(manifest, dict):
        if "containers" in manifest:
            yield manifest
        for value in manifest.values():
            yield from pod_specs(value)
    elif isinstance(manifest, list):
        for value in manifest:
            yield from pod_specs(value)


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
    specs = list(pod_specs(found))
    assert len(specs) == 4  # of a Pod, a Deployment, and head and workers of a RayJob
    for spec in specs:
        assert [volume["persistentVolumeClaim"]["claimName"] for volume in spec["volumes"]] == [claim]
        assert spec["securityContext"]["runAsUser"] == 1000
        assert spec["securityContext"]["runAsNonRoot"]
    assert "useradd --uid 1000" in (DEPLOY / "Dockerfile").read_text()


def test_the_ray_job_runs_what_the_lock_installs():
    (job,) = [one for one in manifests() if one["kind"] == "RayJob"]
    (locked,) = re.findall(r"^ray\S*==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == locked
    program, command, *given = shlex.split(job["spec"]["entrypoint"])
    assert (program, command) == ("ssd-tuner", "run")
    (workdir,) = [one.partition("=")[2] for one in given if one.startswith("--workdir=")]
    for spec in pod_specs(job):
        (container,) = spec["containers"]
        assert any(workdir.startswith(f"{mount['mountPath']}/") for mount in container["volumeMounts"])
    parsing.parse(command, parsing.define(run), given)


@pytest.mark.parametrize(
    ("name", "guide"),
    [
        ("volume.yaml", "kubeflow"),
        ("data.yaml", "kubeflow"),
        ("tensorboard.yaml", "kubeflow"),
        ("rayjob.yaml", "scale"),
    ],
)
def test_the_guide_names_every_manifest(name, guide):
    assert f"deploy/{name}" in (ROOT / "docs" / f"{guide}.md").read_text()
