"""What each kind of error says to the user, wrapped as the libraries wrap it."""

import errno
import os
import pathlib

import grpc
import pytest

from data.errors import UserError
from pipeline import failures


def wrapped(inner, outer=None):
    """Returns an error that names `inner` as its cause."""
    error = outer or RuntimeError("component failed")
    error.__cause__ = inner
    return error


class ResourceExhaustedError(Exception):
    """As TensorFlow's file system raises it."""


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        ResourceExhaustedError("{{node SaveV2}} /x/model; No space left on device [Op:SaveV2]"),
        RuntimeError("INTERNAL: errmsg: database or disk is full"),
    ],
)
@pytest.mark.parametrize("wrap", [lambda error: error, wrapped, lambda error: wrapped(wrapped(error))])
def test_a_full_disk_is_recognised_however_it_is_said(error, wrap):
    failure = failures.explain(wrap(error))
    assert failure.status == 2
    assert failure.message.startswith("the disk is full")


def test_a_full_disk_names_the_file():
    error = OSError(errno.ENOSPC, "No space left on device", "/runs/demo/metadata.db")
    assert "(writing /runs/demo/metadata.db)" in failures.explain(error).message


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_only_a_command_that_continues_says_so(error):
    promise = "the same command continues where this one stopped."
    assert failures.explain(wrapped(error), continues=True).message.endswith(promise)
    assert "continues" not in failures.explain(wrapped(error)).message


def test_a_full_disk_that_shows_in_handling_another_error():
    error = OSError(errno.ENOSPC, "No space left on device")
    later = RuntimeError("cannot clean up")
    later.__context__ = error
    assert failures.explain(wrapped(later)).status == 2


def test_causes_that_go_in_a_circle_end():
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert failures.explain(first).status == 1


def test_a_users_mistake_is_one_line_also_out_of_beam():
    beams = UserError("3 of 10 examples\nare bad. [while running 'Ingest/Write']")
    failure = failures.explain(wrapped(beams))
    assert failure == failures.Failure(2, "3 of 10 examples are bad.")


def test_a_cluster_of_beam_that_does_not_answer_is_one_line():
    with grpc.insecure_channel("localhost:1") as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/Jobs/Prepare")(b"", timeout=5)
    failure = failures.explain(wrapped(caught.value))
    assert failure.status == 2
    assert failure.message.startswith("Beam's job service or its workers do not answer (UNAVAILABLE: ")


@pytest.mark.parametrize(
    "mistake", [UserError("3 of 10 examples are bad."), OSError(errno.ENAMETOOLONG, "File name too long", "/runs/x")]
)
@pytest.mark.parametrize("bug", [AttributeError, ValueError, RuntimeError, OSError])
def test_a_bug_in_handling_a_users_mistake_is_a_bug(mistake, bug):
    try:
        try:
            raise mistake
        except Exception:
            raise bug("the handling is wrong")  # noqa: B904
    except Exception as error:
        failure = failures.explain(error)
    assert failure == failures.Failure(1, f"{bug.__name__}: the handling is wrong")


def test_a_users_mistake_that_beam_words_anew_is_the_users():
    try:
        try:
            raise UserError("No split.")
        except UserError:
            raise RuntimeError("data.errors.UserError: No split. [while running 'Ingest/Write']")  # noqa: B904
    except RuntimeError as error:
        failure = failures.explain(error)
    assert failure == failures.Failure(2, "No split.")


def test_an_error_that_a_users_mistake_caused_is_the_users():
    later = KeyError("split")
    later.__cause__ = UserError("No split.")
    assert failures.explain(later) == failures.Failure(2, "No split.")


def test_interruption():
    assert failures.explain(KeyboardInterrupt()) == failures.Failure(130, "interrupted.")
    assert failures.is_interruption(wrapped(KeyboardInterrupt()))
    assert not failures.is_interruption(wrapped(UserError("x")))


def test_a_bug_names_the_original_error_the_log_and_its_last_lines():
    command = failures.CommandFailedError(pathlib.Path("/x/run.log"), "last words")
    failure = failures.explain(wrapped(TypeError("got\nNone"), command))
    assert failure.status == 1
    assert failure.message == (
        "TypeError: got None The whole story: /x/run.log\nThe last lines of the log:\nlast words"
    )


def test_a_long_text_is_cut():
    assert len(failures.explain(ValueError("x " * 5000)).message) <= 600


@pytest.mark.parametrize("number", [errno.ENAMETOOLONG, errno.ELOOP, errno.EROFS])
def test_a_path_that_cannot_be_used_is_the_users_mistake(number):
    failure = failures.explain(OSError(number, os.strerror(number), "/runs/x"))
    assert failure == failures.Failure(2, f"{os.strerror(number)}: /runs/x. Name another path.")


def test_a_users_mistake_counts_before_the_path_behind_it():
    error = wrapped(OSError(errno.ELOOP, "loop", "/runs/x"), UserError("the folder is not there"))
    assert failures.explain(error).message == "the folder is not there"
