"""Datasets in the formats of files as tools and people leave them."""

import json
import re
import unicodedata

from data import examples as tf_examples
from data import label_map, tfrecord_files
from tests import broken_corpus
from tests.broken_corpus import NUM_IMAGES
from tests.found_cases import (
    Case,
    changed,
    each_annotation,
    each_image,
    in_text,
    mask,
    with_file,
    with_tables,
)
from tests.memory_source import record

# --- COCO


def one_json_with_hashes(separator):
    """Label Studio's export: result.json, and `images/HASH-NAME` in it."""

    def make(corpus):
        table = {"images": [], "annotations": [], "categories": corpus.tables["train"]["categories"]}
        files = {}
        for path, encoded in corpus.images.items():
            split, name = path.split("/")
            number = len(table["images"])
            own = next(image for image in corpus.tables[split]["images"] if image["file_name"] == name)
            boxes = [one for one in corpus.tables[split]["annotations"] if one["image_id"] == own["id"]]
            table["annotations"] += [one | {"image_id": number} for one in boxes]
            table["images"].append(own | {"id": number, "file_name": f"images{separator}7fa-{name}"})
            files[f"images/7fa-{name}"] = encoded
        return files | {"result.json": json.dumps(table)}

    return make


def cvat_subsets(corpus):
    names = {"train": "Train", "val": "Validation", "test": "Test"}
    files = {f"annotations/instances_{names[split]}.json": json.dumps(t) for split, t in corpus.tables.items()}
    for path, encoded in corpus.images.items():
        split, name = path.split("/")
        files[f"images/{names[split]}/Data/{name}"] = encoded
    return files


def numbers_as_text(split, table):
    for image in table["images"]:
        image.update(id=float(image["id"]), height=str(image["height"]), width=f"{image['width']}.0")
    for one in table["annotations"]:
        one.update(image_id=str(one["image_id"]), category_id=float(one["category_id"]), iscrowd="0")
        one["bbox"] = [str(side) for side in one["bbox"]]


def named(old, new):
    """Makes the corpus as COCO with files called otherwise than the JSON says."""
    return lambda corpus: {
        name.replace(old, new) if name.endswith(".jpg") else name: (
            content.replace(old, new) if isinstance(content, str) else content
        )
        for name, content in broken_corpus.coco_files(corpus).items()
    }


def decomposed(corpus):
    """Names on disk as macOS writes them, in the JSON as others do."""
    files = broken_corpus.coco_files(corpus)
    return {
        unicodedata.normalize("NFD", name.replace("_a.", "_ä.")): (
            content.replace("_a.", "_ä.") if isinstance(content, str) else content
        )
        for name, content in files.items()
    }


def encoded_names(corpus):
    """Names with a space on disk, with %20 in the JSON."""
    files = broken_corpus.coco_files(corpus)
    return {
        name.replace("_a.", " a."): content.replace("_a.", "%20a.") if isinstance(content, str) else content
        for name, content in files.items()
    }


COCO = {
    "Label Studio, Linux": Case("coco", one_json_with_hashes("/"), ("missing_split",), {"train": 7}),
    "Label Studio, Windows": Case("coco", one_json_with_hashes("\\"), ("missing_split",), {"train": 7}),
    "CVAT's subsets": Case("coco", cvat_subsets, ("inexact_name",)),
    "paths of Windows": Case(
        "coco", each_image(lambda split, image: image.update(file_name=f".\\{split}\\{image['file_name']}"))
    ),
    "paths of another machine": Case(
        "coco",
        each_image(lambda split, image: image.update(file_name=f"C:\\set\\{split}\\{image['file_name']}")),
        ("inexact_name",),
    ),
    "numbers and ids as text": Case("coco", with_tables(numbers_as_text)),
    "flags as text": Case("coco", each_annotation(lambda split, one: one.update(iscrowd="false", ignore="0"))),
    "flags that are neither": Case(
        "coco",
        each_annotation(lambda split, one: one.update(iscrowd="maybe") if split == "val" else None),
        ("empty_split", "broken_annotation", "uneven_class"),
        NUM_IMAGES | {"val": 0},
        {"car": 5, "person": 5},
    ),
    "all objects ignored": Case(
        "coco",
        each_annotation(lambda split, one: one.update(iscrowd="1")),
        ("no_objects", "all_ignored", "empty_class"),
        boxes={"car": 0, "person": 0},
    ),
    "two categories of one name": Case(
        "coco",
        with_tables(lambda split, table: table["categories"][1].update(name="car")),
        ("merged_class",),
        boxes={"car": 14},
    ),
    "endings in another case": Case("coco", named(".jpg", ".JPG")),
    "names in Unicode's other form": Case("coco", decomposed, ("inexact_name",)),
    "names with %20": Case("coco", encoded_names, ("inexact_name",)),
}


# --- YOLO


