import io
import pickle
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from data import errors, example_rules, thermal
from tests import coco_folder

JPEG = coco_folder.image_bytes()
PNG = coco_folder.image_bytes(image_format="PNG")


def flipped(data, position):
    return data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :]


def encode(image, image_format, **options):
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def decode(encoded):
    return np.asarray(Image.open(io.BytesIO(encoded)))


def png_chunk(kind, content):
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


def sixteen_bit_rgb_png():
    header = (8).to_bytes(4, "big") * 2 + bytes([16, 2, 0, 0, 0])
    rows = zlib.compress((b"\0" + bytes(range(48))) * 8)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")


def rotated(orientation, image_format="JPEG", size=(8, 6)):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    pixels = np.arange(size[0] * size[1], dtype=np.uint8).reshape(size[::-1]) * 5
    return encode(Image.fromarray(pixels), image_format, exif=exif)


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
    image = example_rules.check_image(encoded, "f")
    assert image == example_rules.CheckedImage(encoded, image_format, coco_folder.HEIGHT, coco_folder.WIDTH)


@pytest.mark.parametrize(("image_format", "mode"), [("BMP", "RGB"), ("TIFF", "L"), ("WEBP", "RGB")])
def test_other_8_bit_formats_become_png_without_loss(image_format, mode):
    encoded = coco_folder.image_bytes(image_format=image_format, mode=mode)
    image = example_rules.check_image(encoded, "f")
    assert (image.image_format, image.mended) == ("png", (f"{image_format} image stored as PNG",))
    np.testing.assert_array_equal(decode(encoded), decode(image.encoded))


@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_16_bit_grey_images_are_stretched_to_8_bits(image_format, order):
    pixels = (np.arange(48, dtype=np.uint16) * 900 + 3000).reshape(6, 8)
    mode = "I;16" if order == "<u2" else "I;16B"
    image = Image.frombytes(mode, (8, 6), pixels.astype(order).tobytes())
    checked = example_rules.check_image(encode(image, image_format), "f")
    assert (checked.image_format, checked.mended) == ("png", (example_rules.STRETCHED,))
    assert (checked.height, checked.width) == (6, 8)
    np.testing.assert_array_equal(decode(checked.encoded), thermal.stretch_to_8bit(pixels))


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", [2, 3, 4, 5, 6, 7, 8])
def test_exif_is_applied_or_ignored_as_the_user_says(image_format, orientation):
    encoded = rotated(orientation, image_format)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(encoded))))
    applied = example_rules.check_image(encoded, "f", exif="apply")
    assert applied.image_format == "png"
    assert example_rules.TURNED in applied.mended
    np.testing.assert_array_equal(decode(applied.encoded), upright)
    assert (applied.height, applied.width) == upright.shape[:2]
    ignored = example_rules.check_image(encoded, "f", exif="ignore")
    assert (ignored.height, ignored.width) == (6, 8)
    assert example_rules.TURNED not in ignored.mended
    if image_format in ("JPEG", "PNG"):
        assert (ignored.image_format, ignored.mended) == (image_format.lower(), ())
        assert example_rules.read_orientation(Image.open(io.BytesIO(ignored.encoded))) == 1
        np.testing.assert_array_equal(decode(ignored.encoded), np.asarray(Image.open(io.BytesIO(encoded))))
    if image_format == "TIFF":
        np.testing.assert_array_equal(decode(ignored.encoded), np.arange(48).reshape(6, 8) * 5)


def test_the_stated_size_says_whether_the_boxes_are_turned():
    encoded = rotated(6)
    assert example_rules.check_image(encoded, "f", stated_size=(8, 6)).mended == (example_rules.TURNED,)
    stored = example_rules.check_image(encoded, "f", stated_size=(6, 8))
    assert (stored.height, stored.width, stored.mended) == (6, 8, ())
    assert example_rules.check_image(rotated(1), "f").mended == ()


@pytest.mark.parametrize(
    ("encoded", "stated_size"),
    [
        (rotated(6), None),
        (rotated(6), (600, 800)),
        (rotated(6, size=(8, 8)), (8, 8)),
        (rotated(3), (6, 8)),
    ],
    ids=["no size", "another size", "square", "upside down"],
)
def test_a_doubtful_orientation_is_asked_about_only_where_boxes_depend_on_it(encoded, stated_size):
    with pytest.raises(example_rules.AmbiguousImageError, match=r"--exif=apply.*--exif=ignore"):
        example_rules.check_image(encoded, "f", stated_size=stated_size)
    assert example_rules.check_image(encoded, "f", stated_size=stated_size, has_boxes=False).mended == ()


def test_questions_survive_the_way_back_from_a_worker():
    error = example_rules.AmbiguousImageError("a.jpg", "which?")
    copy = pickle.loads(pickle.dumps(error))
    assert isinstance(copy, example_rules.AmbiguousImageError)
    assert (copy.file, copy.reason) == ("a.jpg", "which?")


