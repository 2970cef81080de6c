import socket

import pytest

from data import endpoints


def test_a_service_that_answers_has_no_reason_for_silence() -> None:
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
        assert endpoints.why_silent(f"localhost:{port}") == ""
    assert "refused" in endpoints.why_silent(f"localhost:{port}").lower()


def test_a_port_that_does_not_exist_is_a_reason() -> None:
    assert endpoints.why_silent("localhost:99999")


@pytest.mark.parametrize("endpoint", ["", "8099", ":8099", "host:", "host:port", "ray://host:10001"])
def test_other_forms_are_refused(endpoint) -> None:
    with pytest.raises(ValueError, match=r"^needs HOST:PORT$"):
        endpoints.why_silent(endpoint)