def yolo_list(corpus):
    """CVAT's export: obj.data, and lists of images with `data/` before their paths."""
    files = {"obj.data": "classes = 2\ntrain = data/train.txt\nvalid = data/val.txt\nnames = data/obj.names\n"}
    files |= {"obj.names": "car\nperson\n"}
    for name, content in broken_corpus.yolo_files(corpus).items():
        folder, *inside = name.split("/")
        if folder in ("images", "labels") and inside[0] != "test":
            files[f"obj_{inside[0]}_data/{inside[1]}"] = content
    for split in ("train", "val"):
        images = [name for name in corpus.images if name.startswith(split)]
        files[f"{split}.txt"] = "".join(f"data/obj_{split}_data/{name.split('/')[1]}\n" for name in images)
    return files


def beside_images(corpus):
    """LabelImg's files: images, their labels and classes.txt in one folder."""
    files = broken_corpus.yolo_files(corpus)
    flat = {name.split("/")[2]: content for name, content in files.items() if "/" in name}
    return flat | {"classes.txt": "car\nperson\n"}


def quoted_labels(corpus):
    """Label Studio's export: spaces in the images' names, %20 in the labels'."""
    files = broken_corpus.yolo_files(corpus)
    return {
        name.replace("_a", " é" if name.startswith("images") else "%20%C3%A9"): content
        for name, content in files.items()
    }


YOLO = {
    "CVAT's lists": Case(
        "yolo", yolo_list, ("missing_split", "inexact_name"), {"train": 3, "val": 2}, {"car": 5, "person": 5}
    ),
    "backslashes in data.yaml": Case("yolo", changed("yolo", content=in_text("images/", "images\\", ".yaml"))),
    "data.yaml of another machine": Case(
        "yolo", changed("yolo", content=in_text(": images/", ": C:/Users/me/set/images/", ".yaml"))
    ),
    "labels beside the images": Case("yolo", beside_images, ("missing_split",), {"train": 7}),
    "labels with encoded names": Case("yolo", quoted_labels, ("inexact_name",)),
    "val is train": Case(
        "yolo",
        changed("yolo", content=in_text("images/val", "images/train", ".yaml")),
        ("shared_image", "left_out", "same_picture", "repeated_name"),  # and images/val, which nothing names now
        {"train": 3, "val": 3, "test": 2},
        {"car": 8, "person": 8},
    ),
    "two numbers of one name": Case(
        "yolo", changed("yolo", content=in_text("person", "car", ".yaml")), ("merged_class",), boxes={"car": 14}
    ),
    "photo and mask of one name": Case(
        "yolo",
        with_file("images/train/train_a.png", mask(), "yolo"),
        ("broken_annotation",),
        NUM_IMAGES | {"train": 2},
        {"car": 6, "person": 6},
    ),
    "classes.txt that contradicts data.yaml": Case(
        "yolo",
        with_file("classes.txt", "person\ncar\n", "yolo"),
        stops="names the classes car, person; .* decides what",
    ),
}


# --- VOC


def polygons(name, content):
    if not name.endswith(".xml"):
        return content
    corners = r"<xmin>(\d+)</xmin><ymin>(\d+)</ymin><xmax>(\d+)</xmax><ymax>(\d+)</ymax>"
    points = r"<x1>\1</x1><y1>\2</y1><x2>\3</x2><y2>\2</y2><x3>\3</x3><y3>\4</y3>"
    return re.sub(f"<bndbox>{corners}</bndbox>", f"<polygon>{points}</polygon>", content)


def nested(corpus):
    """Some images and their XML in folders below."""
    files = broken_corpus.voc_files(corpus)
    inside = {name: re.sub(r"/(\w+_b\.)", r"/more/\1", name) for name in files}
    return {inside[name]: content for name, content in files.items() if not name.startswith("ImageSets")}


def said_by_filename(ending):
    return in_text("<annotation>", f"<annotation><filename>train_a{ending}</filename>", "train_a.xml")


def with_mask(ending):
    def make(corpus):
        files = broken_corpus.voc_files(corpus)
        files["Annotations/train_a.xml"] = said_by_filename(ending)("train_a.xml", files["Annotations/train_a.xml"])
        return files | {"JPEGImages/train_a.png": mask()}

    return make


def without_endings(corpus):
    """XML files that are only numbered, with a `filename` without an ending."""
    files = {}
    for number, (name, content) in enumerate(broken_corpus.voc_files(corpus).items()):
        stem = name.rpartition("/")[2].rpartition(".")[0]
        if name.startswith("Annotations"):
            name, content = f"annotations/{number}.xml", content.replace("<size>", f"<filename>{stem}</filename><size>")
        if not name.startswith("ImageSets"):
            files[name.replace("JPEGImages", "images")] = content
    return files


