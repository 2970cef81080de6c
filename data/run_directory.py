"""The run directory of `--workdir`: the one place that knows what lies where in it."""

import dataclasses
import pathlib


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
        """Results as JSON and CSV."""
        return self.root / "report"

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

    def search(self, key: str) -> pathlib.Path:
        """A search's trials, with their training states, and its results."""
        return self.root / "search" / key

    def training(self, key: str) -> pathlib.Path:
        """State of a final training that has not ended."""
        return self.root / "training" / key

    @property
    def training_logs(self) -> pathlib.Path:
        """TensorBoard's log of the final training."""
        return self.tensorboard / "final"
