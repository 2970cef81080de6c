import pickle

import numpy as np
import pytest

from data import errors, progress, tfrecord_files
from data.sources import base, tfds_builder, tfds_layout
from tests import coco_folder

tfds = pytest.importorskip("tensorflow_datasets")
array_record_module = pytest.importorskip("array_record.python.array_record_module")

# Which features of TFDS' own datasets are what, as their builders declare them.
LAYOUTS = {
    "voc/2007": ("image", "objects/bbox", "objects/label", ("objects/is_difficult",), None, "aeroplane", 20),
    "coco/2017": ("image", "objects/bbox", "objects/label", ("objects/is_crowd",), "objects/area", "0", 80),
    "kitti": ("image", "objects/bbox", "objects/type", (), None, "Car", 8),
    "wider_face": ("image", "faces/bbox", None, ("faces/invalid",), None, "face", 1),
    "open_images_v4": ("image", "bobjects/bbox", "bobjects/label", ("bobjects/is_group_of",), None, "/m/011k07", 601),
    "lvis": ("image", "objects/bbox", "objects/label", (), "objects/area", "aerosol_can", 1203),
    "bccd": ("image", "objects/bbox", "objects/label", (), None, "RBC", 3),
    "cars196": ("image", "bbox", "label", (), None, "AM General Hummer SUV 2000", 196),
    "stanford_dogs": ("image", "objects/bbox", "label", (), None, "0", 120),
    "oxford_iiit_pet": ("image", "head_bbox", "label", (), None, "Abyssinian", 37),
}
MOCKED = ("voc/2007", "coco/2017", "kitti", "wider_face")
NUM_EXAMPLES = 3


def find(builder, objects=None):
    return tfds_layout.find_layout(builder.info.features, builder.name, f"tfds:{builder.name}", objects)


@pytest.mark.parametrize("name", LAYOUTS)
def test_boxes_and_classes_are_found_among_the_features_of_real_datasets(name, tmp_path):
    found = find(tfds.builder(name, data_dir=tmp_path))
    values = (found.image, found.boxes, found.label, found.ignore, found.area)
    assert (*values, found.class_names[0], len(found.class_names)) == LAYOUTS[name]


def test_several_features_with_boxes_raise_a_question(tmp_path):
    builder = tfds.builder("waymo_open_dataset", data_dir=tmp_path)
    with pytest.raises(
        errors.UserError, match=r"camera_FRONT/labels, .* Choose one with tfds:waymo_open_dataset,objects="
    ):
        find(builder)
    found = find(builder, "camera_FRONT/labels")
    assert (found.image, found.label) == ("camera_FRONT/image", "camera_FRONT/labels/type")
    with pytest.raises(errors.UserError, match="no boxes in `camera_front/labels`. Did you mean `camera_FRONT/labels`"):
        find(builder, "camera_front/labels")


def test_a_dataset_without_boxes_is_an_error(tmp_path):
    with pytest.raises(errors.UserError, match="mnist has no feature with boxes; it has image, label"):
        find(tfds.builder("mnist", data_dir=tmp_path))


def mock_examples(builder):
    """Makes examples of TFDS mock data with JPEG bytes and sound boxes, by the dataset's own features."""
    with tfds.testing.mock_data(num_examples=NUM_EXAMPLES, policy=tfds.testing.MockPolicy.USE_CODE):
        mocked = list(tfds.as_numpy(tfds.builder(builder.info.full_name.rsplit("/", 1)[0]).as_dataset(split="train")))
    boxes_key, key = find(builder).boxes.split("/")
    for number, example in enumerate(mocked):
        example["image"] = coco_folder.image_bytes(number, mode="RGB")
        objects = {name: values[:4] for name, values in example[boxes_key].items()}
        corners = np.sort(objects[key].reshape(-1, 2, 2), axis=1).reshape(-1, 4)
        objects[key] = [tfds.features.BBox(*map(float, box)) for box in corners]
        example[boxes_key] = objects
    return mocked


