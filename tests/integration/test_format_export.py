"""Which formats are kept: real files of a real network, scored on what its SavedModel finds."""

import dataclasses

import numpy as np
import pytest
from tiny_data import CLASS_NAMES, lively_detector, scene_record

from models.export import footprint, format_export, formats, predict, saved_model

SETTINGS = {"input.image_size": 64, "model.alpha": 0.35, "model.first_stride": 8}
LEAST_SCORE = 0.5


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("models") / "1")
    saved_model.export_saved_model(lively_detector(len(CLASS_NAMES), **SETTINGS), CLASS_NAMES, folder)
    return folder


@pytest.fixture(scope="module")
def records(model_dir):
    """Makes the SavedModel's own sure detections the ground truth: its mAP is high, and whatever differs loses some."""
    scenes = [scene_record("val", index) for index in range(6)]
    found = predict.load_detector(model_dir).detect([scene.encoded for scene in scenes])
    return [_with_truth(scene, one.above(LEAST_SCORE)) for scene, one in zip(scenes, found, strict=True)]


def _with_truth(scene, found):
    count = len(found.scores)
    return dataclasses.replace(
        scene,
        boxes=found.boxes,
        labels=found.classes,
        is_crowd=np.zeros(count, bool),
        area_px=np.full(count, 1000.0, np.float32),
    )


def _export(model_dir, records, output, names, max_drop):
    return format_export.export_formats(
        model_dir,
        names,
        output,
        records=lambda: iter(records),
        class_names=CLASS_NAMES,
        calibration=lambda: (record.encoded for record in records),
        max_drop=max_drop,
    )


def test_a_format_that_loses_too_much_is_left_out_and_the_others_are_measured(model_dir, records, tmp_path):
    report = _export(model_dir, records, tmp_path, ["tflite_float32", "tflite_int8"], max_drop=1e-4)
    saved, float32, int8 = report.formats
    assert (saved.name, saved.drop, saved.kept) == (formats.SAVED_MODEL, 0.0, True)
    assert saved.map > 0.5
    assert float32.kept
    assert float32.map == pytest.approx(saved.map, abs=1e-4)
    assert float32.size_bytes == (tmp_path / float32.file).stat().st_size
    assert not int8.kept
    assert int8.drop == pytest.approx(saved.map - int8.map)
    assert int8.reason == f"its mAP is {int8.drop:.4f} below the SavedModel's, more than 0.0001"
    assert [path.name for path in tmp_path.iterdir()] == [float32.file]
    for one in report.formats:
        assert one.latency_ms > 0
        assert one.peak_memory_bytes > one.size_bytes / 2
    assert (report.num_images, report.num_calibration_images) == (6, 6)


def test_where_time_cannot_be_measured_the_files_are_kept_all_the_same(model_dir, records, tmp_path, monkeypatch):
    monkeypatch.setattr(footprint, "_TIMEOUT_S", 0.01)
    report = _export(model_dir, records, tmp_path, ["tflite_float32", "tflite_int8"], max_drop=1e-4)
    _, float32, int8 = report.formats
    assert (float32.kept, float32.latency_ms, float32.peak_memory_bytes) == (True, None, None)
    assert not int8.kept
    assert [path.name for path in tmp_path.iterdir()] == [float32.file]


@pytest.mark.parametrize(
    ("base", "found", "kept"),
    [(0.5, 0.48, True), (0.5, 0.6, True), (0.5, 0.479, False), (None, None, False), (0.5, None, False)],
)
def test_a_drop_up_to_the_limit_is_kept_and_without_ground_truth_nothing_is(base, found, kept):
    report = format_export.judge(
        formats.FormatReport("tflite_int8", map=found), formats.FormatReport("saved_model", map=base), max_drop=0.02
    )
    assert report.kept == kept
    assert bool(report.reason) == (not kept)


def test_names_of_formats_are_checked_and_sorted():
    assert formats.parse(["all"], "--formats") == tuple(formats.FORMATS)
    assert formats.parse(["tflite_int8", "tflite_float32"], "--formats") == ("tflite_float32", "tflite_int8")
    assert not any(name.endswith("_nms") for name in formats.parse(["all"], "--formats", "2x2:0.2"))
    with pytest.raises(ValueError, match="`--export=tflite_int` is not a format. Did you mean `tflite_int8`?"):
        formats.parse(["tflite_int"], "--export")
    with pytest.raises(ValueError, match="cannot be made of a model of 2x2:0.2 tiles.* Take `tflite_int8`"):
        formats.parse(["tflite_int8_nms"], "--export", "2x2:0.2")
