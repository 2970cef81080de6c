import dataclasses
import subprocess
import sys

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from data import examples

NAMES = ("person", "bicycle", "Fußgänger")


def make_record(num_boxes=2, seed=0, **changes):
    rng = np.random.default_rng(seed)
    record = examples.DetectionRecord(
        source_id="a/ü.jpg",
        encoded=b"\xff\xd8\xff rest",
        image_format="jpeg",
        height=48,
        width=64,
        boxes=np.sort(rng.random((num_boxes, 2, 2), dtype=np.float32), axis=1).reshape(-1, 4),
        labels=rng.integers(0, len(NAMES), num_boxes).astype(np.int32),
        is_crowd=rng.random(num_boxes) < 0.5,
        area_px=rng.random(num_boxes).astype(np.float32) * 100,
    )
    return dataclasses.replace(record, **changes)


def assert_equal(first, second):
    for field in dataclasses.fields(examples.DetectionRecord):
        one, other = getattr(first, field.name), getattr(second, field.name)
        if isinstance(one, np.ndarray):
            assert one.dtype == other.dtype, field.name
            np.testing.assert_array_equal(one, other, err_msg=field.name)
        else:
            assert one == other, field.name


@hypothesis.given(st.integers(0, 12), st.integers(0, 2**32 - 1))
def test_decode_inverts_encode(num_boxes, seed):
    record = make_record(num_boxes, seed)
    example = examples.encode_example(record, NAMES)
    assert_equal(examples.decode_example(example), record)
    assert_equal(examples.decode_example(example.SerializeToString()), record)


def test_tensorflow_reads_the_object_detection_apis_keys():
    tf = pytest.importorskip("tensorflow")
    record = make_record(3)
    serialized = examples.encode_example(record, NAMES).SerializeToString(deterministic=True)
    example = tf.train.Example.FromString(serialized)
    feature = example.features.feature
    assert sorted(feature) == [
        "image/encoded",
        "image/format",
        "image/height",
        "image/object/area",
        "image/object/bbox/xmax",
        "image/object/bbox/xmin",
        "image/object/bbox/ymax",
        "image/object/bbox/ymin",
        "image/object/class/label",
        "image/object/class/text",
        "image/object/is_crowd",
        "image/source_id",
        "image/width",
    ]
    assert list(feature["image/object/class/label"].int64_list.value) == [n + 1 for n in record.labels]
    assert feature["image/object/class/text"].bytes_list.value[0] == NAMES[record.labels[0]].encode()
    assert list(feature["image/object/bbox/xmin"].float_list.value) == record.boxes[:, 1].tolist()
    assert_equal(examples.decode_example(example), record)
    assert example.SerializeToString(deterministic=True) == serialized


def test_the_stored_features_are_those_of_any_encoded_record():
    features = examples.encode_example(make_record(2), NAMES).features.feature
    assert examples.stored_features() == {key: feature.WhichOneof("kind") for key, feature in features.items()}


def test_importing_and_encoding_leave_tensorflow_alone():
    code = (
        "import sys, numpy as np; from data import examples, sources;"
        "source = sources.open_source('road_scenes:train=1');"
        "examples.encode_example(source.load(source.items('train')[0]), source.class_names);"
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_other_writers_leave_out_is_filled_in():
    record = make_record(2, image_format="png", encoded=b"\x89PNG\r\n\x1a\n rest")
    example = examples.encode_example(record, NAMES)
    for key in ("image/format", "image/object/is_crowd", "image/object/area"):
        del example.features.feature[key]
    decoded = examples.decode_example(example)
    assert decoded.image_format == "png"
    assert not decoded.is_crowd.any()
    sides = (record.boxes[:, 2:] - record.boxes[:, :2]) * [48, 64]
    np.testing.assert_allclose(decoded.area_px, sides.prod(axis=1), rtol=1e-5)  # float32 corners


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_without_a_name_is_refused(label):
    record = make_record(1, labels=np.array([label], np.int32))
    with pytest.raises(ValueError, match=rf"`labels` of `a/ü.jpg` must lie in \[0, 3\): got {label}"):
        examples.encode_example(record, NAMES)


def test_arrays_that_disagree_are_refused():
    with pytest.raises(ValueError, match=r"`is_crowd` of `a/ü.jpg` needs the shape \[2\]: got \[3\]"):
        make_record(2, is_crowd=np.zeros(3, bool))


def test_a_missing_feature_is_named():
    example = examples.encode_example(make_record(), NAMES)
    del example.features.feature["image/height"]
    with pytest.raises(ValueError, match="needs one value of `image/height`: got 0. Its keys: image/encoded"):
        examples.decode_example(example)


def test_bytes_that_are_no_example_are_refused():
    with pytest.raises(ValueError, match=r"not a serialised tf.Example \(5 bytes\)"):
        examples.decode_example(b"\xff\xff\xff\xff\xff")
