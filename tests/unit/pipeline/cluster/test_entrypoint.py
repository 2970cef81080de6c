import json

import pytest

from data import errors
from pipeline.cluster import entrypoint


def invocation(**artifacts) -> dict:
    inputs = {name: {"artifacts": [value]} for name, value in artifacts.items()}
    return {"inputs": {"artifacts": inputs}, "outputs": {"outputFile": "/tmp/o.json"}}


def test_an_input_that_stands_for_none_is_taken_away():
    given = invocation(
        model={"uri": "s3://b/m", "name": "3"}, baseline={"uri": "s3://b/x", "metadata": {"is_empty": 1.0}}
    )
    found = entrypoint.inputs_here(given)["inputs"]["artifacts"]
    assert found == {"model": {"artifacts": [{"uri": "/s3/b/m", "name": "3"}]}, "baseline": {"artifacts": []}}


def test_an_input_without_a_name_gets_one():
    found = entrypoint.inputs_here(invocation(model={"uri": "gs://b/m"}))["inputs"]["artifacts"]["model"]
    assert found == {"artifacts": [{"uri": "/gcs/b/m", "name": "model"}]}


def test_a_step_without_inputs():
    given = {"outputs": {"artifacts": {"x": {"artifacts": [{"uri": "minio://b/x"}]}}, "outputFile": "o"}}
    found = entrypoint.inputs_here(given)
    assert found["inputs"] == {"artifacts": {}}
    assert found["outputs"] == {"artifacts": {"x": {"artifacts": [{"uri": "/minio/b/x"}]}}, "outputFile": "o"}


def test_two_steps_that_change_one_run_directory_do_not_run_at_a_time(monkeypatch, capsys, tmp_path):
    """As two runs of one pipeline on a volume; the second one's retry may find it free."""
    given = invocation()
    given["inputs"]["parameterValues"] = {"custom_config": json.dumps({"workdir": str(tmp_path / "run")})}
    flags = ["--executor_class_path=x", "--json_serialized_inputs_spec_args={}"]
    flags += ["--json_serialized_invocation_args", json.dumps(given)]
    monkeypatch.setattr(entrypoint, "_send_back", lambda path: None)
    statuses = []

    def run(*_) -> None:
        if not statuses:
            statuses.append("first")
            statuses.append(entrypoint.main(flags))

    monkeypatch.setattr(entrypoint, "_run", run)
    assert entrypoint.main(flags) == 0
    assert statuses == ["first", 2]
    assert f"--workdir={tmp_path / 'run'} is in use by process" in capsys.readouterr().err


@pytest.mark.parametrize("settings", [None, "null", "{}"])
def test_a_step_without_a_run_directory_holds_none(monkeypatch, settings):
    given = invocation()
    given["inputs"]["parameterValues"] = {} if settings is None else {"custom_config": settings}
    monkeypatch.setattr(entrypoint, "_send_back", lambda path: None)
    monkeypatch.setattr(entrypoint, "_run", lambda *_: None)
    flags = ["--executor_class_path=x", "--json_serialized_inputs_spec_args={}"]
    assert entrypoint.main([*flags, "--json_serialized_invocation_args", json.dumps(given)]) == 0


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (errors.UserError("`--dataset=x`: no."), 2, "ssd-tuner: error: `--dataset=x`: no."),
        (KeyboardInterrupt(), 130, "ssd-tuner: interrupted"),
        (RuntimeError("odd"), 1, "ssd-tuner: error: RuntimeError: odd"),
    ],
)
def test_how_a_step_ends(monkeypatch, capsys, error, status, text):
    def run(*_):
        raise error

    monkeypatch.setattr(entrypoint, "_run", run)
    flags = ["--executor_class_path=x", "--json_serialized_inputs_spec_args={}"]
    given = ["--json_serialized_invocation_args", json.dumps(invocation())]
    assert entrypoint.main([*flags, *given, "--runner=FnApiRunner"]) == status
    printed = capsys.readouterr().err
    assert text in printed
    assert ("Traceback" in printed) == (status == 1)
