"""What all tests share."""

import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))  # helpers beside this file, importable from every folder

# Files that take longest, which begin first: two processes share the files, and the last to end is waited for.
LONGEST = (
    "e2e/test_pipeline.py",
    "e2e/test_review.py",
    "e2e/test_extending.py",
    "e2e/test_training.py",
    "e2e/test_notebooks.py",
    "integration/test_search.py",
    "e2e/test_export.py",
    "e2e/test_kubeflow.py",
    "integration/test_overfit.py",
    "integration/test_evaluator.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest files first."""
    here = pathlib.Path(__file__).parent
    order = {here / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


@pytest.fixture(autouse=True)
def _keras_3(monkeypatch):
    """Undoes what importing TFX in an earlier test did: tensorflow_transform switches legacy Keras on."""
    monkeypatch.delenv("TF_USE_LEGACY_KERAS", raising=False)


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """Finds the folder with real images and weights, which is not part of the project."""
    beside = pathlib.Path(__file__).parents[2] / "shared" / "data"
    folder = pathlib.Path(os.environ.get("SSD_TUNER_SHARED_DATA") or beside).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}; $SSD_TUNER_SHARED_DATA names another folder")
    return folder
