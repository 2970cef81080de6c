"""What `ssd-tuner run` leaves where it does not come to its end: the report of what there is."""

import pytest

from data.errors import UserError
from data.run_directory import RunDirectory
from pipeline.cli import main as command_line
from pipeline.cli import run as run_command
from pipeline.report import page
from pipeline.runners import local
from tests import finished_run

DATA = "--dataset=road_scenes:train=8,val=4,test=4"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Starts the command with a pipeline that does something in the run directory and then fails."""

    def run(does, error: BaseException) -> int:
        def fail(config):
            does(config.workdir)
            raise error

        monkeypatch.setattr(local, "run", fail)
        return command_line.main(["run", DATA, f"--workdir={tmp_path / 'demo'}", "--plan=off"])

    return run


def five_trials(workdir) -> None:
    finished_run.write_search(workdir, num_trials=5, num_running=1)


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt(), 130), (RuntimeError("worker is gone"), 1), (UserError("no space"), 2)]
)
def test_a_run_that_is_stopped_or_fails_after_a_trial_leaves_a_report(run, tmp_path, capfd, error, status) -> None:
    assert run(five_trials, error) == status
    text = RunDirectory(tmp_path / "demo").report_page.read_text(encoding="utf-8")
    assert "This run has not ended" in text
    assert "hyperband: 4 finished, 1 failed, 1 running of 6 trials" in text
    out, err = capfd.readouterr()
    assert "The run has not ended. Writing the report of what there is" in out
    assert str(RunDirectory(tmp_path / "demo").report_page) in out.replace("\n", "")
    assert err.startswith("ssd-tuner: ")


def test_before_the_first_trial_there_is_nothing_to_report(run, tmp_path, capfd) -> None:
    assert run(lambda workdir: None, KeyboardInterrupt()) == 130
    assert not RunDirectory(tmp_path / "demo").report_page.exists()
    assert "report of what there is" not in capfd.readouterr().out


def test_a_report_that_shows_every_trial_is_not_written_again(run, tmp_path) -> None:
    """A mistake that is seen before the search does not replace the report of a run that ended."""
    root = tmp_path / "demo"
    assert run(five_trials, KeyboardInterrupt()) == 130
    before = RunDirectory(root).report_page.stat().st_mtime_ns
    assert run(lambda workdir: None, UserError("The run directory belongs to another dataset.")) == 2
    assert RunDirectory(root).report_page.stat().st_mtime_ns == before


def test_a_report_that_fails_does_not_hide_why_the_run_did(run, capfd, monkeypatch) -> None:
    def fail(root):
        raise OSError("the disk is away")

    monkeypatch.setattr(page, "write", fail)
    assert run(five_trials, UserError("`optimizer.name` is wrong.")) == 2
    out, err = capfd.readouterr()
    assert "Warning: no report was written (OSError: the disk is away)." in out
    assert err == "ssd-tuner: error: `optimizer.name` is wrong.\n"


def test_ctrl_c_while_the_report_is_written_does_not_say_that_the_run_has_not_ended(
    tmp_path, monkeypatch, capfd
) -> None:
    def interrupt(screen, folder):
        raise KeyboardInterrupt

    monkeypatch.setattr(local, "run", lambda config: five_trials(config.workdir) or "its result")
    monkeypatch.setattr(run_command, "_show", lambda screen, result, config, folder: screen.note(result))
    monkeypatch.setattr(run_command, "_write_page", interrupt)
    assert command_line.main(["run", DATA, f"--workdir={tmp_path / 'demo'}", "--plan=off"]) == 130
    out, _ = capfd.readouterr()
    assert "its result" in out
    assert "has not ended" not in out
