"""MLflow's copy of a run directory: a search that continues is the same run, and nothing is written twice."""

import os
import socket

import pytest

from data import progress
from pipeline.tracking import follow, mlflow_store


def runs_of(client, experiment: str) -> dict:
    (found,) = client.search_experiments(filter_string=f"name = '{experiment}'")
    return {run.info.run_name: run for run in client.search_runs([found.experiment_id])}


def test_a_search_that_goes_on_stays_the_same_run_and_no_value_is_written_twice(
    recorded, monkeypatch, tmp_path
) -> None:
    monkeypatch.chdir(tmp_path)
    first = mlflow_store.export(recorded.folder)
    assert (first.experiment, first.runs, first.written) == ("ssd-tuner coco:cars", 4, 4)
    again = mlflow_store.export(recorded.folder)
    assert (again.runs, again.written) == (4, 0)
    import mlflow

    client = mlflow.MlflowClient(first.uri)
    before = runs_of(client, first.experiment)
    done, failed = recorded.rows
    third = done | {"trial": "0002", "score": 0.7, "parent": "0000"}
    recorded.write_leaderboard([third, done | {"seconds": 10.0}, failed])
    later = mlflow_store.export(recorded.folder)
    assert (later.runs, later.written) == (5, 3)  # the search, the new trial and the one that was longer
    after = runs_of(client, first.experiment)
    assert {name: after[name].info.run_id for name in before} == {name: run.info.run_id for name, run in before.items()}
    search = after["demo search_1"]
    assert search.data.metrics["best_score"] == 0.7
    assert [one.step for one in client.get_metric_history(search.info.run_id, "trials")] == [2, 3]
    trial = after["trial 0000"]
    assert trial.data.tags["mlflow.parentRunId"] == search.info.run_id
    assert [one.value for one in client.get_metric_history(trial.info.run_id, "val/AP50")] == [pytest.approx(0.3), 0.5]
    assert [one.value for one in client.get_metric_history(trial.info.run_id, "seconds")] == [9.0, 10.0]
    assert after["trial 0001"].info.status == "FAILED"
    assert {path.name for path in tmp_path.iterdir()} == {"demo"}  # neither mlruns nor mlflow.db beside it


def test_a_run_that_is_done_again_adds_no_value_to_its_final_model(recorded) -> None:
    recorded.finish(recorded.rows)
    (recorded.folder.serving_model / "7").rename(recorded.folder.root / "gone")
    first = mlflow_store.export(recorded.folder)
    import mlflow

    client = mlflow.MlflowClient(first.uri)
    for name, time_s in (("history.json", 2_000_000_000), ("summary.json", 2_000_000_000)):
        os.utime(recorded.folder.report / name, (time_s, time_s))
    (recorded.folder.report / "report.html").write_text("<p>another page</p>")
    assert mlflow_store.export(recorded.folder).written == 1
    final = runs_of(client, first.experiment)["final model"].info.run_id
    assert [one.value for one in client.get_metric_history(final, "loss")] == [1.0, 0.5]
    assert [one.value for one in client.get_metric_history(final, "test/AP50")] == [0.4]


def test_a_part_that_has_changed_costs_no_request_for_each_metric_of_its_log(recorded, monkeypatch) -> None:
    first = mlflow_store.export(recorded.folder)
    import mlflow

    client, asked = mlflow.MlflowClient(first.uri), []
    history = mlflow.MlflowClient.get_metric_history
    with monkeypatch.context() as changed:
        changed.setattr(
            mlflow.MlflowClient,
            "get_metric_history",
            lambda own, run_id, name: asked.append(name) or history(own, run_id, name),
        )
        done, failed = recorded.rows
        recorded.write_leaderboard([done | {"reason": "stopped early"}, failed])
        assert mlflow_store.export(recorded.folder).written == 1
    assert sorted(asked) == ["epochs", "score", "seconds"]
    trial = runs_of(client, first.experiment)["trial 0000"].info.run_id
    assert [one.value for one in client.get_metric_history(trial, "loss")] == [1.0, 0.5]  # sent again, and there once


def test_a_server_that_is_away_is_warned_of_once(recorded, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{one.getsockname()[1]}"  # bound, and nobody listens
        notes = []
        with (
            progress.listen(lambda kind, fields: notes.append(fields["text"]) if kind == "note" else None),
            pytest.raises(KeyError, match="stands for"),
            follow.follow(recorded.folder, uri),
        ):
            for number in (1, 2):
                progress.emit("trial", state="started", number=number)
            raise KeyError("stands for what ends a run")
        (text,) = notes
        assert text.startswith(f"Warning: MLflow at {uri} cannot be used: ")
        recorded.finish(recorded.rows)
        with (
            progress.listen(lambda kind, fields: notes.append(fields["text"]) if kind == "note" else None),
            follow.follow(recorded.folder, uri),
        ):
            progress.emit("trial", state="started", number=1)
        assert len(notes) == 2  # once more in another run, and not again at its end
        assert f"Export it later by `ssd-tuner mlflow {recorded.folder.root} --tracking_uri={uri}`." in text