def test_a_missing_file_is_told_with_what_is_there(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a_1.jpg").touch()
    (tmp_path / "photos" / "b.jpg").symlink_to(tmp_path / "gone.jpg")
    monkeypatch.chdir(tmp_path)
    for path, reason in (
        ("photos/a_2.jpg", f"does not exist (`{tmp_path}/photos/a_2.jpg`); the nearest is `a_1.jpg`"),
        (f"{tmp_path}/photos/zzz.png", "the image file does not exist"),
        (f"{tmp_path}/other/a_1.jpg", "the image file does not exist, nor does its folder"),
        (f"{tmp_path}/photos/b.jpg", f"the image file does not exist: it is a link to `{tmp_path}/gone.jpg`"),
    ):
        with pytest.raises(errors.BadExampleError) as caught:
            example_rules.read_image(path)
        assert caught.value.file == path
        assert caught.value.reason.endswith(reason)


def test_broken_metadata_does_not_make_an_image_bad():
    broken = encode(Image.new("L", (8, 6)), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert example_rules.check_image(broken, "f").encoded == broken


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
        (sixteen_bit_rgb_png(), "not an 8-bit image (PNG, 16 bits a channel); convert it to 8 bits"),
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
        example_rules.check_image(encoded, "a.jpg")
    assert caught.value.file == "a.jpg"
    assert caught.value.reason.startswith(reason)


@pytest.mark.parametrize("encoded", [JPEG, PNG], ids=["jpeg", "png"])
def test_every_truncation_is_caught(encoded):
    for length in range(len(encoded)):
        with pytest.raises(errors.BadExampleError):
            example_rules.check_image(encoded[:length], "f")


def test_the_reduced_decoding_fails_where_the_whole_one_does():
    rng = np.random.default_rng(0)
    outcomes = []
    for _ in range(300):
        broken = bytearray(JPEG)
        broken[rng.integers(2, len(JPEG))] = rng.integers(256)  # behind the first marker, which is asked for first
        try:
            Image.open(io.BytesIO(broken)).load()
            outcomes.append(True)
        except Exception:  # whatever Pillow raises
            outcomes.append(False)
        try:
            example_rules.check_image(bytes(broken), "f")
            assert outcomes[-1]
        except errors.BadExampleError:
            assert not outcomes[-1]
    assert len(set(outcomes)) == 2


def test_a_decompression_bomb_is_bad(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", coco_folder.WIDTH * coco_folder.HEIGHT - 1)
    with pytest.raises(errors.BadExampleError, match="too many pixels, at most 6142 are read"):
        example_rules.check_image(JPEG, "f")


def test_a_missing_file_and_a_folder_are_bad(tmp_path):
    with pytest.raises(errors.BadExampleError, match="the image file does not exist"):
        example_rules.read_image(str(tmp_path / "none.jpg"))
    with pytest.raises(errors.BadExampleError, match="the file cannot be read: Is a directory"):
        example_rules.read_image(str(tmp_path))


@pytest.mark.parametrize(
    ("box", "rule"),
    [
        ([1, 2, float("nan"), 4], "has a coordinate that is not a number"),
        ([1, 2, float("inf"), 4], "has a coordinate that is not a number"),
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
        example_rules.check_boxes(np.array([good, box]), 48, 64, "a.jpg")
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
    np.testing.assert_array_equal(example_rules.check_boxes(np.array([box]), 48, 64, "f"), [clipped])


def test_no_boxes_are_fine():
    assert example_rules.check_boxes(np.zeros((0, 4)), 48, 64, "f").shape == (0, 4)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_huge_and_infinite_numbers_are_bad_boxes_not_warnings(value):
    for box in ([value, -value, value, 1], [-value, 0, value, 1]):
        assert len(example_rules.broken_boxes(np.array([box]), 48, 64)) == 1
        example_rules.mend_boxes(np.array([box]), [0], [False], 48, 64)


def test_all_broken_boxes_are_found_each_once():
    boxes = np.array([[1, 1, 5, 5], [9, 2, -5, 4], [90, 2, 0, 4], [1, 1, 0, 0], [0, 0, np.nan, 1]])
    found = example_rules.broken_boxes(boxes, 48, 64)
    assert [(box.kind, box.row) for box in found] == [
        ("box_not_a_number", 4),
        ("box_inverted", 1),
        ("box_without_area", 2),
        ("box_without_area", 3),
    ]


def test_exact_duplicates_go_and_others_stay():
    box, near = [4, 5, 20, 10], [4, 5, 20, 10.001]
    keep, mended = example_rules.mend_boxes(
        np.array([box, box, near, box, box]), [0, 0, 0, 1, 0], [False, False, False, False, True], 48, 64
    )
    assert keep.tolist() == [0, 2, 3, 4]
    assert mended == (example_rules.DUPLICATE,)


@pytest.mark.parametrize(
    ("overhang_px", "mended"),
    [(0.0, ()), (0.005, ()), (0.5, (example_rules.CLIPPED,)), (1.0, (example_rules.CLIPPED,)), (1.1, ())],
)
def test_clipping_counts_from_more_than_rounding_to_the_tolerance(overhang_px, mended):
    assert example_rules.mend_boxes(np.array([[0, 0, 64 + overhang_px, 48]]), [0], [False], 48, 64)[1] == mended


def test_no_boxes_have_nothing_to_mend():
    keep, mended = example_rules.mend_boxes(np.zeros((0, 4)), [], [], 48, 64)
    assert keep.shape == (0,)
    assert mended == ()


def test_names_must_be_unique():
    example_rules.check_unique(["a", "b"], "train.json")
    with pytest.raises(errors.UserError, match="train.json repeats the name `a` and 1 more; names must be unique"):
        example_rules.check_unique(["a", "b", "a", "b", "c"], "train.json")
