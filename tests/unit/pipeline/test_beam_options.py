import socket

import pytest

from data.errors import UserError
from pipeline import beam_options

PORTABLE = ["--runner=PortableRunner", "--job_endpoint=embed"]


def test_the_users_runner_takes_the_place_of_ours_and_its_workers_import_tfx():
    no_package = "--sdk_container_image=none"  # else TFX builds one for workers elsewhere
    own = ["--direct_num_workers=2"]
    assert beam_options.arguments(own) == ["--runner=FnApiRunner", no_package, *own]
    own = ["--runner=PortableRunner", "--job_endpoint=host:8099"]
    assert beam_options.arguments(own) == ["--beam_plugin=tfx", no_package, *own]


@pytest.mark.parametrize("given", [[], ["--runner=FlinkRunner", "--flink_master=host:8081"], PORTABLE])
def test_where_no_job_service_is_named_nothing_is_asked(given):
    beam_options.check(given)


def test_a_job_service_that_answers_is_fine():
    with socket.create_server(("localhost", 0)) as server:
        beam_options.check([PORTABLE[0], f"--job_endpoint=localhost:{server.getsockname()[1]}"])


@pytest.mark.parametrize("endpoint", ["8099", ":8099", "host:", "host:port"])
def test_an_endpoint_needs_a_host_and_a_port(endpoint):
    with pytest.raises(UserError, match=rf"^`--beam_args=--job_endpoint={endpoint}` needs HOST:PORT\.$"):
        beam_options.check([PORTABLE[0], f"--job_endpoint={endpoint}"])


@pytest.mark.parametrize("port", [None, 99_999])
def test_a_job_service_that_does_not_answer_is_one_line(port):
    if port is None:
        with socket.create_server(("localhost", 0)) as server:
            port = server.getsockname()[1]
    with pytest.raises(UserError, match=rf"^`--beam_args=--job_endpoint=localhost:{port}`: no job service of Beam"):
        beam_options.check([PORTABLE[0], f"--job_endpoint=localhost:{port}"])


@pytest.mark.parametrize("runner", ["DaskRunner", "apache_beam.runners.dask.dask_runner.DaskRunner"])
def test_a_runner_for_ingestion_alone_is_refused(runner):
    with pytest.raises(UserError, match="DetectionExampleGen alone, not StatisticsGen"):
        beam_options.check([f"--runner={runner}"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["runner=PortableRunner"], "`--beam_args=runner=PortableRunner` needs one option of Beam, as --NAME=VALUE, f"),
        (["-runner=PortableRunner"], "for example --beam_args=--runner=PortableRunner"),
        (["--runner", "PortableRunner"], "`--beam_args=--runner` needs a value, as --beam_args"),
        (["--direct_num_workers", "4"], "`--beam_args=4` needs one option of Beam, as --NAME=VALUE[.]$"),
        (["--runner PortableRunner"], "`--beam_args=--runner PortableRunner` needs one option of Beam"),
        (["--runner="], "`--beam_args=--runner=` needs a value"),
        ([PORTABLE[0], "--job_endpoint="], "`--beam_args=--job_endpoint=` needs a value, as .*=VALUE"),
        (["--job_endpoint=host:8099"], "has no effect without a runner: Beam would work in this process. Add"),
        (["--job_endpoint=embed"], "has no effect without a runner"),
        ([""], "`--beam_args=` needs one option of Beam, as --NAME=VALUE[.]$"),
    ],
)
def test_what_beam_would_ignore_in_silence_is_refused(given, message):
    """It would work in this process, where workers elsewhere were asked for."""
    with pytest.raises(UserError, match=message):
        beam_options.check(given)


@pytest.mark.parametrize("given", [["--streaming"], ["--experiments=a=b c"], ["--runner=FlinkRunner", "--labels=x"]])
def test_flags_and_values_of_any_kind_pass(given):
    beam_options.check_form(given)
