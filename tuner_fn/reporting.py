"""What a search leaves for people: TensorBoard's scalars and HParams, and the leaderboard."""

import csv
import io
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras_tuner
import optuna
import tensorflow as tf
from keras_tuner.engine.trial import Trial
from tensorboard.plugins.hparams import api as hparams

from models.training.train import EpochReport
from tuner_fn import cost_limits
from tuner_fn.early_stopping import STOPPED
from tuner_fn.oracles.base import INHERITED
from tuner_fn.search_space import Ranges

RUNG = "rung"  # the epochs that a trial trains up to
STUDY_FILE = "study.journal"
_MOST_REASON = 2000  # characters
SCALARS = ("loss", "learning_rate", "AP", "AP50", "AP75", "images_per_s")


def write_hparams_domain(logdir: str | os.PathLike[str], ranges: Ranges) -> None:
    """Writes which hyperparameters and metrics TensorBoard's HParams page shows.

    Args:
        logdir: the search's TensorBoard folder.
        ranges: what is searched, as `search_space.named_space` returns.
    """
    columns = []
    for name, entry in ranges.items():
        if "choices" in entry:
            domain = hparams.Discrete(entry["choices"])
        else:
            interval = hparams.IntInterval if isinstance(entry["low"], int) else hparams.RealInterval
            domain = interval(entry["low"], entry["high"])
        columns.append(hparams.HParam(name, domain))
    columns.append(hparams.HParam(RUNG, display_name="rung (epochs)"))
    metrics = [hparams.Metric("AP", display_name="val AP"), hparams.Metric("AP50", display_name="val AP50")]
    with tf.summary.create_file_writer(str(logdir)).as_default():
        hparams.hparams_config(hparams=columns, metrics=metrics)


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
        if values:
            with self.writer.as_default():
                hparams.hparams(dict(values), trial_id=name)

    def epoch(self, report: EpochReport) -> None:
        """Writes the scalars of an epoch."""
        with self.writer.as_default(step=int(report["epoch"])):
            for name, value in report.items():
                if (name in SCALARS or name.startswith("AP50/")) and value == value:
                    tf.summary.scalar(name, value)
        self.writer.flush()

    def images(self, name: str, images: Any, step: int) -> None:
        """Writes uint8 images [B, H, W, 3] under a name."""
        with self.writer.as_default(step=step):
            tf.summary.image(name, images, max_outputs=len(images))
        self.writer.flush()


def leaderboard(trials: Iterable[Trial], fidelity: str = "") -> list[dict[str, Any]]:
    """Lists the trials of a search, the best first and failed ones last.

    Args:
        trials: in the order in which they were started.
        fidelity: what all of them had less of than the final training has, but for epochs.

    Returns:
        One row a trial: rank (None where failed), trial, score (the objective), AP, AP50, epochs (those of its parent
        included), fidelity, seconds (of its own epochs), the costs of `costs.UNITS`, status, reason (it failed or was
        stopped early), parent (the trial it continued from), inherited (the one whose weights it began with) and
        hyperparameters.
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


def write_study(
    path: str | os.PathLike[str], trials: Iterable[Trial], space: keras_tuner.HyperParameters, direction: str
) -> None:
    """Writes the trials as a study of Optuna, a journal file that `optuna-dashboard` opens.

    Args:
        path: of the file, which is replaced whole.
        trials: in the order in which they were started.
        space: of the search.
        direction: "max" or "min".
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    for leftover in path.parent.glob(f"{temporary.name}*"):  # of a kill: Optuna would wait for its lock file
        leftover.unlink()
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(temporary)))
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(storage=storage, study_name="search", direction=f"{direction}imize")
    distributions = {parameter.name: _distribution(parameter) for parameter in space.space}
    study.add_trials([_optuna_trial(trial, distributions) for trial in trials])
    os.replace(temporary, path)


def _distribution(parameter: Any) -> optuna.distributions.BaseDistribution:
    if hasattr(parameter, "min_value"):
        is_int = isinstance(parameter.min_value, int)
        kind = optuna.distributions.IntDistribution if is_int else optuna.distributions.FloatDistribution
        return kind(parameter.min_value, parameter.max_value, log=parameter.sampling == "log")
    return optuna.distributions.CategoricalDistribution(parameter.values)


def _optuna_trial(trial: Trial, distributions: Mapping[str, Any]) -> optuna.trial.FrozenTrial:
    values = trial.hyperparameters.values
    params = {name: value for name, value in values.items() if name in distributions}
    states = {"COMPLETED": optuna.trial.TrialState.COMPLETE, "FAILED": optuna.trial.TrialState.FAIL}
    state = states.get(trial.status, optuna.trial.TrialState.WAITING)
    if STOPPED in values:
        state = optuna.trial.TrialState.PRUNED
    epochs = values.get(STOPPED, values.get("tuner/epochs"))
    about = {"trial": trial.trial_id, "rung": epochs, "parent": values.get("tuner/trial_id")}
    about["inherited"] = values.get(INHERITED)
    about["reason"] = None if trial.message is None else trial.message[:_MOST_REASON]
    return optuna.trial.create_trial(
        state=state,
        value=trial.score if trial.status == "COMPLETED" else None,
        params=params,
        distributions={name: distributions[name] for name in params},
        user_attrs={name: value for name, value in about.items() if value is not None},
        intermediate_values={epochs: trial.score} if trial.status == "COMPLETED" else {},
    )


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
