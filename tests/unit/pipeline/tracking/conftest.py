"""A run directory without a training: a search of two trials, and a second one that has just begun."""

import dataclasses
import json

import pytest

from data.run_directory import RunDirectory
from tuner_fn import reporting, search_folder

SEARCH = {
    "dataset": ["00", ["car"]],
    "settings": {"optimizer": {"learning_rate": 0.01}, "anchors": {"scales": [0.1, 0.2]}},
    "search": {"strategy": "random", "ranges": {"loss.l2": {"low": 0.0, "high": 1.0, "scale": "linear"}}},
    "code": "00",
    "versions": {"keras": "3.15"},
}
ROW = {"rank": 1, "trial": "0000", "score": 0.5, "AP": 0.2, "AP50": 0.5, "epochs": 2, "fidelity": "", "seconds": 9.0}
ROW |= {"status": "completed", "reason": "", "parent": None, "inherited": None, "hyperparameters": {"loss.l2": 0.1}}
FAILED = ROW | {"rank": None, "trial": "0001", "score": None, "status": "failed", "reason": "NaN", "epochs": None}


@dataclasses.dataclass(frozen=True)
class Recorded:
    """The run directory and what the search is: rows and settings."""

    folder: RunDirectory
    search: dict
    rows: list[dict]

    def write_leaderboard(self, rows) -> None:
        path = self.folder.search("first") / "leaderboard.json"
        path.write_text(json.dumps(rows))

    def finish(self, rows) -> None:
        """Writes the report of a run that ended with these rows."""
        folder = self.folder
        folder.report.mkdir(exist_ok=True)
        (folder.serving_model / "7").mkdir(parents=True, exist_ok=True)
        history = [{"epoch": 1, "loss": 1.0, "AP50": 0.3}, {"epoch": 2, "loss": 0.5, "AP50": None}]
        summary = {"blessed": True, "reasons": ["good"], "pushed_model": "/moved/since/serving_model/7"}
        summary |= {"metrics": {"AP50": 0.4, "AP_large": None}, "final_val": {"epoch": 2}}
        texts = {"leaderboard": rows, "summary": summary, "history": history, "config": SEARCH["settings"]}
        for name, value in texts.items():
            (folder.report / f"{name}.json").write_text(json.dumps(value))


@pytest.fixture
def recorded(tmp_path):
    """Two searches, the second without a trial; the first one's trials are one that ended and one that failed."""
    found = Recorded(RunDirectory(tmp_path / "demo"), SEARCH, [ROW, FAILED])
    found.folder.root.mkdir()
    found.folder.dataset.write_text('{"dataset": "coco:cars"}')
    for number, key in enumerate(("first", "second"), start=1):
        search = found.folder.search(key)
        search.mkdir(parents=True)
        (search / search_folder.FILE_NAME).write_text(json.dumps(SEARCH))
        (search / search_folder.LOGS_FILE).write_text(f"search_{number}")
    found.write_leaderboard(found.rows)
    log = reporting.TrialLog(found.folder.tensorboard / "search_1" / "trial_0000", {"loss.l2": 0.1}, "trial 0000")
    for epoch, score in ((1, 0.3), (2, 0.5)):
        report = {"loss": 1.0 / epoch, "AP50": score, "AP50/big car #1": score, "seconds": 1.0}
        log.epoch({"epoch": epoch, **report})
    log.close(succeeded=True)
    return found
