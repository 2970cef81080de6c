"""Files of detections, which models make, are not taken for ground truth."""

import json

import pytest

from data import errors, sources
from data.sources import base
from tests import coco_folder, format_folders
from tests.format_folders import Scene, put, write_images


def coco(root, key, scores):
    boxes = [coco_folder.annotation(0, [4 + 9 * at, 5, 6, 7]) | {key: score} for at, score in enumerate(scores)]
    return coco_folder.write(root, train=coco_folder.table(1, boxes)) / "train.json"


def bdd100k(root, key, scores):
    write_images(root, [Scene("a.jpg")])
    box = {"x1": 4, "y1": 6, "x2": 24, "y2": 18}
    labels = [{"category": "car", "box2d": box | {"x1": at}, key: score} for at, score in enumerate(scores)]
    return put(root / "det_train.json", json.dumps([{"name": "a.jpg", "labels": labels}]))


def bdd100k_older(root, key, scores):
    file = bdd100k(root, key, scores)
    (entry,) = json.loads(file.read_text())
    return put(file, json.dumps({"name": "a.jpg", "frames": [{"objects": entry["labels"]}]}))


def createml(root, key, scores):
    write_images(root, [Scene("a.jpg")])
    box = {"y": 12, "width": 20, "height": 12}
    boxes = [{"label": "car", "coordinates": box | {"x": 14 + at}, key: score} for at, score in enumerate(scores)]
    return put(root / "a.json", json.dumps([{"image": "a.jpg", "annotations": boxes}]))


def csv(root, key, scores):
    write_images(root, [Scene("a.jpg")])
    rows = [f"a.jpg,{at},5,20,30,car,{score}" for at, score in enumerate(scores)]
    header = f"filename,xmin,ymin,xmax,ymax,class,{key.title()}"
    return put(root / "train.csv", "\n".join([header, *rows, ""]))


WRITERS = [coco, bdd100k, bdd100k_older, createml, csv]


def open_as(kind, root):
    return sources.READERS[kind].open(f"{kind}:{root}", str(root), base.ReadOptions())


@pytest.mark.parametrize("key", ["score", "confidence"])
@pytest.mark.parametrize("write", WRITERS)
def test_boxes_with_scores_that_differ_are_refused(tmp_path, write, key):
    file = write(tmp_path / "set", key, [0.91, 1, 0.37])
    with pytest.raises(errors.UserError) as caught:
        open_as(write.__name__.removesuffix("_older"), tmp_path / "set")
    assert str(caught.value) == (
        f"{file}: `{key}` differs between boxes (0.91 and 1): it looks like a detection's score, and detections are not"
        f" ground truth. If these are, remove or rename `{key}` in the file."
    )


@pytest.mark.parametrize("scores", [[1.0, 1, "1"], [0.5, 0.5, 0.5], [1, 3, 2], ["", "sure", "nan"]])
@pytest.mark.parametrize("write", WRITERS)
def test_scores_that_tell_nothing_are_left_alone(tmp_path, write, scores):
    write(tmp_path / "set", "score", scores)
    source = open_as(write.__name__.removesuffix("_older"), tmp_path / "set")
    assert len(source.items("train")[0].boxes) == 3


@pytest.mark.parametrize("row", ["4,6,20,12,0.37,4,-1,-1", "4,6,20,12,4,1,0,0", "4,6,20,12,nan,4,0,0"])
def test_visdrones_rows_of_detections_or_swapped_columns_are_unusable(tmp_path, row):
    for name, content in (("a", "4,6,20,12,1,4,0,0\n"), ("b", f"4,6,20,12,0,4,0,0\n{row}\n")):
        write_images(tmp_path / "images", [format_folders.Scene(f"{name}.jpg")])
        put(tmp_path / "annotations" / f"{name}.txt", content)
    source = open_as("visdrone", tmp_path)
    good, bad = source.items("train")
    assert source.load(good).labels.tolist() == [0]
    with pytest.raises(errors.BadExampleError, match=rf"row 2 has the score {row.split(',')[4]}; VisDrone's ground"):
        source.load(bad)
