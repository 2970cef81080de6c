import io

import numpy as np
import pytest
from PIL import Image

from data import errors, validation
from tests import coco_folder

JPEG = coco_folder.image_bytes()
PNG = coco_folder.image_bytes(image_format="PNG")


def flipped(data, position):
    return data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :]


def sixteen_bit_png():
    buffer = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 900).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("encoded", "image_format"),
    [
        (JPEG, "jpeg"),
        (coco_folder.image_bytes(mode="RGB"), "jpeg"),
        (coco_folder.image_bytes(mode="CMYK"), "jpeg"),
        (PNG, "png"),
        (coco_folder.image_bytes(image_format="PNG", mode="P"), "png"),
        (coco_folder.image_bytes(image_format="PNG", mode="RGBA"), "png"),
    ],
)
def test_jpeg_and_png_are_kept_byte_by_byte(encoded, image_format):
    image = validation.check_image(encoded, "f")
    assert image == validation.CheckedImage(encoded, image_format, coco_folder.HEIGHT, coco_folder.WIDTH)


@pytest.mark.parametrize(("image_format", "mode"), [("BMP", "RGB"), ("TIFF", "L"), ("WEBP", "RGB")])
def test_other_8_bit_formats_become_png_without_loss(image_format, mode):
    encoded = coco_folder.image_bytes(image_format=image_format, mode=mode)
    image = validation.check_image(encoded, "f")
    assert image.image_format == "png"
    before, after = (np.asarray(Image.open(io.BytesIO(data))) for data in (encoded, image.encoded))
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    ("encoded", "reason"),
    [
        (b"", "empty file (0 bytes)"),
        (b"<html>404</html>", "not an image (first bytes b'<html>40')"),
        (JPEG[:3], "the image does not decode: broken jpeg header (first bytes b'\\xff\\xd8\\xff')"),
        (JPEG[: len(JPEG) // 2], "the image does not decode: image file is truncated"),
        (JPEG[:-1], "the image does not decode: image file is truncated"),
        (PNG[: len(PNG) // 2], "the image does not decode: image file is truncated"),
        (PNG[:-1], "the image does not decode: the PNG ends before its end chunk"),
        (PNG[:-12], "the image does not decode: the PNG ends before its end chunk"),
        (flipped(PNG, len(PNG) // 2), "the image does not decode: "),
        (flipped(PNG, len(PNG) - 1), "the image does not decode: a PNG chunk has a wrong checksum"),
        (sixteen_bit_png(), "not an 8-bit image (PNG, 16 bits a channel); convert it to 8 bits"),
        (
            coco_folder.image_bytes(image_format="TIFF", mode="F"),
            "not an 8-bit image (TIFF, pixel mode F); convert it to 8 bits",
        ),
        (
            coco_folder.image_bytes(image_format="GIF"),
            "format GIF (P) is not supported; convert it to JPEG or PNG",
        ),
    ],
)
def test_broken_images_are_bad_with_their_reason(encoded, reason):
    with pytest.raises(errors.BadExampleError) as caught:
        validation.check_image(encoded, "a.jpg")
    assert caught.value.file == "a.jpg"
    assert caught.value.reason.startswith(reason)


@pytest.mark.parametrize("encoded", [JPEG, PNG], ids=["jpeg", "png"])
def test_every_truncation_is_caught(encoded):
    for length in range(len(encoded)):
        with pytest.raises(errors.BadExampleError):
            validation.check_image(encoded[:length], "f")


def test_a_decompression_bomb_is_bad(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", coco_folder.WIDTH * coco_folder.HEIGHT - 1)
    with pytest.raises(errors.BadExampleError, match="too many pixels"):
        validation.check_image(JPEG, "f")


def test_a_missing_file_and_a_folder_are_bad(tmp_path):
    with pytest.raises(errors.BadExampleError, match="the image file does not exist"):
        validation.read_image(str(tmp_path / "none.jpg"))
    with pytest.raises(errors.BadExampleError, match="the file cannot be read: Is a directory"):
        validation.read_image(str(tmp_path))


@pytest.mark.parametrize(
    ("box", "rule"),
    [
        ([1, 2, float("nan"), 4], "has a coordinate that is no number"),
        ([1, 2, float("inf"), 4], "has a coordinate that is no number"),
        ([10, 2, -5, 4], "is inverted (negative width or height)"),
        ([10, 2, 5, -4], "is inverted (negative width or height)"),
        ([10, 2, 0, 4], "has zero area"),
        ([90, 2, 5, 4], "lies outside its image of 64x48 px"),
        ([-3, 2, 10, 4], "lies outside its image of 64x48 px"),
        ([60, 40, 3, 9.5], "lies outside its image of 64x48 px"),
        ([64, 10, 0.5, 4], "has no area inside its image"),
        ([-0.5, 10, 0.5, 4], "has no area inside its image"),
    ],
)
def test_bad_boxes_make_the_example_bad(box, rule):
    good = [1, 1, 5, 5]
    with pytest.raises(errors.BadExampleError) as caught:
        validation.check_boxes(np.array([good, box]), 48, 64, "a.jpg")
    shown = ", ".join(f"{value:g}" for value in box)
    assert caught.value.reason == f"box [{shown}] (x, y, width, height in px) {rule}"


@pytest.mark.parametrize(
    ("box", "clipped"),
    [
        ([0, 0, 64, 48], [0, 0, 1, 1]),
        ([-1, -1, 33, 25], [0, 0, 0.5, 0.5]),
        ([32, 24, 33, 25], [0.5, 0.5, 1, 1]),
    ],
)
def test_boxes_up_to_one_pixel_outside_are_clipped(box, clipped):
    np.testing.assert_array_equal(validation.check_boxes(np.array([box]), 48, 64, "f"), [clipped])


def test_no_boxes_are_fine():
    assert validation.check_boxes(np.zeros((0, 4)), 48, 64, "f").shape == (0, 4)


def test_names_must_be_unique():
    validation.check_unique(["a", "b"], "train.json")
    with pytest.raises(errors.UserError, match="train.json repeats the name `a` and 1 more; names must be unique"):
        validation.check_unique(["a", "b", "a", "b", "c"], "train.json")
