import io
import pickle
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from data import errors, image_decoding, thermal
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
    image = image_decoding.check_image(encoded, "f")
    assert image == image_decoding.CheckedImage(encoded, image_format, coco_folder.HEIGHT, coco_folder.WIDTH)


@pytest.mark.parametrize(("image_format", "mode"), [("BMP", "RGB"), ("TIFF", "L"), ("WEBP", "RGB")])
def test_other_8_bit_formats_become_png_without_loss(image_format, mode):
    encoded = coco_folder.image_bytes(image_format=image_format, mode=mode)
    image = image_decoding.check_image(encoded, "f")
    assert (image.image_format, image.mended) == ("png", (f"{image_format} image stored as PNG",))
    np.testing.assert_array_equal(decode(encoded), decode(image.encoded))


@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_16_bit_grey_images_are_stretched_to_8_bits(image_format, order):
    pixels = (np.arange(48, dtype=np.uint16) * 900 + 3000).reshape(6, 8)
    mode = "I;16" if order == "<u2" else "I;16B"
    image = Image.frombytes(mode, (8, 6), pixels.astype(order).tobytes())
    checked = image_decoding.check_image(encode(image, image_format), "f")
    assert (checked.image_format, checked.mended) == ("png", (image_decoding.STRETCHED,))
    assert (checked.height, checked.width) == (6, 8)
    np.testing.assert_array_equal(decode(checked.encoded), thermal.stretch_to_8bit(pixels))


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", [2, 3, 4, 5, 6, 7, 8])
def test_exif_is_applied_or_ignored_as_the_user_says(image_format, orientation):
    encoded = rotated(orientation, image_format)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(encoded))))
    applied = image_decoding.check_image(encoded, "f", exif="apply")
    assert applied.image_format == "png"
    assert image_decoding.TURNED in applied.mended
    np.testing.assert_array_equal(decode(applied.encoded), upright)
    assert (applied.height, applied.width) == upright.shape[:2]
    ignored = image_decoding.check_image(encoded, "f", exif="ignore")
    assert (ignored.height, ignored.width) == (6, 8)
    assert image_decoding.TURNED not in ignored.mended
    if image_format in ("JPEG", "PNG"):
        assert (ignored.image_format, ignored.mended) == (image_format.lower(), ())
        assert image_decoding.read_orientation(Image.open(io.BytesIO(ignored.encoded))) == 1
        np.testing.assert_array_equal(decode(ignored.encoded), np.asarray(Image.open(io.BytesIO(encoded))))
    if image_format == "TIFF":
        np.testing.assert_array_equal(decode(ignored.encoded), np.arange(48).reshape(6, 8) * 5)


def test_the_stated_size_says_whether_the_boxes_are_turned():
    encoded = rotated(6)
    assert image_decoding.check_image(encoded, "f", stated_size=(8, 6)).mended == (image_decoding.TURNED,)
    stored = image_decoding.check_image(encoded, "f", stated_size=(6, 8))
    assert (stored.height, stored.width, stored.mended) == (6, 8, ())
    assert image_decoding.check_image(rotated(1), "f").mended == ()


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
    with pytest.raises(image_decoding.AmbiguousImageError, match=r"--exif=apply.*--exif=ignore"):
        image_decoding.check_image(encoded, "f", stated_size=stated_size)
    assert image_decoding.check_image(encoded, "f", stated_size=stated_size, has_boxes=False).mended == ()


def test_questions_survive_the_way_back_from_a_worker():
    error = image_decoding.AmbiguousImageError("a.jpg", "which?")
    copy = pickle.loads(pickle.dumps(error))
    assert isinstance(copy, image_decoding.AmbiguousImageError)
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
            image_decoding.read_image(path)
        assert caught.value.file == path
        assert caught.value.reason.endswith(reason)


def test_broken_metadata_does_not_make_an_image_bad():
    broken = encode(Image.new("L", (8, 6)), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert image_decoding.check_image(broken, "f").encoded == broken


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
        image_decoding.check_image(encoded, "a.jpg")
    assert caught.value.file == "a.jpg"
    assert caught.value.reason.startswith(reason)


@pytest.mark.parametrize("encoded", [JPEG, PNG], ids=["jpeg", "png"])
def test_every_truncation_is_caught(encoded):
    for length in range(len(encoded)):
        with pytest.raises(errors.BadExampleError):
            image_decoding.check_image(encoded[:length], "f")


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
            image_decoding.check_image(bytes(broken), "f")
            assert outcomes[-1]
        except errors.BadExampleError:
            assert not outcomes[-1]
    assert len(set(outcomes)) == 2


def test_a_decompression_bomb_is_bad(monkeypatch):
    pixels = coco_folder.WIDTH * coco_folder.HEIGHT
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pixels)
    image_decoding.check_image(JPEG, "f")
    for limit in (pixels - 1, pixels // 4):  # Pillow itself refuses from twice the limit on
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(errors.BadExampleError, match=f"too many pixels, at most {limit} are read"):
            image_decoding.check_image(JPEG, "f")


def test_a_missing_file_and_a_folder_are_bad(tmp_path):
    with pytest.raises(errors.BadExampleError, match="the image file does not exist"):
        image_decoding.read_image(str(tmp_path / "none.jpg"))
    with pytest.raises(errors.BadExampleError, match="the file cannot be read: Is a directory"):
        image_decoding.read_image(str(tmp_path))
