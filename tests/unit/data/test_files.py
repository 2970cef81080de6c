import os
import pathlib

import pytest

from data import errors, files


def test_paths_that_cannot_be_written_are_found_before_the_work(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    files.check_writable(tmp_path / "new" / "folder" / "report.json", "--report")
    files.check_writable(tmp_path / "file", "--report")  # replaced
    with pytest.raises(errors.UserError, match=f"`--report={tmp_path}` is a folder. Name a file"):
        files.check_writable(tmp_path, "--report")
    with pytest.raises(errors.UserError, match=f"cannot be written: `{tmp_path}/file` is a file"):
        files.check_writable(tmp_path / "file" / "report.json", "--report")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(errors.UserError, match=f"no permission in `{tmp_path}`"):
        files.check_writable(tmp_path / "report.json", "--report")


def test_tail_is_the_last_lines_of_a_large_file(tmp_path):
    log = tmp_path / "run.log"
    log.write_text("".join(f"line {number}\n\n" for number in range(50_000)))
    assert files.tail(log, lines=2) == "line 49998\nline 49999"
    assert files.tail(pathlib.Path("/nowhere/run.log")) == ""
