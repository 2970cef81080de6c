import pytest

from data import errors, progress, sources
from tests import coco_folder


def coco_set(root, *splits):
    return coco_folder.write(root / "set", **{split: coco_folder.table(1) for split in splits or sources.SPLITS})


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("road_scene", "Unknown dataset kind `road_scene`. Did you mean `road_scenes`? Write KIND:PATH, or the path"),
        ("gs://b/x", "Dataset `gs://b/x` is a URI, and datasets are read from a file system. Copy it to a folder or m"),
        ("coco:s3://b/x", "Dataset `coco:s3://b/x` is a URI, and"),
        ("tfrecord:gs://b/x-*", "Dataset `tfrecord:gs://b/x-*` is a URI, and"),
        ("cooc:s3://b/x", "Unknown dataset kind `cooc`. Did you mean `coco`?"),
        ("https://example.com/x.zip", "Dataset `https://example.com/x.zip` is a URI, and"),
        ("cooc:/data", "Unknown dataset kind `cooc`. Did you mean `coco`?"),
        ("", "Unknown dataset kind ``. Known: coco, "),
        (
            "/no/such/folder",
            "Dataset `/no/such/folder`: there is no such path. Give an existing folder, or KIND:PATH.",
        ),
    ],
)
def test_an_unknown_dataset_ends_with_a_clear_line(spec, message):
    with pytest.raises(errors.UserError) as caught:
        sources.open_source(spec)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_plug_ins_reader_may_take_a_uri(monkeypatch):
    class Remote:
        @classmethod
        def open(cls, spec, argument, options):
            return argument

    monkeypatch.setitem(sources.READERS, "remote", Remote)
    assert sources.open_reader("remote:s3://b/x", sources.DataOptions()) == "s3://b/x"


def test_a_folder_without_a_kind_is_recognised_and_the_reason_is_told(tmp_path):
    notes = []
    root = coco_set(tmp_path)
    with progress.listen(lambda kind, fields: notes.append(fields["text"])):
        assert sources.open_source(str(root)).origins[0].kind == "coco"
    (note,) = notes
    assert note.startswith(f"Recognised {root} as coco, because ")
    assert "train.json" in note


def test_a_folder_in_no_known_layout_ends_with_a_clear_line(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(errors.UserError) as caught:
        sources.open_source(str(tmp_path))
    assert str(caught.value) == (
        f"Dataset `{tmp_path}`: its layout is not recognised; it holds `notes.txt`."
        f" Say which one it is with KIND:PATH; kinds: {', '.join(sources.READERS)}."
    )


def test_a_folder_that_two_readers_recognise_asks_which(tmp_path):
    root = coco_set(tmp_path)
    (root / "data.yaml").write_text("train: train/images\nval: val/images\nnames: [car]\n")
    for split in ("train", "val"):
        (root / split / "images").mkdir()
        (root / split / "labels").mkdir()
    with pytest.raises(errors.UserError) as caught:
        sources.open_source(str(root))
    assert str(caught.value).startswith(f"Dataset `{root}` could be coco, because ")
    assert "; yolo, because " in str(caught.value)
    assert str(caught.value).endswith(f"Say which, as coco:{root}.")


def test_a_missing_train_split_asks_for_shares(tmp_path):
    root = coco_set(tmp_path, "val", "test")
    with pytest.raises(errors.UserError) as caught:
        sources.open_source(f"coco:{root}")
    assert str(caught.value).startswith(
        f"Dataset `coco:{root}` has no split train; it has val (1 images), test (1 images). Divide it with --splits="
    )
    assert sources.open_source(f"coco:{root}", required_splits=["val"]).splits == ("val", "test")


def test_one_dataset_has_one_canonical_name_however_it_is_written(tmp_path, monkeypatch):
    root = coco_set(tmp_path)
    (tmp_path / "link").symlink_to(root)
    monkeypatch.chdir(tmp_path)
    written = ("set", "./set/", str(root), f"coco:{root}/", "coco:set", "link")
    assert {sources.canonical(spec) for spec in written} == {f"coco:{root.resolve()}"}


@pytest.mark.parametrize(
    ("spec", "meant"),
    [
        ("kitti:set,score=ignore", "kitti:{}/set,score=ignore"),
        ("tfrecord:set/*.record,classes=text", "tfrecord:{}/set/*.record,classes=text"),
        ("tfds:set,download=1,data_dir=set", "tfds:set,data_dir={}/set,download=1"),
        ("tfds:set,data_dir=set,download=1", "tfds:set,data_dir={}/set,download=1"),
        ("tfds:set", "tfds:set"),
        ("coco:one,a=1", "coco:{}/one,a=1"),
    ],
)
def test_the_paths_of_a_name_are_absolute_and_its_options_in_one_order(spec, meant, tmp_path, monkeypatch):
    (tmp_path / "set").mkdir()
    (tmp_path / "one,a=1").mkdir()
    monkeypatch.chdir(tmp_path)
    assert sources.canonical(spec) == meant.format(tmp_path.resolve())


@pytest.mark.parametrize("options", ["train=8,val=2", "val=2,train=8", "val=2, train=8,"])
def test_the_embedded_dataset_has_one_name_in_whatever_order_its_options_are(options):
    assert sources.canonical(f"road_scenes:{options}") == "road_scenes:train=8,val=2"


@pytest.mark.parametrize("spec", ["road_scenes", "road_scenes:train=8,val=2", "tfds:voc/2007", "coco:/gone", "/gone"])
def test_what_has_no_path_or_is_not_there_keeps_its_name(spec):
    assert sources.canonical(spec) == spec


def test_what_is_wrong_with_a_dataset_as_a_whole_is_said_by_whoever_opens_it(tmp_path):
    tables = {split: coco_folder.table(2) for split in sources.SPLITS}
    for table in tables.values():
        table["annotations"] += [coco_folder.annotation(7)]
    root = coco_folder.write(tmp_path / "set", **tables)
    (root / "train" / "new.jpg").write_bytes(coco_folder.image_bytes(9))
    notes = []
    with progress.listen(lambda kind, fields: notes.append(fields["text"])):
        sources.open_source(f"coco:{root}")
    lost = "1 of 3 annotations name an image that is not in `images`; they are left out"
    assert notes == [
        f"`coco:{root}`: annotation without image: {root}/train.json: {lost} and 2 more.",
        f"`coco:{root}`: image without annotation: {root}/train/new.jpg: no annotation names it.",
    ]


def test_a_set_that_is_too_small_to_divide_says_which_image_is_not_usable(tmp_path):
    root = coco_folder.write(tmp_path / "set", train=coco_folder.table(3))
    for number in range(3):
        (root / "train" / f"{number}.jpg").write_bytes(b"no image")
    with pytest.raises(errors.UserError) as caught:
        sources.open_source(f"coco:{root}")
    assert "To be divided, train needs 3 usable images. Add images, or the splits." in str(caught.value)
    assert f" First that is not usable: {root}/train/0.jpg: not an image" in str(caught.value)
