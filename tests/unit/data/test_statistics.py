"""A dataset in numbers: cases counted by hand, and the page of charts."""

import io
import json
import weakref

import numpy as np
import pytest
from PIL import Image

from data import statistics, statistics_plot
from data.examples import DetectionRecord

NAMES = ("car", "person")


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def record(name, boxes_xywh_px, labels, is_crowd=None, size=(100, 200), grey=100):
    """Makes a grey image of size (height, width) with boxes x, y, width, height in px."""
    height, width = size
    x, y, w, h = np.array(boxes_xywh_px, np.float32).reshape(-1, 4).T
    boxes = np.stack([y / height, x / width, (y + h) / height, (x + w) / width], axis=1)
    return DetectionRecord(
        source_id=name,
        encoded=png(np.full(size, grey, np.uint8)),
        image_format="png",
        height=height,
        width=width,
        boxes=boxes.astype(np.float32),
        labels=np.array(labels, np.int32),
        is_crowd=np.zeros(len(labels), bool) if is_crowd is None else np.array(is_crowd),
        area_px=(w * h).astype(np.float32),
    )


@pytest.fixture(scope="module")
def tables():
    region = [50, 50, 20, 20]
    train = [
        record("a", [[0, 0, 40, 10], [0, 0, 20, 20], region, region], [0, 1, 0, 1], [False, False, True, True]),
        record("b", [[0, 0, 100, 100]], [0], grey=200),
        record("c", [], [], size=(50, 50), grey=0),
    ]
    return {"train": statistics.collect(iter(train)), "val": statistics.collect(iter([]))}


def test_boxes_by_class_and_split_by_hand(tables):
    train = statistics.summarise(tables, NAMES)["train"]
    assert (train["objects"], train["ignored_regions"]) == (3, 1)  # the region is one, whatever classes ignore it
    assert {name: row["objects"] for name, row in train["by_class"].items()} == {"car": 2, "person": 1}
    assert {name: row["ignored_regions"] for name, row in train["by_class"].items()} == {"car": 1, "person": 1}
    assert train["coco_sizes"] == {"small": 2, "medium": 0, "large": 1}
    assert train["by_class"]["car"]["coco_sizes"] == {"small": 1, "medium": 0, "large": 1}


def test_sizes_and_shapes_by_hand(tables):
    train = statistics.summarise(tables, NAMES)["train"]
    assert [train["side_px"][key] for key in ("p0", "p50", "p100", "mean")] == pytest.approx([20, 20, 100, 140 / 3])
    relative = [20 / (100 * 200) ** 0.5, 100 / (100 * 200) ** 0.5]
    assert [train["side_of_image"][key] for key in ("p0", "p100")] == pytest.approx(relative, abs=1e-6)
    assert [train["aspect_ratio"][key] for key in ("p0", "p100")] == pytest.approx([1, 4])
    assert train["by_class"]["person"]["aspect_ratio"]["p50"] == pytest.approx(1)


def test_images_by_hand(tables):
    train = statistics.summarise(tables, NAMES)["train"]
    assert (train["images"], train["images_without_objects"]) == (3, 1)
    assert [train["objects_per_image"][key] for key in ("p0", "p50", "p100", "mean")] == [0, 1, 2, 1]
    assert train["image_sizes_px"] == {"50x50": 1, "200x100": 2}
    assert [train["brightness"][key] for key in ("p0", "p50", "p100", "mean")] == [0, 100, 200, 100]


def test_an_image_with_nothing_but_regions_to_ignore_has_no_objects():
    table = statistics.collect([record("a", [[0, 0, 9, 9]], [0], [True])])
    assert statistics.summarise({"val": table}, NAMES)["val"]["images_without_objects"] == 1


def test_the_summary_is_json_and_an_empty_split_is_empty(tables):
    summary = statistics.summarise(tables, NAMES)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    val = summary["val"]
    assert (val["images"], val["objects"], val["image_sizes_px"], val["side_px"]) == (0, 0, {}, {})


def test_coco_sizes_change_at_the_areas_of_the_metrics():
    """pycocotools counts an object in both ranges at the very edge; here it is in the upper one."""
    areas = np.array([1, 32**2 - 1, 32**2, 96**2 - 1, 96**2])
    assert statistics.coco_size(areas).tolist() == [0, 0, 1, 1, 2]


def test_brightness_is_the_mean_luma_of_the_decoded_image():
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 255
    assert statistics.mean_brightness(png(red)) == pytest.approx(0.299 * 255, abs=0.5)
    half = np.zeros((2, 4), np.uint8)
    half[:, :2] = 200
    assert statistics.mean_brightness(png(half)) == 100


def test_records_are_read_one_at_a_time():
    alive = weakref.WeakSet()
    most = 0

    def stream():
        nonlocal most
        for number in range(50):
            one = record(str(number), [[0, 0, 10, 10]], [0], size=(20, 20))
            alive.add(one)
            most = max(most, len(alive))
            yield one

    table = statistics.collect(stream())
    assert len(table.image_sizes_px) == len(table.labels) == 50
    assert most <= 2
    assert table.image_index.tolist() == list(range(50))
    assert (table.sides_px == 10).all()


def test_rows_of_the_tables(tables):
    summary = statistics.summarise(tables, NAMES)
    rows = statistics.class_rows(summary, NAMES)
    assert [row[:7] for row in rows[:3]] == [
        ["train", "car", 2, 1, 1, 0, 1],
        ["train", "person", 1, 1, 1, 0, 0],
        ["train", "all", 3, 1, 2, 0, 1],
    ]
    assert rows[-1] == ["val", "all", 0, 0, 0, 0, 0, None, None, None]
    images = statistics.image_rows(summary)
    assert images[0] == ["train", 3, 1, "1.0", "2", "200x100 (2), 50x50 (1)", "10, 100, 190"]
    assert images[1][:4] == ["val", 0, 0, None]


@pytest.mark.parametrize("splits", [("train", "val"), ("train",), ("val",)])
def test_the_page_is_drawn_whatever_is_missing(tables, splits):
    page = statistics_plot.plot({split: tables[split] for split in splits}, NAMES, "tiny: $x_1$ & <b>")
    image = Image.open(io.BytesIO(page))
    assert (image.format, image.size) == ("PNG", (1700, 900))
    assert len(np.unique(np.asarray(image.convert("L")))) > 20


def test_of_many_classes_the_rarest_are_left_out_of_the_page_and_counted():
    boxes = [[0, 0, 10 + n, 10] for n in range(30)]
    table = statistics.collect([record("a", boxes, list(range(30)))])
    names = [f"class_{n}" for n in range(30)]
    assert statistics_plot.headline("many", {"train": table}, 30 - statistics_plot.MOST_CLASSES).endswith(
        "(train 1 images; 22 rarer classes not drawn)"
    )
    assert statistics_plot.plot({"train": table}, names, "many")
