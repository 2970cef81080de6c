"""The run directory of `--workdir`: the one place that knows what lies where in it."""

import dataclasses
import json
import pathlib

from data import files

ENDED = "ended.txt"  # beside a search's trials: the digest of the leaderboard that a run reported
_LEADERBOARD = "leaderboard.json"


@dataclasses.dataclass(frozen=True)
class RunDirectory:
    """Where a run keeps what it makes.

    Attributes:
        root: the run directory.
    """

    root: pathlib.Path

    @property
    def pipeline(self) -> pathlib.Path:
        """TFX artifacts."""
        return self.root / "pipeline"

    @property
    def metadata(self) -> pathlib.Path:
        """SQLite file of ML Metadata."""
        return self.root / "metadata.db"

    @property
    def dataset(self) -> pathlib.Path:
        """File that names the dataset to which the directory belongs."""
        return self.root / "dataset.json"

    @property
    def report(self) -> pathlib.Path:
        """Results of the last run that ended, as JSON and CSV; until one has ended, what there is of the first."""
        return self.root / "report"

    @property
    def newest(self) -> pathlib.Path:
        """What the newest run began with: its plan and its command. `report` has copies when that run has ended."""
        return self.root / "newest"

    @property
    def summary(self) -> pathlib.Path:
        """Results of the last run that ended."""
        return self.report / "summary.json"

    @property
    def test_results(self) -> pathlib.Path:
        """What the final model found in each test image."""
        return self.report / "test_results.npz"

    @property
    def report_page(self) -> pathlib.Path:
        """The report as one HTML file."""
        return self.report / "report.html"

    @property
    def invocation(self) -> pathlib.Path:
        """File with the command of the reported run, and with what ran it."""
        return self.report / "invocation.json"

    @property
    def serving_model(self) -> pathlib.Path:
        """Pushed models, one numbered folder for each."""
        return self.root / "serving_model"

    @property
    def tensorboard(self) -> pathlib.Path:
        """What `tensorboard --logdir` is given."""
        return self.root / "tensorboard"

    @property
    def log(self) -> pathlib.Path:
        """What the libraries had to say."""
        return self.root / "logs" / "run.log"

    @property
    def mlflow(self) -> pathlib.Path:
        """MLflow's SQLite file and artifacts, and the name that a tracking server knows the run directory by."""
        return self.root / "mlflow"

    def searches(self) -> list[pathlib.Path]:
        """Lists the folders of all searches, the one with the newest results first."""
        found = (self.root / "search").glob("[!.]*/")  # what begins with a dot is a copy that was never finished
        changed = {folder: [path.stat().st_mtime_ns for path in folder.glob("*.json")] for folder in found}
        return sorted(changed, key=lambda folder: max(changed[folder], default=0), reverse=True)

    def reported_search(self) -> pathlib.Path | None:
        """Finds the search that the report is about; None where there is no report, or the search has continued."""
        try:
            name = json.loads(self.summary.read_text(encoding="utf-8")).get("search")
        except (OSError, ValueError, AttributeError):
            return None
        searches = self.searches() if name is None else [self.search(name)]  # an older version did not write the name
        reported, boards = self.report / _LEADERBOARD, [search / _LEADERBOARD for search in searches]
        if not reported.exists():
            return None
        same = (board.parent for board in boards if board.exists() and board.read_bytes() == reported.read_bytes())
        return next(same, None)

    def mark_ended(self, search: pathlib.Path) -> None:
        """Notes that a run has reported a search as it is in `report`."""
        files.write_text(search / ENDED, files.digest(self.report / _LEADERBOARD))

    def has_ended(self, search: pathlib.Path) -> bool:
        """Tells whether a run has reported a search and the search has not continued since."""
        mark, board = search / ENDED, search / _LEADERBOARD
        return mark.exists() and board.exists() and mark.read_text(encoding="utf-8") == files.digest(board)

    @property
    def ingested(self) -> list[pathlib.Path]:
        """Folders of ingested datasets, the newest first."""
        found = [path for path in (self.pipeline / "DetectionExampleGen" / "examples").glob("*") if path.name.isdigit()]
        return sorted(found, key=lambda folder: int(folder.name), reverse=True)

    def search(self, key: str) -> pathlib.Path:
        """A search's trials, with their training states, and its results."""
        return self.root / "search" / key

    def training(self, key: str) -> pathlib.Path:
        """State of a final training that has not ended."""
        return self.root / "training" / key

    @property
    def test_logs(self) -> pathlib.Path:
        """TensorBoard's log of the evaluation on the test split."""
        return self.tensorboard / "test"

    @property
    def training_logs(self) -> pathlib.Path:
        """TensorBoard's log of the final training."""
        return self.tensorboard / "final"

    def study(self, name: str) -> pathlib.Path:
        """Trainings and results of a study of settings."""
        return self.root / "studies" / name

    def study_examples(self, fingerprint: str) -> pathlib.Path:
        """Examples that the studies train on, by the fingerprint of the dataset."""
        return self.root / "studies" / "examples" / fingerprint[:12]

    def study_logs(self, name: str) -> pathlib.Path:
        """TensorBoard's log of a study."""
        return self.tensorboard / name
