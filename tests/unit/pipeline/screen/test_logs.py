"""All output but the display's goes to the log, and comes back where it is asked for or needed."""

import logging
import os
import pathlib
import subprocess
import sys
import warnings

import pytest
from absl import logging as absl_logging

from data.errors import UserError
from pipeline import failures
from pipeline.screen import logs


def chatter():
    print("from print")
    print("from stderr", file=sys.stderr)
    os.write(1, b"from C++\n")
    subprocess.run(["sh", "-c", "echo from a worker; echo from its stderr >&2"], check=True)
    logging.getLogger("tfx").info("from logging")
    absl_logging.info("from absl")
    logging.getLogger("tfx").debug("from debugging")


WORDS = [
    "from print",
    "from stderr",
    "from C++",
    "from a worker",
    "from its stderr",
    "from logging",
    "from absl",
]


def test_everything_goes_to_the_log_and_the_terminal_stays(tmp_path, capfd):
    log = tmp_path / "logs" / "run.log"
    with logs.capture_output(log) as capture:
        chatter()
        print("to the user", file=capture.terminal)
    print("afterwards")
    out, err = capfd.readouterr()
    assert out == "to the user\nafterwards\n"
    assert err == ""
    text = log.read_text()
    assert [word for word in WORDS if word not in text] == []
    assert "debugging" not in text


def test_a_second_run_appends(tmp_path):
    log = tmp_path / "run.log"
    for word in ("first", "second"):
        with logs.capture_output(log):
            print(word)
    assert log.read_text().split() == ["first", "second"]


@pytest.mark.parametrize(("verbosity", "debug"), [("info", False), ("debug", True)])
def test_verbosity_brings_the_log_to_the_terminal(tmp_path, capfd, verbosity, debug):
    log = tmp_path / "run.log"
    with logs.capture_output(log, verbosity):
        chatter()
    shown = capfd.readouterr().err
    assert [word for word in WORDS if word not in shown or word not in log.read_text()] == []
    assert ("from debugging" in shown) is debug


def test_more_chatter_than_a_pipe_holds_does_not_hang(tmp_path, capfd):
    with logs.capture_output(tmp_path / "run.log", "info"):
        os.write(2, b"x" * 500_000)
    assert len(capfd.readouterr().err) == 500_000


def test_a_failure_is_in_the_log_with_the_lines_before_it(tmp_path, capfd):
    log = tmp_path / "run.log"
    with pytest.raises(failures.CommandFailedError) as caught, logs.capture_output(log):
        print("the last thing that it did")
        raise RuntimeError("it broke")
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert caught.value.log_file == log
    assert caught.value.last_lines == "the last thing that it did"
    assert "Traceback" in log.read_text()
    assert capfd.readouterr() == ("", "")


def test_a_users_mistake_passes_and_the_temporary_log_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(logs.tempfile, "tempdir", str(tmp_path))
    with pytest.raises(UserError, match="mistake"), logs.capture_output() as capture:
        assert capture.log_file.parent == tmp_path
        raise UserError("mistake")
    assert list(tmp_path.iterdir()) == []


def test_a_temporary_log_stays_after_a_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(logs.tempfile, "tempdir", str(tmp_path))
    with pytest.raises(failures.CommandFailedError) as caught, logs.capture_output():
        raise RuntimeError("it broke")
    assert "it broke" in caught.value.log_file.read_text()


def test_logging_is_as_before_afterwards(tmp_path):
    root = logging.getLogger()
    before = root.handlers[:], root.level, absl_logging.get_verbosity(), sys.stdout, sys.stderr
    with logs.capture_output(tmp_path / "run.log", "debug"):
        assert root.level == logging.DEBUG
    assert before == (root.handlers[:], root.level, absl_logging.get_verbosity(), sys.stdout, sys.stderr)


def test_handlers_made_meanwhile_still_work_afterwards(tmp_path, capfd):
    with logs.capture_output(tmp_path / "run.log"):
        handler = logging.StreamHandler()  # as a library does that is imported meanwhile
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        handler.emit(logging.LogRecord("late", logging.INFO, "", 0, "late words", (), None))
    assert "late words" in capfd.readouterr().err


def test_a_log_that_cannot_be_written_is_a_users_mistake(tmp_path):
    (tmp_path / "logs").write_text("")
    with (
        pytest.raises(UserError, match=r"the log .* cannot be written"),
        logs.capture_output(tmp_path / "logs" / "run.log"),
    ):
        pass


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, a Linux device that is always full")
def test_a_full_disk_under_the_log_is_said_once_and_nothing_spills(capfd):
    with (
        pytest.raises((failures.CommandFailedError, OSError)) as caught,
        logs.capture_output(pathlib.Path("/dev/full")),
    ):
        logging.getLogger("tfx").info("lost")
        print("lost too" * 10_000)
    assert failures.explain(caught.value).message.startswith("the disk is full")
    assert capfd.readouterr() == ("", "")
    sys.stderr.flush()
