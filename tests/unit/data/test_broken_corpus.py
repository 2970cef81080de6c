"""A corpus of broken datasets: each must be found out, and nothing else be said of it."""

import io
import json
import re
import shutil
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageEnhance

from data import errors
from data.checks import findings
from tests import broken_corpus, coco_folder

FIRST, SECOND = "train/train_a.jpg", "train/train_b.jpg"


@pytest.fixture
def corpus(tmp_path):
    return broken_corpus.Corpus(tmp_path / "set")


def encode(image, image_format, **options):
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def picture(seed=77, mode="L"):
    return Image.open(io.BytesIO(coco_folder.image_bytes(seed, "PNG"))).convert(mode)


def rotated(orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return encode(picture(), "JPEG", exif=exif)


def png(width, height, depth, colour_type, rows):
    def chunk(kind, content):
        checksum = zlib.crc32(kind + content)
        return len(content).to_bytes(4, "big") + kind + content + checksum.to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([depth, colour_type, 0, 0, 0])
    return b"".join(
        [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    )


def deep_grey():
    pixels = np.asarray(picture().convert("L")).astype(np.uint16) * 50 + 20_000
    return encode(Image.fromarray(pixels), "PNG")


def as_first(encoded):
    """Replaces the first image and names it by what it is, as far as its name is free to choose."""

    def breaks(corpus):
        corpus.images[FIRST] = encoded
        if encoded.startswith(b"\x89PNG"):
            corpus.rename("train_a.jpg", "train_a.png", "train")

    return breaks


def with_box(*box):
    return lambda corpus: corpus.set_box(*box)


def with_annotation(**fields):
    return lambda corpus: corpus.tables["train"]["annotations"][0].update(fields)


def drop_class(corpus, name_id, splits):
    for split in splits:
        table = corpus.tables[split]
        table["annotations"] = [one for one in table["annotations"] if one["category_id"] != name_id]


def exif_with_size(orientation, height, width):
    def breaks(corpus):
        corpus.images[FIRST] = rotated(orientation)
        corpus.set_size(height, width)
        if height > width:
            for annotation in corpus.tables["train"]["annotations"][:2]:
                annotation["bbox"] = [4, 5, 20, 30]

    return breaks


def leave_one_unnamed(corpus):
    corpus.images["val/extra.jpg"] = coco_folder.image_bytes(99)


def follow_each_other(corpus):
    for split, first in (("train", 100), ("val", 101)):
        name = sorted(name for name in corpus.images if name.startswith(f"{split}/"))[0]
        base = np.asarray(picture(5).resize((96, 72)).convert("L"))
        corpus.images[name] = encode(Image.fromarray(base[:48, (first - 100) * 3 :][:, :64]), "JPEG")
        corpus.rename(name.split("/")[1], f"drive_{first:05d}.jpg", split)


def same_name(corpus):
    corpus.rename("train_a.jpg", "one.jpg", "train")
    corpus.rename("test_a.jpg", "one.jpg", "test")


def similar(corpus):
    darker = ImageEnhance.Brightness(Image.open(io.BytesIO(corpus.images[FIRST]))).enhance(0.8)
    corpus.images["test/test_b.jpg"] = encode(darker, "JPEG", quality=60)


def tiny_boxes(corpus):
    for annotation in corpus.tables["train"]["annotations"][:2]:
        annotation["bbox"] = [0.1, 0.2, 0.3, 0.4]


# What is broken: how, the kinds that must be found (and no others), and words of the first finding's line.
FOUND = {
    "file missing": (lambda c: c.images.pop(FIRST), ["missing_image"], "does not exist"),
    "file is a folder": (
        lambda c: (c.images.pop(FIRST), (c.root / FIRST).mkdir(parents=True)),
        ["unreadable_image"],
        "the file cannot be read: Is a directory",
    ),
    "file empty": (as_first(b""), ["empty_image"], "empty file (0 bytes)"),
    "web page saved as image": (as_first(b"<!DOCTYPE html>"), ["not_an_image"], "not an image (first bytes b'<!DOC"),
    "JPEG cut off": (lambda c: c.images.update({FIRST: c.images[FIRST][:-40]}), ["broken_image"], "truncated"),
    "JPEG of a header only": (as_first(b"\xff\xd8\xff"), ["broken_image"], "broken jpeg header"),
    "PNG cut off": (as_first(encode(picture(), "PNG")[:-6]), ["broken_image"], "ends before its end chunk"),
    "PNG with a wrong checksum": (as_first(encode(picture(), "PNG")[:-1] + b"?"), ["broken_image"], "wrong checksum"),
    "GIF named JPEG": (
        as_first(encode(picture(), "GIF")),
        ["unsupported_image", "renamed_image"],
        "GIF",
    ),
    "decompression bomb": (
        as_first(png(60_000, 60_000, 8, 0, b"")),
        ["unsupported_image"],
        "too many pixels",
    ),
    "16 bits a colour": (
        as_first(png(64, 48, 16, 2, bytes(64 * 6 + 1) * 48)),
        ["unsupported_image", "deep_image"],
        "not an 8-bit image (PNG, 16 bits a channel)",
    ),
    "16-bit grey": (as_first(deep_grey()), ["image_stretched", "deep_image"], "train_a.png"),
    "BMP named JPEG": (as_first(encode(picture(), "BMP")), ["image_rewritten", "renamed_image"], "BMP image stored"),
    "PNG named JPEG": (
        lambda c: c.images.update({FIRST: encode(picture(), "PNG")}),
        ["renamed_image"],
        "train_a.jpg: is PNG",
    ),
    "CMYK": (as_first(encode(picture(mode="CMYK"), "JPEG")), ["cmyk_image"], "JPEG, CMYK"),
    "palette": (as_first(encode(picture(mode="P"), "PNG")), ["palette_image"], "PNG, P"),
    "transparency": (as_first(encode(picture(mode="RGBA"), "PNG")), ["transparent_image"], "PNG, RGBA"),
    "turned with its boxes": (exif_with_size(6, 64, 48), ["image_turned"], "train_a.jpg"),
    "turned without its boxes": (exif_with_size(6, 48, 64), ["exif_ignored"], "orientation 6, boxes fit"),
    "upside down, who knows": (
        exif_with_size(3, 48, 64),
        ["exif_in_doubt"],
        "train_a.jpg: orientation 3",
    ),
    "turned, of another size": (
        exif_with_size(8, 480, 640),
        ["exif_in_doubt", "other_size"],
        "train_a.jpg: orientation 8",
    ),
    "one colour": (as_first(encode(Image.new("L", (64, 48), 30), "JPEG")), ["blank_image"], "train_a.jpg"),
    "image of another size": (lambda c: c.set_size(96, 128), ["other_size"], "file 64x48 px, annotation 128x96 px"),
    "image not annotated": (leave_one_unnamed, ["unnamed_image"], "extra.jpg"),
    "box outside": (with_box(60, 5, 20, 10), ["box_outside"], "box [60, 5, 20, 10]"),
    "box outside, image scaled": (
        lambda c: (c.set_size(480, 640), c.set_box(300, 50, 200, 100)),
        ["box_outside", "other_size"],
        "lies outside its image of 64x48 px",
    ),
    "box inverted": (with_box(20, 5, -10, 10), ["box_inverted"], "negative width or height"),
    "box without width": (with_box(20, 5, 0, 10), ["box_without_area"], "zero area"),
    "box on the border line": (with_box(64, 5, 1, 10), ["box_without_area"], "no area inside"),
    "box with NaN": (with_box(20, float("nan"), 5, 10), ["box_not_a_number"], "[20, nan, 5, 10]"),
    "box with infinity": (with_box(20, 5, float("inf"), 10), ["box_not_a_number"], "inf"),
    "box clipped": (with_box(50, 5, 14.6, 10), ["box_clipped"], "train_a.jpg"),
    "box twice": (
        lambda c: c.tables["val"]["annotations"].append(c.tables["val"]["annotations"][0]),
        ["duplicate_box"],
        "val_a.jpg",
    ),
    "boxes of one image as fractions": (tiny_boxes, ["box_in_fractions"], "first box [0.1, 0.2, 0.3, 0.4]"),
    "box of three numbers": (with_annotation(bbox=[1, 2, 3]), ["broken_annotation"], "four numbers"),
    "box of words": (with_annotation(bbox=["one", "2", "3", "4"]), ["broken_annotation"], "got ['one', '2', '3', '4']"),
    "box missing": (with_annotation(bbox=None), ["broken_annotation"], "got None"),
    "class unknown": (with_annotation(category_id=9), ["unknown_class"], "category_id 9, which `categories`"),
    "class without boxes": (lambda c: drop_class(c, 2, broken_corpus.NUM_IMAGES), ["empty_class"], "person"),
    "class in one split": (
        lambda c: drop_class(c, 2, ["val", "test"]),
        ["uneven_class"],
        "person: boxes: train 3, val 0, test 0",
    ),
    "annotation of no image": (with_annotation(image_id=50), ["lost_annotation"], "1 of 6 annotations name an image"),
    "same picture in two splits": (
        lambda c: c.images.update({"test/test_b.jpg": c.images[SECOND]}),
        ["same_picture"],
        "test/test_b.jpg: as train/train_b.jpg",
    ),
    "nearly the same picture in two splits": (
        similar,
        ["similar_picture"],
        "test/test_b.jpg: like train/train_a.jpg (",
    ),
    "neighbouring frames in two splits": (
        follow_each_other,
        ["neighbouring_frames"],
        "val/drive_00101.jpg: next to train/drive_00100.jpg (",
    ),
    "same picture twice in a split": (
        lambda c: c.images.update({SECOND: c.images[FIRST]}),
        ["repeated_picture"],
        "train/train_b.jpg: as train/train_a.jpg",
    ),
    "same name in two splits": (same_name, ["repeated_name"], "one.jpg: in train and test"),
}


@pytest.mark.parametrize("case", FOUND)
def test_what_is_broken_is_found_and_nothing_else(corpus, case):
    breaks, kinds, words = FOUND[case]
    breaks(corpus)
    corpus.write()
    report = corpus.check()
    assert report.findings.kinds() == kinds
    assert words in str(report.findings.examples(kinds[0])[0])
    left_out = sum(totals.num_images - totals.num_good for totals in report.totals.values())
    severity = findings.KINDS[kinds[0]].severity
    assert left_out == (severity in (findings.Severity.QUESTION, findings.Severity.QUARANTINED))
    assert report.is_usable == (left_out == 0)


def test_a_sound_dataset_has_no_findings(corpus):
    corpus.write()
    report = corpus.check()
    assert report.findings.kinds() == []
    assert report.is_usable
    assert {split: totals.num_good for split, totals in report.totals.items()} == broken_corpus.NUM_IMAGES
    assert report.totals["train"].num_boxes.tolist() == [3, 3]


def overwrite(name, content):
    return lambda corpus: (corpus.root / name).write_bytes(content)


def change(edit):
    def breaks(corpus):
        path = corpus.root / "train.json"
        table = json.loads(path.read_text())
        edit(table)
        path.write_text(json.dumps(table))

    return breaks


def shrink_all_boxes(corpus):
    for split, table in corpus.tables.items():
        for annotation in table["annotations"]:
            annotation["bbox"] = [value / 64 for value in annotation["bbox"]]
        (corpus.root / f"{split}.json").write_text(json.dumps(table))


def clear_classes(corpus):
    for split, table in corpus.tables.items():
        table.update(categories=[], annotations=[])
        (corpus.root / f"{split}.json").write_text(json.dumps(table))


# What is broken: how, and the error that opening the dataset stops with.
STOPS = {
    "JSON cut off": (
        overwrite("train.json", b'{"images": [\n  {"id": 1,'),
        r"train\.json: malformed JSON at line 2, col",
    ),
    "JSON with a missing comma": (overwrite("val.json", b'{"images": []\n "annotations": []}'), "line 2, column 2"),
    "JSON empty": (overwrite("train.json", b""), "malformed JSON at line 1, column 1"),
    "JSON in another encoding": (overwrite("train.json", '{"é": 1}'.encode("latin-1")), "not UTF-8 text at byte 2"),
    "JSON is a list": (overwrite("train.json", b"[]"), "COCO JSON is one object: got list"),
    "no images listed": (change(lambda t: t.update(images=[])), "`images` is empty"),
    "key missing": (change(lambda t: t.pop("categories")), "needs the key `categories`"),
    "no class": (clear_classes, "Dataset `.*` has no class"),
    "image id twice": (
        change(lambda t: t["images"][1].update(id=0)),
        r"train_b.jpg\) and train_a.jpg share the id",
    ),
    "image name twice": (
        change(lambda t: t["images"][1].update(file_name="train_a.jpg")),
        "repeats the name `train_a.jpg`",
    ),
    "class id twice": (change(lambda t: t["categories"][1].update(id=1)), r"`categories\[1\]` needs"),
    "annotations of another dataset": (
        change(lambda t: [one.update(image_id=one["image_id"] + 500) for one in t["annotations"]]),
        "6 of 6 annotations name an image that is not in `images`",
    ),
    "fractions where pixels are due": (shrink_all_boxes, "--box_units=normalized, or with --box_units=pixels"),
    "two splits of one name": (
        lambda c: (
            shutil.copytree(c.root / "val", c.root / "valid"),
            shutil.copy(c.root / "val.json", c.root / "valid.json"),
        ),
        "has two for val",
    ),
}


@pytest.mark.parametrize("case", STOPS)
def test_what_concerns_the_whole_dataset_stops_with_one_line(corpus, case):
    breaks, words = STOPS[case]
    corpus.write()
    breaks(corpus)
    with pytest.raises(errors.UserError) as caught:
        corpus.check()
    assert re.search(words, str(caught.value))
    assert "\n" not in str(caught.value)


def test_the_corpus_is_large_enough():
    assert len(FOUND) + len(STOPS) >= 50