def prepare(builder, root, examples, splits=("train", "validation"), file_format="tfrecord"):
    """Writes examples as TFDS keeps prepared data."""
    features = builder.info.features
    folder = root / builder.info.full_name
    folder.mkdir(parents=True)
    serialized = [features.serialize_example(features.encode_example(example)) for example in examples]
    infos = []
    for split in splits:
        template = tfds.core.ShardedFileTemplate(
            data_dir=folder, dataset_name=builder.name, split=split, filetype_suffix=file_format
        )
        info = tfds.core.SplitInfo(name=split, shard_lengths=[len(examples)], num_bytes=1, filename_template=template)
        infos.append(info)
        (path,) = info.filepaths
        if file_format == "tfrecord":
            path.write_bytes(b"".join(map(tfrecord_files.frame, serialized)))
        else:
            writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")
            for each in serialized:
                writer.write(each)
            writer.close()
    tfds.folder_dataset.write_metadata(
        data_dir=folder, features=features, split_infos=infos, filename_template=None, check_data=False
    )
    return folder


def open_named(name, root, **options):
    spec = ",".join([name, f"data_dir={root}", *(f"{key}={value}" for key, value in options.items())])
    return tfds_builder.TfdsSource.open(f"tfds:{name}", spec, base.ReadOptions())


@pytest.mark.parametrize("name", MOCKED)
def test_mock_data_of_real_datasets_are_read_as_tfds_reads_them(name, tmp_path):
    builder = tfds.builder(name, data_dir=tmp_path)
    prepare(builder, tmp_path, mock_examples(builder))
    source = open_named(name, tmp_path)
    assert source.splits == ("train", "val")
    skip = {"image": tfds.decode.SkipDecoding()}
    theirs = list(tfds.as_numpy(tfds.builder(name, data_dir=tmp_path).as_dataset(split="train", decoders=skip)))
    ours = [source.load(item) for item in source.items("train")]
    assert len(ours) == len(theirs) == NUM_EXAMPLES
    layout = source.layout
    for found, wanted in zip(ours, theirs, strict=True):
        objects = wanted[layout.boxes.split("/")[0]]
        assert found.encoded == wanted["image"]
        boxes = objects["bbox"].astype(np.float64)
        if name == "kitti":
            boxes = np.stack([1 - boxes[:, 2], boxes[:, 1], 1 - boxes[:, 0], boxes[:, 3]], axis=1)
        np.testing.assert_array_equal(found.boxes, boxes.astype(np.float32))
        labels = objects[layout.label.split("/")[1]] if layout.label else np.zeros(len(boxes))
        np.testing.assert_array_equal(found.labels, labels)
        ignore = [objects[key.split("/")[1]] for key in layout.ignore] or [np.zeros(len(boxes))]
        np.testing.assert_array_equal(found.is_crowd, np.any(ignore, axis=0))
        if layout.area:
            np.testing.assert_array_equal(found.area_px, objects["area"].astype(np.float32))


def test_array_record_files_give_what_tfrecord_files_give(tmp_path):
    builder = tfds.builder("voc/2007", data_dir=tmp_path)
    examples = mock_examples(builder)
    found = {}
    for file_format in ("tfrecord", "array_record"):
        prepare(builder, tmp_path / file_format, examples, file_format=file_format)
        source = open_named("voc/2007", tmp_path / file_format)
        travelled, items = pickle.loads(pickle.dumps((source, source.items("val"))))
        found[file_format] = [travelled.load(item) for item in items]
    for one, other in zip(*found.values(), strict=True):
        assert (one.source_id, one.encoded) == (other.source_id, other.encoded)
        np.testing.assert_array_equal(one.boxes, other.boxes)
        np.testing.assert_array_equal(one.is_crowd, other.is_crowd)


