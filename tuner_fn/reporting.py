"""What a search leaves for people: TensorBoard's scalars and HParams, and the leaderboard."""

import csv
import io
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from keras_tuner.engine.trial import Trial
from tensorboard.plugins.hparams import api as hparams
from tensorboard.plugins.hparams import api_pb2, summary
from tensorboard.plugins.image import metadata as image_metadata
from tensorboard.plugins.pr_curve import summary as pr_curves

from models.evaluation import metrics
from models.training.train import EpochReport
from tuner_fn import cost_limits, objectives
from tuner_fn.early_stopping import STOPPED
from tuner_fn.oracles.configuration import INHERITED
from tuner_fn.search_space import Ranges
from tuner_fn.validation_summary import ValidationSummary

RUNG = "rung"  # the epochs that a trial trains up to
SCALARS = ("loss", "learning_rate", "AP", "AP50", "AP75", "images_per_s")
_FIRST_GROUPS = ("optimizer.", "model.")
_ABOUT_PICTURES = "Ground truth on the left, detections on the right."
_EVENTS = "events.out.tfevents.*"  # TensorBoard's files


def write_hparams_domain(logdir: str | os.PathLike[str], ranges: Ranges, metric: str) -> None:
    """Writes what TensorBoard's HParams page shows: hyperparameters with the rung, the objective, other metrics.

    The page takes one such list for all logs that are opened together, so those of earlier searches are removed: it
    shows the columns of the newest one.

    Args:
        logdir: the search's TensorBoard folder; those of other searches lie beside it.
        ranges: what is searched, as `search_space.named_space` returns.
        metric: the objective's, of `objectives.every`.
    """
    logdir = pathlib.Path(logdir)
    for older in {*logdir.glob(_EVENTS), *logdir.parent.glob(f"search_*/{_EVENTS}")}:
        older.unlink()
    columns = [api_pb2.HParamInfo(name=RUNG, display_name="rung (epochs)", differs=True)]
    for name, entry in ranges.items():
        if "choices" in entry:
            domain = hparams.Discrete(entry["choices"])
        else:
            interval = hparams.IntInterval if isinstance(entry["low"], int) else hparams.RealInterval
            domain = interval(entry["low"], entry["high"])
        # The page sorts what "differs" before the rest, and shows five columns until the user ticks more.
        columns.append(api_pb2.HParamInfo(name=name, differs=name.startswith(_FIRST_GROUPS)))
        domain.update_hparam_info(columns[-1])
    names = dict.fromkeys((metric, *objectives.COCO))
    shown = [hparams.Metric(name, display_name=f"val {objectives.get(name).text}") for name in names]
    shown.append(hparams.Metric("loss", display_name="train loss"))
    config = summary.experiment_pb(columns, [one.as_proto() for one in shown])
    with tf.summary.create_file_writer(str(logdir)).as_default(step=0):
        tf.summary.experimental.write_raw_pb(config.SerializeToString())


class TrialLog:
    """TensorBoard's log of one trial or of the final training."""

    def __init__(self, logdir: str | os.PathLike[str], values: Mapping[str, Any], name: str) -> None:
        """Opens the log and writes the hyperparameters.

        Args:
            logdir: folder of this log alone.
            values: {hyperparameter: value}; empty for none.
            name: shown as the trial's.
        """
        self.writer = tf.summary.create_file_writer(str(logdir))
        self._has_values = bool(values)
        if values:
            with self.writer.as_default():
                hparams.hparams(dict(values), trial_id=name)

    def epoch(self, report: EpochReport) -> None:
        """Writes the scalars of an epoch."""
        with self.writer.as_default(step=int(report["epoch"])):
            for name, value in report.items():
                is_shown = name in SCALARS or name in metrics.REGISTERED or name.startswith("AP50/")
                if is_shown and value == value:
                    tf.summary.scalar(name, value)
        self.writer.flush()

    def validation(self, found: ValidationSummary) -> None:
        """Writes the precision-recall curves and the pictures of a validation."""
        with self.writer.as_default(step=found.epoch):
            for name, curve in found.curves.items():
                misses = curve.num_objects - curve.true_positives
                counts = [curve.true_positives, curve.false_positives, np.zeros_like(misses), misses]
                shares = {"precision": curve.precision, "recall": curve.recall, "num_thresholds": len(misses)}
                one = pr_curves.raw_data_pb(f"val/{name}", *counts, **shares, display_name=f"val {name}, IoU 0.5")
                tf.summary.experimental.write_raw_pb(one.SerializeToString())
            for number, picture in enumerate(found.pictures, start=1):
                about = image_metadata.create_summary_metadata(display_name=None, description=_ABOUT_PICTURES)
                content = [str(picture.width).encode(), str(picture.height).encode(), picture.jpeg]
                tf.summary.write(f"val/image_{number}", tf.constant(content), metadata=about)
        self.writer.flush()

    def graph(self, graph: Any) -> None:
        """Writes a `tf.Graph` for the page of graphs."""
        with self.writer.as_default():
            tf.summary.graph(graph)
        self.writer.flush()

    def close(self, *, succeeded: bool) -> None:
        """Ends the log; the HParams page shows how the trial ended."""
        if self._has_values:
            status = api_pb2.STATUS_SUCCESS if succeeded else api_pb2.STATUS_FAILURE
            with self.writer.as_default(step=0):
                tf.summary.experimental.write_raw_pb(summary.session_end_pb(status).SerializeToString())
        self.writer.close()


