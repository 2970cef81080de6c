"""What a tracking server is shown of a run directory: every search, killed ones too, and the final model."""

import json
import re

import pytest

from data import errors, progress
from models.evaluation import coco
from pipeline.tracking import tracked_parts
from tuner_fn import reporting


def test_a_search_that_was_killed_is_shown_as_far_as_it_came(recorded) -> None:
    found = {part.key: part for part in tracked_parts.read(recorded.folder)}
    assert list(found) == ["first", "first/0000", "first/0001", "second"]
    first, trial, failed = found["first"], found["first/0000"], found["first/0001"]
    assert [first.status, trial.status, failed.status] == ["RUNNING", "FINISHED", "FAILED"]
    assert first.params["optimizer.learning_rate"] == "0.01"
    assert json.loads(first.params["search.ranges.loss.l2"]) == recorded.search["search"]["ranges"]["loss.l2"]
    assert {point.name: point.value for point in first.points} == {"trials": 2, "failed_trials": 1, "best_score": 0.5}
    assert trial.parent == failed.parent == "first"
    assert trial.params == {"loss.l2": "0.1"}
    by_epoch = [(point.step, point.value) for point in trial.all_points() if point.name == "val/AP50"]
    assert by_epoch == [(1, pytest.approx(0.3)), (2, 0.5)]
    assert {"loss", "val/AP50/big car _1", "score", "epochs", "seconds"} <= {point.name for point in trial.all_points()}
    assert failed.tags["reason"] == "NaN"


def test_a_finished_run_shows_its_final_model_with_the_search_that_it_came_from(recorded) -> None:
    recorded.finish(recorded.rows)
    found = {part.key: part for part in tracked_parts.read(recorded.folder)}
    (final,) = (part for key, part in found.items() if key.startswith("first/final/"))
    assert found["first"].status == final.status == "FINISHED"
    assert final.model == recorded.folder.serving_model / "7"  # the run directory may have moved
    values = {(point.name, point.step): point.value for point in final.points}
    assert values == {("loss", 1): 1.0, ("val/AP50", 1): 0.3, ("loss", 2): 0.5, ("test/AP50", 2): 0.4}
    assert final.tags["blessed"] == "True"


@pytest.mark.parametrize(
    ("name", "text", "note", "left"),
    [
        ("report/history.json", None, "The final model was left out: .* no usable history.json", 4),
        ("report/config.json", None, "The final model was left out: .* no usable config.json", 4),
        ("report/summary.json", '{"metrics": {}}', "report/summary.json cannot be read and was left out .KeyError", 4),
        ("report/history.json", "[1]", "report/history.json cannot be read and was left out .TypeError", 4),
        ("search/first/leaderboard.json", "[", "search/first/leaderboard.json cannot be read .* .JSONDecodeError", 2),
        ("search/first/leaderboard.json", "[{}]", "leaderboard.json cannot be read .* a row lacks rank", 2),
        ("search/first/search.json", '{"settings"', "search/first/search.json cannot be read .* .JSONDecodeError", 1),
        ("report/summary.json", "{", "report/summary.json cannot be read and was left out .JSONDecodeError", 4),
        ("report/leaderboard.json", None, "The final model was left out: .* no usable .*report/leaderboard.json", 4),
        ("report/leaderboard.json", "[", "report/leaderboard.json cannot be read and was left out .JSON", 4),
        ("search/first/search.json", None, "search/first was left out, with its final model: it has no search.json", 1),
    ],
)
def test_what_a_missing_or_damaged_file_hides_is_left_out_and_said(recorded, name, text, note, left) -> None:
    recorded.finish(recorded.rows)
    path, notes = recorded.folder.root / name, []
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    with progress.listen(lambda kind, fields: notes.append(fields["text"])):
        found = list(tracked_parts.read(recorded.folder))
    assert len(found) == left
    assert found[-1].key == "second"
    assert re.search(note, " ".join(notes))
    assert len(notes) == len({*notes})


