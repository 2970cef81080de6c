"""The corpus of broken datasets in formats other than COCO."""

import pytest

from data import errors, sources
from data.checks import dataset
from tests import broken_corpus


@pytest.fixture
def corpus(tmp_path):
    return broken_corpus.Corpus(tmp_path / "set")


def check_format(corpus, kind, edits):
    """Writes the corpus in another format, with edited or (None) missing files, and checks it."""
    files = broken_corpus.FORMATS[kind](corpus)
    for name, edit in edits.items():
        files[name] = edit(files[name]) if callable(edit) else edit
    corpus.write_files(files)
    return dataset.check(sources.open_source(f"{kind}:{corpus.root}"))


@pytest.mark.parametrize("kind", broken_corpus.FORMATS)
def test_a_sound_dataset_of_any_format_has_no_findings(corpus, kind):
    report = check_format(corpus, kind, {})
    assert report.findings.kinds() == []
    assert {split: totals.num_good for split, totals in report.totals.items()} == broken_corpus.NUM_IMAGES


YOLO_ROW, VOC_FILE = "labels/train/train_a.txt", "Annotations/train_a.xml"
FOUND_IN_FORMATS = {
    "YOLO row too short": ("yolo", {YOLO_ROW: "0 0.3 0.4 0.2\n"}, "broken_annotation", "row 1 has 4 numbers"),
    "YOLO row of words": ("yolo", {YOLO_ROW: "car 0.3 0.4 0.2 0.2\n"}, "broken_annotation", "must hold numbers only"),
    "YOLO class unknown": ("yolo", {YOLO_ROW: "7 0.3 0.4 0.2 0.2\n"}, "unknown_class", "row 1 has class 7"),
    "YOLO box outside": ("yolo", {YOLO_ROW: "0 0.95 0.4 0.3 0.2\n"}, "box_outside", "lies outside its image"),
    "YOLO row in pixels": ("yolo", {YOLO_ROW: "0 20 20 12 10\n"}, "box_in_pixels", "box [20, 20, 12, 10]"),
    "YOLO row twice": ("yolo", {YOLO_ROW: "0 0.3 0.4 0.2 0.2\n" * 2}, "duplicate_box", "train_a.jpg"),
    "VOC XML cut off": (
        "voc",
        {VOC_FILE: lambda text: text[:-20]},
        "broken_annotation",
        "malformed XML at line 1, col",
    ),
    "VOC XML missing": ("voc", {VOC_FILE: None}, "broken_annotation", "no XML file for `train_a`"),
    "VOC corner missing": (
        "voc",
        {VOC_FILE: lambda text: text.replace("<xmax>24</xmax>", "")},
        "broken_annotation",
        "needs a number in `bndbox/xmax`",
    ),
    "VOC box inverted": ("voc", {VOC_FILE: lambda text: text.replace(">24<", ">2<")}, "box_inverted", "is inverted"),
    "VOC size of another image": (
        "voc",
        {VOC_FILE: lambda text: text.replace("<width>64<", "<width>640<")},
        "other_size",
        "annotation 640x48 px",
    ),
    "CSV cell missing": (
        "csv",
        {"train.csv": lambda text: text.replace("4,5,24,15,car", "4,5,,15,car", 1)},
        "broken_annotation",
        "row 2 needs",
    ),
    "KITTI row too short": (
        "kitti",
        {"train/label_2/train_a.txt": "Car 0 0 0 4 5 24 15\n"},
        "broken_annotation",
        "has 8 fields",
    ),
}


@pytest.mark.parametrize("case", FOUND_IN_FORMATS)
def test_what_is_broken_in_other_formats_is_found(corpus, case):
    kind, edits, found, words = FOUND_IN_FORMATS[case]
    report = check_format(corpus, kind, edits)
    assert report.findings.kinds() == [found]
    assert words in str(report.findings.examples(found)[0])


STOPS_IN_FORMATS = {
    "YOLO names missing": ("yolo", {"data.yaml": lambda text: text.partition("names")[0]}, "`names`"),
    "YOLO data.yaml malformed": ("yolo", {"data.yaml": "names: [car\ntrain: images/train"}, "malformed YAML at line"),
    "YOLO numbers of classes differ": ("yolo", {"data.yaml": lambda text: text + "nc: 3\n"}, "`nc` is 3, but `names`"),
    "CSV column missing": (
        "csv",
        {"train.csv": lambda text: text.replace("filename,xmin", "filename,left_side")},
        "its header row lacks `xmin`; it has `filename`, `left_side`",
    ),
}


@pytest.mark.parametrize("case", STOPS_IN_FORMATS)
def test_what_concerns_the_whole_of_another_format_stops_with_one_line(corpus, case):
    kind, edits, words = STOPS_IN_FORMATS[case]
    with pytest.raises(errors.UserError, match=words) as caught:
        check_format(corpus, kind, edits)
    assert "\n" not in str(caught.value)
