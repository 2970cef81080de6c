"""What `tuner_fn` finds out about the data before it searches."""

import pytest

from data.dataset_info import DatasetInfo
from models.hyperparameters import ExperimentConfig
from tuner_fn import tuner


@pytest.mark.parametrize(("tile", "test", "share"), [("1x1", 30, 3.0), ("2x2", 30, 12.0), ("1x1", None, 0.0)])
def test_test_images_are_whole_where_those_of_val_are_tiles(tile, test, share) -> None:
    counts = {"train": 50, "val": 10} | ({} if test is None else {"test": test})
    info = DatasetInfo("tiny", "1", ("car",), counts, counts, dict.fromkeys(counts, 0), 9)
    assert tuner._test_share(info, ExperimentConfig().replace({"input.tile": tile})) == share
