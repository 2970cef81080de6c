"""`ssd-tuner data stats` of real images."""

import json

from pipeline.cli import main as command_line


def test_real_thermal_images(shared_data, tmp_path):
    """The counts are those of the dataset's README; better anchors than the preset's exist for its small objects."""
    assert (
        command_line.main(
            [
                "data",
                "stats",
                f"--dataset=coco:{shared_data / 'hituav_night_dev'}",
                "--preset=cpu",
                f"--output={tmp_path}",
            ]
        )
        == 0
    )
    report = json.loads((tmp_path / "stats.json").read_text())
    splits = report["splits"].values()
    for name, count in (("Person", 2061), ("Bicycle", 902), ("Car", 818)):
        assert sum(values["by_class"][name]["objects"] for values in splits) == count
    assert [values["images"] for values in splits] == [318, 31, 72]
    assert report["splits"]["train"]["ignored_regions"] > 0
    found = report["anchors"]["anchors"]
    for split in ("train", "val"):
        before, after = (found[name]["recall"][split]["all"]["recall"] for name in ("configured", "proposed"))
        assert after > before + 0.05
