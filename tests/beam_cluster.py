#!/usr/bin/env python3
"""A small cluster for Beam: its job service and a pool of workers, each a process of its own.

Started as a program, this file is what `boot` is in the container of a worker: it asks the runner for the options and
becomes a worker with them.
"""

import argparse
import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import grpc
from apache_beam.portability.api import beam_provision_api_pb2, beam_provision_api_pb2_grpc
from google.protobuf import json_format

_PATIENCE_S = 60.0


@contextlib.contextmanager
def start() -> Iterator[list[str]]:
    """Starts the cluster; yields the options with which a pipeline runs on it."""
    jobs, workers = _free_port(), _free_port()
    modules = {
        "apache_beam.runners.portability.local_job_service_main": [f"--port={jobs}"],
        "apache_beam.runners.worker.worker_pool_main": [
            f"--service_port={workers}",
            f"--container_executable={__file__}",
        ],
    }
    # The pool finds `python3` by its name.
    path = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env=os.environ | {"PATH": path},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for module, arguments in modules.items()
    ]
    try:
        for port in (jobs, workers):
            _wait_for(port)
        yield [
            "--runner=PortableRunner",
            f"--job_endpoint=localhost:{jobs}",
            "--environment_type=EXTERNAL",
            f"--environment_config=localhost:{workers}",
        ]
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(_PATIENCE_S)


def _free_port() -> int:
    with socket.create_server(("localhost", 0)) as server:
        return server.getsockname()[1]


def _wait_for(port: int) -> None:
    end_s = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return socket.create_connection(("localhost", port), 1.0).close()
        except OSError:
            if time.monotonic() > end_s:
                raise
            time.sleep(0.1)


def boot() -> None:
    """Becomes a worker."""
    parser = argparse.ArgumentParser()
    for name in ("id", "logging_endpoint", "artifact_endpoint", "provision_endpoint", "control_endpoint"):
        parser.add_argument(f"--{name}")
    given = parser.parse_args()
    with grpc.insecure_channel(given.provision_endpoint) as channel:
        service = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        request = beam_provision_api_pb2.GetProvisionInfoRequest()
        options = service.GetProvisionInfo(request, metadata=[("worker_id", given.id)]).info.pipeline_options
    environment = os.environ | {
        "WORKER_ID": given.id,
        "PIPELINE_OPTIONS": json_format.MessageToJson(options),
        "CONTROL_API_SERVICE_DESCRIPTOR": f'url: "{given.control_endpoint}"',
        "LOGGING_API_SERVICE_DESCRIPTOR": f'url: "{given.logging_endpoint}"',
    }
    os.execve(sys.executable, [sys.executable, "-m", "apache_beam.runners.worker.sdk_worker_main"], environment)


if __name__ == "__main__":
    boot()
