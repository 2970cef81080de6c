import _compression
import gzip
import struct
import threading
import tracemalloc

import google_crc32c
import pytest

from data import errors, label_map, tfrecord_files

# What tf.io.TFRecordWriter of TensorFlow 2.21 wrote for b"some bytes".
GOLDEN = bytes.fromhex("0a00000000000000aea3bf3a736f6d6520627974657372d80a4d")


def write(path, records, compressed=False):
    content = b"".join(map(tfrecord_files.frame, records))
    path.write_bytes(gzip.compress(content) if compressed else content)
    return str(path)


def test_frames_are_those_tensorflow_writes():
    assert tfrecord_files.frame(b"some bytes") == GOLDEN


def test_the_checksum_of_a_frame_is_masked_crc32c():
    crc = google_crc32c.value(b"x")
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    assert tfrecord_files.frame(b"x")[-4:] == struct.pack("<I", masked)


@pytest.mark.parametrize("compressed", [False, True])
def test_every_record_is_found_and_read_in_any_order(tmp_path, compressed):
    records = [bytes([n]) * n * 1000 for n in range(20)]
    path = write(tmp_path / "f", records, compressed)
    assert tfrecord_files.is_gzip(path) is compressed
    found = list(tfrecord_files.scan(path, compressed))
    assert [record.data for record in found] == records
    for number in (19, 0, 7, 7, 8, 3):
        place = found[number]
        assert tfrecord_files.read(path, place.offset, place.length, compressed) == records[number]


