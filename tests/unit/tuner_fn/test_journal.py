"""The journal: what is in it happened in that order, whatever was cut short."""

import pytest

from data import progress
from tuner_fn.journal import Event, Journal


def lines(*events: str) -> str:
    """Writes events such as "start 0" as the file has them."""
    pairs = (event.split() for event in events)
    return "".join(f'{{"event": "{kind}", "trial": "{trial}"}}\n' for kind, trial in pairs)


def test_events_are_on_disk_when_they_are_noted_and_are_read_again(tmp_path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    assert not path.exists()  # a search with one worker leaves none
    for event in (("start", "0"), ("start", "1"), ("end", "1")):
        journal.note(*event)
    assert path.read_text() == lines("start 0", "start 1", "end 1")
    assert Journal(path).events == [Event("start", "0"), Event("start", "1"), Event("end", "1")]
    assert journal.ends() == ["1"]


def test_a_line_that_a_power_cut_tore_did_not_happen(tmp_path) -> None:
    path = tmp_path / "journal.jsonl"
    whole = lines("start 0", "start 1")
    for cut in range(len(whole) + 1):
        path.write_text(whole[:cut])
        journal = Journal(path)
        count = whole[:cut].count("\n")
        assert len(journal.events) == count
        journal.note("end", "0")
        assert path.read_text() == "".join(whole.splitlines(keepends=True)[:count]) + lines("end 0")


def test_an_event_is_written_once_and_read_once(tmp_path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    for event in (("start", "0"), ("end", "0"), ("end", "0")):
        journal.note(*event)
    assert path.read_text() == lines("start 0", "end 0")
    path.write_text(lines("start 0", "end 0", "end 0", "start 1"))  # as Ctrl-C left one before
    assert Journal(path).events == [Event("start", "0"), Event("end", "0"), Event("start", "1")]


@pytest.mark.parametrize("content", ["[1]\n", '{"event": "start"}\n', "half a li\n", lines("start 0") + "\x00\x00\n"])
def test_a_damaged_journal_is_set_aside_and_named(tmp_path, content) -> None:
    path, notes = tmp_path / "journal.jsonl", []
    path.write_text(content)
    with progress.listen(lambda kind, fields: notes.append(fields["text"])):
        journal = Journal(path)
    assert journal.events == []
    assert notes[0].startswith(f"{path} is damaged")
    assert path.with_name("journal.jsonl.damaged").read_text() == content


def test_what_the_oracle_does_not_know_is_to_come_in_its_order_and_nothing_else(tmp_path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text(lines("start 0", "start 1", "end 1", "start 2", "end 0"))
    journal = Journal(path)
    journal.meet(["0", "1"], [])
    assert journal.to_come == [Event("end", "1"), Event("start", "2"), Event("end", "0")]
    with pytest.raises(ValueError, match="must be the next that is to come"):
        journal.note("end", "0")
    for event in (("end", "1"), ("start", "2"), ("end", "0"), ("start", "3")):
        journal.note(*event)
    assert path.read_text() == lines("start 0", "start 1", "end 1", "start 2", "end 0", "start 3")
    assert journal.ended_before("2") == ["1"]
    assert journal.ended_before("3") == ["1", "0"]


def test_trials_that_one_worker_trained_before_are_added_one_after_the_other(tmp_path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.meet(["0", "1", "2"], ["0", "1"])
    assert journal.path.read_text() == lines("start 0", "end 0", "start 1", "end 1", "start 2")
    assert journal.to_come == []
    assert journal.ended_before("1") == ["0"]


def test_what_cannot_happen_again_is_forgotten(tmp_path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text(lines("start 0", "start 1", "end 1", "end 0"))
    journal = Journal(path)
    journal.meet(["0", "1"], ["1"])
    journal.forget()
    assert path.read_text() == lines("start 0", "start 1", "end 1")
    journal.note("start", "2")
    assert Journal(path).events[-1] == Event("start", "2")
