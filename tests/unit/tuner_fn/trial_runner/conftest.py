"""What the tests of the tuner share: its training process is a formula."""

import time

import pytest
from tuning import FakeProcess

from tuner_fn.trial_runner import DetectionTuner


@pytest.fixture(autouse=True)
def _no_export(monkeypatch):
    """The states of these tests hold no weights; tests/integration/test_search.py interrupts a real search."""
    monkeypatch.setattr(DetectionTuner, "_export_best", lambda self: None)


@pytest.fixture
def process():
    return FakeProcess()


@pytest.fixture
def clock(monkeypatch):
    """Counts seconds by hand."""
    hand = {"now_s": 0.0}
    monkeypatch.setattr(time, "monotonic", lambda: hand["now_s"])
    return hand