def test_threads_that_read_forwards_never_unpack_from_the_start_again(tmp_path, monkeypatch):
    path = write(tmp_path / "f", [b"%04d" % number for number in range(40)], compressed=True)
    places = list(tfrecord_files.scan(path, True))
    rewinds, failures, turn = [], [], threading.Barrier(2, timeout=20)
    monkeypatch.setattr(_compression.DecompressReader, "_rewind", lambda self: rewinds.append(self))

    def read(numbers):
        for number in numbers:
            turn.wait()  # the two take turns, one at the start of the file, one in its middle
            if tfrecord_files.read(path, places[number].offset, places[number].length, True) != b"%04d" % number:
                failures.append(number)

    threads = [threading.Thread(target=read, args=(range(start, start + 20),)) for start in (0, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rewinds == failures == []


def test_a_plain_file_whose_first_length_looks_like_gzip_is_plain(tmp_path):
    assert tfrecord_files.is_gzip(write(tmp_path / "f", [bytes(0x088B1F)])) is False


def test_an_empty_file_has_no_records(tmp_path):
    path = write(tmp_path / "f", [])
    assert list(tfrecord_files.scan(path, tfrecord_files.is_gzip(path))) == []


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("cut", [1, 4, 10, 15, 26, 30])
def test_a_file_that_ends_within_a_record_is_an_error_with_file_and_byte(tmp_path, compressed, cut):
    content = tfrecord_files.frame(b"first") + tfrecord_files.frame(b"x" * 100)  # 21 bytes, then 116
    content = content[: 21 + cut]
    path = tmp_path / "f"
    path.write_bytes(gzip.compress(content) if compressed else content)
    with pytest.raises(errors.UserError, match=rf"{path}: the file ends within the record at byte 21; what"):
        list(tfrecord_files.scan(path, compressed))


def test_gzip_data_that_is_cut_off_or_damaged_is_an_error(tmp_path):
    import random

    path = tmp_path / "f"
    whole = gzip.compress(b"".join(tfrecord_files.frame(random.Random(n).randbytes(5000)) for n in range(5)))
    path.write_bytes(whole[:12000])
    with pytest.raises(errors.UserError, match=r"the file ends within the record at byte \d+"):
        list(tfrecord_files.scan(path, True))
    path.write_bytes(whole[:9000] + b"\xff" * 50 + whole[9050:])
    try:
        bad = [record for record in tfrecord_files.scan(path, True) if record.data is None]
    except errors.UserError as error:
        bad = [error]
    assert bad


def test_a_damaged_length_ends_the_file_and_damaged_bytes_lose_one_record(tmp_path):
    path = tmp_path / "f"
    content = bytearray(b"".join(map(tfrecord_files.frame, [b"first", b"second", b"third"])))
    content[21 + 13] ^= 1
    path.write_bytes(content)
    assert [record.data for record in tfrecord_files.scan(path, False)] == [b"first", None, b"third"]
    with pytest.raises(errors.BadExampleError, match="record at byte 21: its bytes do not match their checksum"):
        tfrecord_files.read(str(path), 21, 6, False)
    content[21 + 1] ^= 1
    path.write_bytes(content)
    with pytest.raises(errors.UserError, match="a damaged length within the record at byte 21"):
        list(tfrecord_files.scan(path, False))


def test_what_is_no_tfrecord_file_is_an_error(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"\xff\xd8\xff\xe0 a JPEG file")
    with pytest.raises(errors.UserError, match="no TFRecord file: neither a record nor GZIP data at byte 0"):
        tfrecord_files.is_gzip(path)
    with pytest.raises(errors.UserError, match="the file cannot be read: No such file"):
        tfrecord_files.is_gzip(tmp_path / "none")


@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_that_went_or_changed_is_a_bad_example(tmp_path, compressed):
    path = write(tmp_path / "f", [b"first", b"second"], compressed)
    assert tfrecord_files.read(path, 0, 5, compressed) == b"first"
    write(tmp_path / "f", [b"x" * 50], compressed)
    with pytest.raises(errors.BadExampleError, match="record at byte 21: "):
        tfrecord_files.read(path, 21, 6, compressed)
    (tmp_path / "f").unlink()
    with pytest.raises(errors.BadExampleError, match="it cannot be read"):
        tfrecord_files.read(path, 0, 5, compressed)


def test_label_maps_are_read_as_others_write_them(tmp_path):
    path = tmp_path / "label_map.pbtxt"
    path.write_text(
        "# classes\n"
        "item { id: 0 name: 'background' }\n"
        'item: {\n  name: "/m/01g317"\n  id: 2\n  display_name: "person"\n  frequency: FREQUENT\n}\n'
        "item { id: 1 name: 'it\\'s', keypoints { id: 3 label: 'nose' } }\n"
    )
    assert label_map.read(path) == {1: ("it's",), 2: ("person", "/m/01g317")}


def test_written_label_maps_are_read_back(tmp_path):
    names = ["person", "it's", 'a "b"', "straße"]
    (tmp_path / "f").write_text(label_map.to_text(names), encoding="utf-8")
    assert label_map.read(tmp_path / "f") == {n: (name,) for n, name in enumerate(names, start=1)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("item { id: 1 name: 'a' } item { id: 1 name: 'b' }", "item 2 needs a `name` and an `id` of its own"),
        ("item { name: 'a' }", "item 1 needs a `name` and an `id` of its own"),
        ("item { id: 'x' }", "no label map: 1:12"),
        ("item { id: 1 name: 'a'", "no label map: "),
    ],
)
def test_a_broken_label_map_is_an_error(tmp_path, text, message):
    (tmp_path / "f").write_text(text)
    with pytest.raises(errors.UserError, match=message):
        label_map.read(tmp_path / "f")


def test_a_record_that_would_fill_the_memory_is_refused_before_it_is_unpacked(tmp_path):
    """8 GB of zeros are 8 MB of GZIP; the header alone tells it."""
    header = struct.pack("<Q", 8 << 30)
    header += tfrecord_files._checksum(header)
    path = tmp_path / "bomb.record.gz"
    path.write_bytes(gzip.compress(header + bytes(1 << 20)))
    tracemalloc.start()
    with pytest.raises(errors.UserError, match=r"a length of 8589934592 bytes, which no image has, within the record"):
        list(tfrecord_files.scan(path, compressed=True))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
