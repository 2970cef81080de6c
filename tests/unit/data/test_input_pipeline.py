"""The input pipeline: what is written is what is trained on, and a continued epoch sees the same batches."""

import dataclasses
import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import ExifTags, Image, ImageOps
from tiny_data import scene_record, write_split

from data import augment, examples, image_decoding, input_pipeline
from models.hyperparameters import AugmentConfig

OFF = AugmentConfig(flip_probability=0.0, crop_probability=0.0, photometric_strength=0.0)
NO_CHANGE = augment.augmentation(**dataclasses.asdict(OFF))
ALL_CHANGES = augment.augmentation(
    **dataclasses.asdict(
        AugmentConfig(
            jitter_probability=0.5,
            color_strength=0.5,
            noise_max_sigma=10.0,
            patch_probability=0.5,
            mosaic_probability=0.5,
        )
    )
)
DEFAULTS = augment.augmentation(**dataclasses.asdict(AugmentConfig()))


@pytest.fixture(scope="module")
def records() -> list[examples.DetectionRecord]:
    return [scene_record("train", index) for index in range(10)]


@pytest.fixture(scope="module")
def files(records, tmp_path_factory) -> tuple[str, ...]:
    return tuple(write_split(tmp_path_factory.mktemp("data"), "train", records))


@pytest.mark.parametrize("cache_bytes", [0, 10**9])
def test_boxes_and_labels_come_back_padded(records, files, cache_bytes) -> None:
    split = input_pipeline.load_split(files, (64, 64), 12, cache_bytes)
    assert split.length == 10
    for record, element in zip(records, split.elements, strict=True):
        image, boxes, labels = split.decode(*element) if isinstance(element, tuple) else split.decode(element)
        assert (image.shape, image.dtype) == ((64, 64, 3), tf.uint8)
        assert len(labels) == max(len(record.labels) for record in records) < 12
        count = len(record.labels)
        found = {
            (*np.round(box, 5), label) for box, label in zip(boxes.numpy()[:count], labels.numpy()[:count], strict=True)
        }
        assert found == {(*np.round(box, 5), label) for box, label in zip(record.boxes, record.labels, strict=True)}
        assert (labels.numpy()[count:] == -1).all()


def test_a_continued_training_reads_no_earlier_epoch(files) -> None:
    split = input_pipeline.load_split(files, (64, 64), 12, 0)
    serialized, read = list(split.elements.as_numpy_iterator()), []

    def records():
        for record in serialized:
            read.append(record)
            yield record

    counted = tf.data.Dataset.from_generator(records, output_signature=tf.TensorSpec([], tf.string))
    batches = input_pipeline.training_batches(
        dataclasses.replace(split, elements=counted), batch_size=5, seed=0, first_epoch=7, epochs=8, augment=NO_CHANGE
    )
    assert len(list(batches)) == 2
    assert len(read) == 10


@pytest.mark.parametrize("cache_bytes", [0, 10**9])
@pytest.mark.parametrize(
    ("share", "taken"), [(0.3, [0, 3, 6]), (0.5, range(0, 10, 2)), (0.001, [0]), (0.95, range(10))]
)
def test_a_share_of_a_split_is_spread_over_all_of_it(files, cache_bytes, share, taken) -> None:
    whole = list(input_pipeline.load_split(files, (64, 64), 12, 10**9).images(1))
    split = input_pipeline.load_split(files, (64, 64), 12, cache_bytes, share)
    found = list(split.images(1))
    assert split.length == len(found) == len(taken)
    for image, index in zip(found, taken, strict=True):
        np.testing.assert_array_equal(image, whole[index])


def test_a_share_of_tiled_images_has_all_their_tiles(files) -> None:
    """Of five images of two tiles each, every other one."""
    whole = list(input_pipeline.load_split(files, (64, 64), 12, 10**9).images(1))
    found = list(input_pipeline.load_split(files, (64, 64), 12, 10**9, 0.5, 2).images(1))
    assert len(found) == 6
    for image, index in zip(found, (0, 1, 4, 5, 8, 9), strict=True):
        np.testing.assert_array_equal(image, whole[index])


def test_of_too_many_boxes_the_largest_stay_and_crowds_are_ignored_regions(records, tmp_path) -> None:
    boxes = np.array([[0, 0, 0.1, 0.1], [0, 0, 0.9, 0.9], [0, 0, 0.5, 0.5]], np.float32)
    record = dataclasses.replace(
        records[0],
        boxes=boxes,
        labels=np.array([0, 1, 2], np.int32),
        is_crowd=np.array([False, False, True]),
        area_px=np.ones(3, np.float32),
    )
    (file,) = write_split(tmp_path, "train", [record])
    split = input_pipeline.load_split((file,), (64, 64), 2, 10**9)
    _, found, labels = next(iter(split.elements))
    assert labels.numpy().tolist() == [1, -2]
    assert found.numpy() == pytest.approx(boxes[[1, 2]])


@pytest.mark.parametrize("cache_bytes", [0, 10**9])
@pytest.mark.parametrize("changes", [DEFAULTS, ALL_CHANGES], ids=["defaults", "all"])
def test_a_continued_training_sees_the_batches_it_would_have_seen(files, cache_bytes, changes) -> None:
    split = input_pipeline.load_split(files, (64, 64), 12, cache_bytes)
    settings = {"batch_size": 4, "seed": 5, "augment": changes}
    whole = list(input_pipeline.training_batches(split, first_epoch=0, epochs=3, **settings))
    steps = input_pipeline.steps_per_epoch(10, 4)
    assert len(whole) == 3 * steps
    rest = list(input_pipeline.training_batches(split, first_epoch=2, epochs=3, **settings))
    assert len(rest) == steps
    for (images, truth), (expected_images, expected_truth) in zip(rest, whole[2 * steps :], strict=True):
        np.testing.assert_array_equal(images, expected_images)
        for name in ("gt_boxes", "gt_labels"):
            np.testing.assert_array_equal(truth[name], expected_truth[name])
    assert not np.array_equal(whole[0][0], whole[steps][0])  # another order in the next epoch


