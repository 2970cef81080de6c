"""Events reach the listeners, and no listener can stop the work."""

import logging

import pytest

from data import progress


def test_a_listener_gets_kind_and_fields_in_order():
    seen = []
    with progress.listen(lambda kind, fields: seen.append((kind, fields))):
        progress.emit("ingest", done=1, total=2)
        progress.emit("note", text="half")
    progress.emit("note", text="nobody listens any more")
    assert seen == [("ingest", {"done": 1, "total": 2}), ("note", {"text": "half"})]


def test_every_listener_gets_a_copy_of_its_own():
    seen = []

    def greedy(kind, fields):
        fields.clear()

    with progress.listen(greedy), progress.listen(lambda kind, fields: seen.append(fields)):
        progress.emit("ingest", done=1, total=2)
    assert seen == [{"done": 1, "total": 2}]


def test_with_no_listener_the_event_is_logged(caplog):
    with caplog.at_level(logging.INFO, logger="data.progress"):
        progress.emit("epoch", stage="train", epoch=3, loss=0.5)
    assert "epoch stage=train epoch=3 loss=0.5" in caplog.text


def test_a_failing_listener_is_logged_and_the_others_still_hear(caplog):
    seen = []

    def broken(kind, fields):
        raise RuntimeError("no screen")

    with progress.listen(broken), progress.listen(lambda kind, fields: seen.append(kind)):
        progress.emit("note", text="continues")
    assert seen == ["note"]
    assert "no screen" in caplog.text


def test_a_listener_leaves_when_its_context_ends_with_an_error():
    seen = []
    with (
        pytest.raises(RuntimeError, match="stop"),
        progress.listen(lambda kind, fields: seen.append(kind)),
    ):
        raise RuntimeError("stop")
    progress.emit("note", text="unheard")
    assert seen == []


def test_an_unknown_kind_is_a_mistake_in_code():
    with pytest.raises(ValueError, match=r"`kind` must be one of .*trial.*: got 'epcoh'"):
        progress.emit("epcoh", epoch=1)
