"""A server that answers as KFP's API server does, as far as a run's start needs it."""

import contextlib
import http.server
import json
import threading

import pytest
import yaml

from data import errors
from pipeline.cluster import submit

PIPELINE = {
    "pipelineInfo": {"name": "ssd-tuner"},
    "root": {"dag": {}},
    "schemaVersion": "2.1.0",
    "sdkVersion": "tfx-1.21.0",
}
PLATFORM = {
    "platforms": {
        "kubernetes": {"deploymentSpec": {"executors": {"Tuner_executor": {"pvcMount": [{"mountPath": "/mnt"}]}}}}
    }
}


@contextlib.contextmanager
def server(status=200):
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path.partition("?")[0], None))
            self.answer(200, {"multi_user": False} if "healthz" in self.path else {"experiments": []})

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((self.path.partition("?")[0], body))
            if "runs" in self.path:
                found = {"run_id": "run-7"} if status == 200 else {"message": "unsupported schema version"}
                self.answer(status, found)
            else:
                self.answer(200, {"experiment_id": "experiment-3", "display_name": body["display_name"]})

        def answer(self, status, value):
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(value).encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", asked
        running.shutdown()


@pytest.fixture
def compiled(tmp_path):
    path = tmp_path / "pipeline.yaml"
    path.write_text(yaml.safe_dump_all([PIPELINE, PLATFORM]))
    return path


def test_a_run_starts_with_both_documents(compiled):
    with server() as (host, asked):
        assert submit.submit(compiled, host, experiment="night") == f"{host}/#/runs/details/run-7"
    bodies = {path.rpartition("/")[2]: body for path, body in asked if body}
    assert bodies["experiments"]["display_name"] == "night"
    assert bodies["runs"]["experiment_id"] == "experiment-3"
    assert bodies["runs"]["pipeline_spec"] == {"pipeline_spec": PIPELINE, "platform_spec": PLATFORM}


def test_what_the_server_says_is_one_line(compiled):
    with server(400) as (host, _), pytest.raises(errors.UserError) as raised:
        submit.submit(compiled, host)
    assert "the server refused (400 Bad Request)" in str(raised.value)
    assert "unsupported schema version" in str(raised.value)


def test_no_server_is_one_line(compiled):
    with pytest.raises(errors.UserError, match="no Kubeflow Pipelines server answers there"):
        submit.submit(compiled, "http://127.0.0.1:9", namespace="me")