def test_a_split_smaller_than_a_batch_is_one_batch(files) -> None:
    split = input_pipeline.load_split(files, (64, 64), 12, 10**9)
    batches = input_pipeline.training_batches(split, batch_size=32, seed=0, first_epoch=0, epochs=2, augment=NO_CHANGE)
    assert [images.shape[0] for images, _ in batches] == [10, 10]


@pytest.mark.parametrize("cache_bytes", [0, 10**9], ids=["disk", "memory"])
def test_the_end_of_an_iteration_does_not_wait_for_a_tuner(files, cache_bytes) -> None:
    split = input_pipeline.load_split(files, (64, 64), 12, cache_bytes)
    settings = {"batch_size": 4, "seed": 0, "first_epoch": 0, "epochs": 1, "augment": ALL_CHANGES}
    assert split.elements.options().autotune.enabled is False
    assert input_pipeline.training_batches(split, **settings).options().autotune.enabled is False


def test_a_batch_has_room_for_its_fullest_image_and_no_more(files) -> None:
    """Matching takes time for each box, padding included."""
    split = input_pipeline.load_split(files, (64, 64), 12, 10**9)
    counts = [int((labels.numpy() != -1).sum()) for _, _, labels in split.elements]
    settings = {"seed": 5, "first_epoch": 0, "epochs": 1, "augment": NO_CHANGE}
    batches = input_pipeline.training_batches(split, batch_size=1, **settings)
    assert sorted(truth["gt_labels"].shape[1] for _, truth in batches) == sorted(max(count, 1) for count in counts)
    (together,) = input_pipeline.training_batches(split, batch_size=10, **settings)
    assert together[1]["gt_boxes"].shape == (10, max(counts), 4)
    assert int((together[1]["gt_labels"].numpy() != -1).sum()) == sum(counts)


def test_mosaics_make_room_for_more_boxes_and_join_only_where_drawn(files) -> None:
    split = input_pipeline.load_split(files, (64, 64), 12, 10**9)
    settings = {"batch_size": 5, "seed": 5, "first_epoch": 0, "epochs": 3}
    half = augment.augmentation(**dataclasses.asdict(dataclasses.replace(OFF, mosaic_probability=0.5)))
    plain = input_pipeline.training_batches(split, augment=NO_CHANGE, **settings)
    mixed = input_pipeline.training_batches(split, augment=half, **settings)
    same, counts = [], []
    for (images, truth), (mixed_images, mixed_truth) in zip(plain, mixed, strict=True):
        assert mixed_images.dtype == tf.uint8
        for index in range(5):
            same.append(np.array_equal(images[index], mixed_images[index]))
            kept, mixed_kept = (one["gt_labels"][index].numpy() != -1 for one in (truth, mixed_truth))
            counts.append(mixed_kept.sum())
            if same[-1]:
                np.testing.assert_array_equal(
                    mixed_truth["gt_boxes"][index][mixed_kept], truth["gt_boxes"][index][kept]
                )
    assert max(counts) > max((labels.numpy() != -1).sum() for _, _, labels in split.elements)
    assert 0.2 < np.mean(same) < 0.8


def turned_file(image_format, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "A camera"
    exif[ExifTags.Base.Orientation] = orientation
    pixels = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, image_format, exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize("image_format", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_file_is_turned_as_a_viewer_and_as_ingestion_turn_it(image_format, orientation) -> None:
    encoded = turned_file(image_format, orientation)
    decode = tf.function(input_pipeline.decode_upright, input_signature=[tf.TensorSpec([], tf.string)])
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(encoded))))
    served = decode(encoded).numpy()
    assert served.shape == upright.shape
    assert np.abs(served.astype(int) - upright).mean() < 2  # JPEG decoders differ a little
    for exif in ("apply", "ignore"):
        ingested = image_decoding.check_image(encoded, "f", exif=exif).encoded
        trained_on = input_pipeline.decode_pixels(ingested).numpy()
        np.testing.assert_array_equal(decode(ingested).numpy(), trained_on)


def big_endian(encoded):
    start = encoded.index(b"Exif\0\0") + 6
    tiff = b"MM\0*\0\0\0\x08" + b"\0\1" + b"\x01\x12\0\3\0\0\0\1\0\x06\0\0" + b"\0" * 4
    return (
        encoded[:start]
        + tiff.ljust(len(encoded[start : encoded.index(b"\xff\xdb")]), b"\0")
        + (encoded[encoded.index(b"\xff\xdb") :])
    )


def test_either_byte_order_is_read_and_broken_headers_turn_nothing() -> None:
    encoded = turned_file("JPEG", 3)
    assert Image.open(io.BytesIO(big_endian(encoded))).getexif()[ExifTags.Base.Orientation] == 6
    assert input_pipeline.decode_upright(big_endian(encoded)).shape == (40, 24, 3)
    start = encoded.index(b"Exif\0\0") + 6
    for junk in (b"\xff" * 12, b"II*\0\xff\xff\xff\xff", b"\0" * 12):
        broken = encoded[:start] + junk + encoded[start + len(junk) :]
        np.testing.assert_array_equal(input_pipeline.decode_upright(broken), input_pipeline.decode_pixels(broken))