VOC = {
    "lists of other names": Case(
        "voc", changed("voc", lambda name: name.replace("/train.", "/Train.").replace("/val.", "/Validation."))
    ),
    "folders of other names": Case(
        "voc",
        changed("voc", lambda name: name.replace("Annotations", "annots").replace("JPEGImages", "images")),
    ),
    "flat and nested files": Case("voc", nested, ("missing_split",), {"train": 7}),
    "files of macOS": Case("voc", with_file("Annotations/._train_a.xml", b"\0\5\x16\7\0\2\0\0Mac OS X", "voc")),
    "polygons": Case("voc", changed("voc", content=polygons)),
    "file names without an ending": Case("voc", without_endings, ("missing_split", "inexact_name"), {"train": 7}),
    "photo and mask, filename decides": Case("voc", with_mask(".jpg")),
    "photo and mask, nothing decides": Case(
        "voc",
        with_mask(""),
        ("broken_annotation",),
        NUM_IMAGES | {"train": 2},
        {"car": 6, "person": 6},
    ),
}


# --- KITTI and CSV


def sixteenth(value):
    """Adds a field to each of KITTI's rows; `value` gets the file's name."""
    return lambda name, content: (
        "".join(f"{row} {value(name)}\n" for row in content.splitlines()) if name.endswith(".txt") else content
    )


KITTI_BOXES = {"Car": 7, "Pedestrian": 7}
KITTI = {
    "a 16th field without meaning": Case(
        "kitti", changed("kitti", content=sixteenth(lambda name: 1)), boxes=KITTI_BOXES
    ),
    "a 16th field as of detections": Case(
        "kitti",
        changed("kitti", content=sixteenth(lambda name: f"0.{len(name)}{ord(name[-5])}")),
        stops="score=ignore",
    ),
    "photo and mask of one name in KITTI": Case(
        "kitti",
        with_file("train/image_2/train_a.png", mask(), "kitti"),
        ("broken_annotation",),
        NUM_IMAGES | {"train": 2},
        {"Car": 6, "Pedestrian": 6},
    ),
}


def csv_rows(row, header="", name="{split}.csv"):
    """Makes tables with a row for each box: row(path, xmin, ymin, xmax, ymax, class)."""

    def make(corpus):
        files = dict(corpus.images)
        for split in NUM_IMAGES:
            paths = [path for path in corpus.images if path.startswith(split)]
            rows = [row(path, *box.split(","), label) for path in paths for box, label in broken_corpus.CSV_BOXES]
            files[name.format(split=split)] = "\n".join([*filter(None, [header]), *rows, ""])
        return files

    return make


CSV = {
    "class before the box": Case(
        "csv", csv_rows(lambda path, x1, y1, x2, y2, label: f"{path},{label},{x1},{y1},{x2},{y2}")
    ),
    "class that may be a coordinate": Case(
        "csv",
        csv_rows(lambda path, x1, y1, x2, y2, label: f"{path}, {len(label)}, {x1}, {y1}, {x2}, {y2}"),
        stops="row 1, .* may mean box .* of class .*, or box .* Say which with a header",
    ),
    "names without an ending": Case(
        "csv",
        csv_rows(
            lambda path, *box_and_label: ",".join([path.partition("/")[2].partition(".")[0], *box_and_label]),
            "filename,xmin,ymin,xmax,ymax,class",
        ),
        ("inexact_name",),
    ),
    "columns of other names": Case(
        "csv",
        csv_rows(
            lambda path, x1, y1, x2, y2, label: (
                f"{path.partition('/')[2][:-4]},{label},{len(label)},R9,{x1},{y1},{x2},{y2}"
            ),
            "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max",
        ),
        ("inexact_name",),
    ),
    "tables called train_labels": Case(
        "csv",
        csv_rows(
            lambda path, x1, y1, x2, y2, label: f"{path.partition('/')[2]},64,48,{label},{x1},{y1},{x2},{y2}",
            "filename,width,height,class,xmin,ymin,xmax,ymax",
            "{split}_labels.csv",
        ),
    ),
}


# --- other formats


def contradicting_records(corpus):
    """Texts of TFRecords that name other classes than the label map does."""
    files = {"label_map.pbtxt": label_map.to_text(["bee", "wasp", "fly"])}
    for split, count in NUM_IMAGES.items():
        messages = [
            tf_examples.encode_example(record(f"{split}{number}.jpg", labels=(number % 2,)), ("wasp", "fly"))
            for number in range(count)
        ]
        files[f"{split}.record"] = b"".join(tfrecord_files.frame(message.SerializeToString()) for message in messages)
    return files


def visdrone(corpus):
    files = {}
    for path, encoded in corpus.images.items():
        split, name = path.split("/")
        folder = f"VisDrone2019-DET-{split}"
        files[f"{folder}/images/{name}"] = encoded
        files[f"{folder}/annotations/{name[:-4]}.txt"] = "4,5,20,10,1,4,0,0\n30,8,9,25,1,1,0,0,\n1,1,3,3,0,0,0,0\n"
    return files


OTHERS = {
    "TFRecord of two minds": Case(
        "tfrecord", contradicting_records, stops="Which is right.* say it: tfrecord:.*classes="
    ),
    "VisDrone": Case("visdrone", visdrone, boxes={"car": 7, "pedestrian": 7}),
}

CASES = COCO | YOLO | VOC | KITTI | CSV | OTHERS
