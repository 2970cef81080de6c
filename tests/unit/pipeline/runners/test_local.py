"""What a run says after its components are done."""

import pytest

from data.errors import UserError
from data.run_directory import RunDirectory
from pipeline.runners import local


def test_a_search_that_was_deleted_is_named(tmp_path) -> None:
    """Its results are nowhere else, so the run cannot report what it took from the cache."""
    (tmp_path / "search" / "0a1b").mkdir(parents=True)
    assert local.find_search(RunDirectory(tmp_path), "0a1b") == tmp_path / "search" / "0a1b"
    with pytest.raises(UserError, match=rf"but {tmp_path}/search/9f, which holds it, was deleted\. Restore the folder"):
        local.find_search(RunDirectory(tmp_path), "9f")