def test_a_damaged_name_of_the_dataset_makes_no_second_experiment(recorded) -> None:
    assert tracked_parts.dataset(recorded.folder) == "coco:cars"
    recorded.folder.dataset.write_text("{")
    with pytest.raises(errors.UserError, match=r"^dataset\.json cannot be read .* Set MLFLOW_EXPERIMENT_NAME"):
        tracked_parts.dataset(recorded.folder)
    recorded.folder.dataset.unlink()
    assert tracked_parts.dataset(recorded.folder) == "unknown"


def test_a_report_older_than_the_search_does_not_count_as_its_end(recorded) -> None:
    recorded.finish(recorded.rows[:1])
    notes = []
    with progress.listen(lambda kind, fields: notes.append(fields["text"])):
        found = [part.key for part in tracked_parts.read(recorded.folder)]
    assert (found, notes) == (["first", "first/0000", "first/0001", "second"], [])


def test_of_an_epoch_that_was_trained_again_the_last_value_counts(recorded) -> None:
    log = reporting.TrialLog(recorded.folder.tensorboard / "search_1" / "trial_0000", {}, "again")
    log.epoch({"epoch": 2, "loss": 0.25})
    log.close(succeeded=True)
    trial = next(part for part in tracked_parts.read(recorded.folder) if part.key == "first/0000")
    assert [(one.step, one.value) for one in trial.all_points() if one.name == "loss"] == [(1, 1.0), (2, 0.25)]


def test_logs_of_one_second_are_read_in_the_order_in_which_they_were_begun(tmp_path) -> None:
    """TensorFlow names them by second, host, process and the number of the log in that process."""
    names = [f"events.out.tfevents.1796022013.host1.77.{number}.v2" for number in (2, 9, 10, 101)]
    for name in names:
        (tmp_path / name).touch()
    assert [path.name for path in tracked_parts._events(tmp_path)] == names


def test_a_log_that_was_cut_off_is_read_up_to_there(recorded) -> None:
    log = recorded.folder.tensorboard / "search_1" / "trial_0000"
    whole = len(list(tracked_parts.read_scalars(log)))
    (path,) = log.glob("*tfevents*")
    path.write_bytes(path.read_bytes()[:-150])
    assert 0 < len(list(tracked_parts.read_scalars(log))) < whole


def test_the_digest_changes_with_what_is_shown_and_not_with_the_time(recorded) -> None:
    recorded.finish(recorded.rows)
    before = {part.key: part.digest() for part in tracked_parts.read(recorded.folder)}
    recorded.finish(recorded.rows)
    assert {part.key: part.digest() for part in tracked_parts.read(recorded.folder)} == before
    done, failed = recorded.rows
    recorded.write_leaderboard([done | {"reason": "stopped early"}, failed])
    after = {part.key: part.digest() for part in tracked_parts.read(recorded.folder)}
    assert [key for key in after if after[key] != before[key]] == ["first", "first/0000"]


def test_coco_numbers_are_those_of_val_and_other_names_stay() -> None:
    names = ["AP", "AP50/car", "loss", "test/AP50", "AP/Bäume & Co"]
    assert [*map(tracked_parts.metric_name, names)] == [
        "val/AP",
        "val/AP50/car",
        "loss",
        "test/AP50",
        "val/AP/Bäume _ Co",
    ]
    assert all(tracked_parts.metric_name(name) == f"val/{name}" for name in coco.SUMMARY_KEYS)


def test_a_search_that_was_reported_stays_finished_when_another_one_is(recorded) -> None:
    folder = recorded.folder
    recorded.finish(recorded.rows)
    folder.mark_ended(folder.search("first"))
    done, failed = recorded.rows
    second = [done | {"score": 0.75}, failed]
    (folder.search("second") / "leaderboard.json").write_text(json.dumps(second))
    recorded.finish(second)
    folder.mark_ended(folder.search("second"))
    status = {part.key: part.status for part in tracked_parts.read(folder) if part.parent is None}
    assert status == {"first": "FINISHED", "second": "FINISHED"}
    recorded.write_leaderboard([done | {"score": 0.9}, failed])  # it continues
    status = {part.key: part.status for part in tracked_parts.read(folder) if part.parent is None}
    assert status == {"first": "RUNNING", "second": "FINISHED"}