def test_a_builder_that_really_prepared_its_data_is_read_in_another_process(tmp_path):
    from data.road_scenes import builder as road_scenes

    config = road_scenes.RoadScenesConfig(
        name="small", height_px=64, width_px=96, counts={"train": 5, "val": 3, "test": 2}
    )
    prepared = road_scenes.RoadScenes(config=config, data_dir=tmp_path)
    with pytest.raises(
        errors.UserError, match=r"is not prepared in .*road_scenes/both.* --dataset=tfds:road_scenes,dow"
    ):
        open_named("road_scenes", tmp_path)
    prepared.download_and_prepare()
    source = open_named("road_scenes/small", tmp_path)
    assert source.class_names == ("person", "bicycle", "car")
    assert {split: len(source.items(split)) for split in source.splits} == {"train": 5, "val": 3, "test": 2}
    theirs = {e["image/id"].decode(): e for e in tfds.as_numpy(prepared.as_dataset(split="validation"))}
    travelled, items = pickle.loads(pickle.dumps((source, source.items("val"))))
    for item in items:
        found, wanted = travelled.load(item), theirs[item.source_id]
        np.testing.assert_array_equal(found.boxes, wanted["objects"]["bbox"])
        np.testing.assert_array_equal(found.labels, wanted["objects"]["label"])
        assert (found.height, found.width, found.image_format) == (64, 96, "jpeg")
    first = source.fingerprint()
    assert open_named("road_scenes/small", tmp_path).fingerprint() == first
    next(prepared.data_path.glob("*train*")).unlink()
    with pytest.raises(errors.UserError, match="is missing. Prepare the dataset again"):
        open_named("road_scenes/small", tmp_path)


def test_download_is_done_only_when_told(tmp_path, monkeypatch):
    asked = []

    def download_and_prepare(builder):
        asked.append(builder.name)
        prepare(builder, tmp_path, mock_examples(builder))

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", download_and_prepare)
    with pytest.raises(
        errors.UserError, match=r"not prepared in .*tfds:voc,download=1, or with: tfds build voc --data_d"
    ):
        open_named("voc", tmp_path)
    assert asked == []
    assert open_named("voc", tmp_path, download="1").splits == ("train", "val")
    assert asked == ["voc"]
    assert open_named("voc", tmp_path, download="1").splits == ("train", "val")
    assert asked == ["voc"]


def test_a_split_without_boxes_is_left_out_with_a_note(tmp_path):
    builder = tfds.builder("wider_face", data_dir=tmp_path)
    prepare(builder, tmp_path, mock_examples(builder), splits=("train",))
    example = mock_examples(builder)[0] | {"faces": []}
    folder = tmp_path / "other"
    prepare(builder, folder, [example], splits=("train",))
    with pytest.raises(errors.UserError, match="no split has a box"):
        open_named("wider_face", folder)
    notes = []
    with progress.listen(lambda kind, fields: notes.append(fields["text"])), pytest.raises(errors.UserError):
        open_named("wider_face", folder)
    assert notes == ["Split train of `tfds:wider_face` has no boxes; it is left out."]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("vco", "TFDS knows no dataset `vco`. Did you mean `voc`?"),
        ("voc/1999", "TFDS cannot open `voc/1999`: .*BuilderConfig 1999 not found"),
        ("voc:9.9.9", "TFDS cannot open `voc:9.9.9`: .*cannot be loaded at version 9.9.9"),
        ("voc,downlod=1", "unknown option `downlod=1`. Did you mean `download`?"),
        ("voc,data_dir=", "unknown option `data_dir=`. It needs a value"),
        ("", "write tfds:NAME, tfds:NAME/CONFIG or"),
    ],
)
def test_mistakes_in_the_argument_are_named(argument, message):
    with pytest.raises(errors.UserError, match=message):
        tfds_builder.TfdsSource.open(f"tfds:{argument}", argument, base.ReadOptions())
