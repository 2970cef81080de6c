import pathlib

import pytest

from pipeline.components import last_blessed


def make_model(folder: pathlib.Path, weights: str, labels: str = "person") -> pathlib.Path:
    (folder / "variables").mkdir(parents=True)
    (folder / "assets.extra").mkdir()
    (folder / "assets.extra" / "labels.txt").write_text(labels)
    (folder / "saved_model.pb").write_text("graph")
    (folder / "variables" / "variables.data-00000-of-00001").write_text(weights)
    return folder


@pytest.fixture
def candidate(tmp_path):
    return make_model(tmp_path / "candidate", "candidate")


def test_none_was_pushed(tmp_path, candidate):
    assert last_blessed.last_model(tmp_path / "serving_model", candidate) is None


def test_the_newest_by_number_not_by_name(tmp_path, candidate):
    for version in ("999", "1000", "20"):
        make_model(tmp_path / "serving" / version, version)
    assert last_blessed.last_model(tmp_path / "serving", candidate).name == "1000"


def test_the_candidate_itself_and_what_is_no_model_are_passed_over(tmp_path, candidate):
    make_model(tmp_path / "serving" / "5", "other")
    make_model(tmp_path / "serving" / "6", "candidate")
    (tmp_path / "serving" / "7").mkdir()
    make_model(tmp_path / "serving" / "8.tmp", "half")
    make_model(tmp_path / "serving" / "9", "of other classes", "car")
    assert last_blessed.last_model(tmp_path / "serving", candidate).name == "5"