def leaderboard(trials: Iterable[Trial], fidelity: str = "") -> list[dict[str, Any]]:
    """Lists the trials of a search, the best first and failed ones last.

    Args:
        trials: in the order in which they were started.
        fidelity: what all of them had less of than the final training has, but for epochs.

    Returns:
        One row a trial: rank (None where failed), trial, score (the objective), AP, AP50, epochs (those of its parent
        included), fidelity, seconds (of its own epochs), epoch_seconds (their median but for the first, which traces),
        the costs of `costs.UNITS`, status, reason (it failed or was stopped early), parent (the one it
        continued from), inherited (the one whose weights it began with) and hyperparameters.
    """
    rows = []
    for trial in trials:
        values = trial.hyperparameters.values
        done = trial.status == "COMPLETED"
        reason = (trial.message or "").strip().splitlines()[:1] or [""]
        rows.append(
            {
                "trial": trial.trial_id,
                "score": trial.score if done else None,
                **{name: _last(trial, f"val_{name}") if done else None for name in ("AP", "AP50")},
                "epochs": _last(trial, "epochs"),
                "fidelity": fidelity,
                "seconds": _last(trial, "seconds"),
                "epoch_seconds": _last(trial, "epoch_seconds"),
                **{name: _last(trial, name) for name in cost_limits.UNITS},
                "status": trial.status.lower(),
                "reason": stopped_early(values) if done else reason[0],
                "parent": values.get("tuner/trial_id"),
                "inherited": values.get(INHERITED),
                "hyperparameters": {name: value for name, value in values.items() if not name.startswith("tuner/")},
            }
        )
    rows.sort(key=lambda row: (row["score"] is None, -(row["score"] or 0.0)))
    ranked = [row for row in rows if row["score"] is not None]
    return [{"rank": number, **row} for number, row in enumerate(ranked, start=1)] + [
        {"rank": None, **row} for row in rows if row["score"] is None
    ]


def csv_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Writes rows of the leaderboard as CSV, with a column for each hyperparameter."""
    table = io.StringIO()
    names = sorted({name for row in rows for name in row["hyperparameters"]})
    writer = csv.writer(table, lineterminator="\n")
    columns = [name for name in (rows[0] if rows else {}) if name != "hyperparameters"]
    writer.writerow([*columns, *names])
    writer.writerows([*(row[c] for c in columns), *(row["hyperparameters"].get(n) for n in names)] for row in rows)
    return table.getvalue()


def stopped_early(values: Mapping[str, Any]) -> str:
    """Says after how many epochs a trial with these values was stopped; "" where it was not."""
    return f"stopped early after {values[STOPPED]} of {values['tuner/epochs']} epochs" if STOPPED in values else ""


def _last(trial: Trial, metric: str) -> float | None:
    return trial.metrics.get_last_value(metric) if trial.metrics.exists(metric) else None


def state_file(trial_dir: str | os.PathLike[str]) -> pathlib.Path:
    """Names the training state of a trial."""
    return pathlib.Path(trial_dir) / "state.npz"


def progress_fields(report: EpochReport) -> dict[str, Any]:
    """Picks from an epoch's report what a progress event of kind "epoch" carries; None where it was not validated."""
    names = {"epoch": "epoch", "loss": "loss", "map": "AP", "map50": "AP50"}
    names |= {"images_per_s": "images_per_s", "seconds": "seconds"}
    return {field: report.get(name) for field, name in names.items()}
