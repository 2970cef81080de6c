"""The serving check: what a fresh process finds wrong with a model; that the Pusher heeds it is in `tests/e2e`."""

import pytest

from pipeline.components import serving_check, signature_check
from tests import tiny_detector

CLASS_NAMES = ["person", "bicycle", "car"]


@pytest.fixture(scope="module")
def results():
    return tiny_detector.random_results()


@pytest.fixture(scope="module")
def tfrecord(results, tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples") / "Split-test"
    return tiny_detector.write_split(folder, tiny_detector.records_of(results), CLASS_NAMES)


def test_a_good_model_has_no_problem(results, tfrecord, tmp_path):
    model_dir = tiny_detector.export(tmp_path / "model", results, CLASS_NAMES)
    assert signature_check.find_problems(model_dir, [tfrecord]) == []


@pytest.mark.parametrize(
    ("defect", "problem"),
    [
        ("no_tensor", "the signature serving_tensor is missing; the model has serving_"),
        (
            "shifted_bytes",
            "serving_default and serving_bytes on image 1 disagree: detection_boxes differs by up",
        ),
        ("nan", "serving_default on image 1: detection_scores must be finite"),
        ("outside", r"serving_bytes on image 1: detection_boxes must lie in \[0, 1\]"),
        ("int64_classes", r"detection_classes needs int32 \[1, 5\]: got int64 \[1, 5\]"),
    ],
)
def test_each_defect_is_found(results, tfrecord, tmp_path, defect, problem):
    import re

    model_dir = tiny_detector.export(tmp_path / "model", results, CLASS_NAMES, defect)
    problems = signature_check.find_problems(model_dir, [tfrecord])
    assert re.search(problem, "\n".join(problems)), problems


def test_a_class_without_a_name_is_found(results, tfrecord, tmp_path):
    model_dir = tiny_detector.export(tmp_path / "model", results, CLASS_NAMES[:1])
    problems = signature_check.find_problems(model_dir, [tfrecord])
    assert any("detection_classes must lie in [0, 1)" in problem for problem in problems)


def test_an_empty_split_and_a_broken_model_are_found(results, tfrecord, tmp_path):
    empty = tiny_detector.write_split(tmp_path / "empty", [], CLASS_NAMES)
    model_dir = tiny_detector.export(tmp_path / "model", results, CLASS_NAMES)
    assert signature_check.find_problems(model_dir, [empty]) == ["there is no image to try: the split is empty"]
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"broken")
    (problem,) = signature_check.find_problems(model_dir, [tfrecord])
    assert problem.startswith("the SavedModel does not load: ")


def test_a_process_that_does_not_answer_or_dies_is_a_reason(monkeypatch, tmp_path):
    assert serving_check.check_in_fresh_process("absent", ["absent"], timeout_s=0.1) == ["no answer within 0.1 s"]
    dying = tmp_path / "python"
    dying.write_text("#!/bin/sh\necho 'Out of memory' >&2\nexit 137\n")
    dying.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(dying))
    (problem,) = serving_check.check_in_fresh_process("model", ["records"], timeout_s=5)
    assert problem == "the process ended with status 137: Out of memory\n"
