"""Datasets as annotation tools export them, and every format as it is meant."""

import json

from tests import broken_corpus
from tests.broken_corpus import NUM_IMAGES
from tests.found_cases import ALL_BOXES, Case, changed, in_text
from tests.found_formats import KITTI_BOXES

PLAIN = {
    f"plain {kind}": Case(kind, make, boxes=KITTI_BOXES) if kind == "kitti" else Case(kind, make)
    for kind, make in broken_corpus.FORMATS.items()
}
PLAIN |= {  # whose lists of classes have one more
    f"plain {name}": Case("flir", broken_corpus.as_written(name), ("empty_class",), boxes=ALL_BOXES | {"bicycle": 0})
    for name in ("flir_v1", "flir_v2")
}


def in_json(edit):
    """Changes what JSON files hold: edit(name, table) -> table."""
    return lambda name, content: json.dumps(edit(name, json.loads(content))) if name.endswith(".json") else content


# --- VIA


def in_regions(edit):
    """Changes the attributes of VIA's regions: edit(image's name, number, attributes) -> attributes."""

    def change(name, table):
        for entry in table.values():
            for number, region in enumerate(entry["regions"]):
                region["region_attributes"] = edit(entry["filename"], number, region["region_attributes"])
        return table

    return in_json(change)


VIA = {
    "VIA's project": Case(
        "via", changed("via", content=in_json(lambda name, table: {"_via_img_metadata": table, "_via_settings": {}}))
    ),
    "VIA, other attributes beside the class": Case(
        "via", changed("via", content=in_regions(lambda image, number, given: given | {"type": "x", "occluded": "no"}))
    ),
    "VIA, a region without its class": Case(
        "via",
        changed(
            "via",
            content=in_regions(lambda image, number, given: {"occluded": "yes"} if image == "train_a.jpg" else given),
        ),
        ("broken_annotation",),
        NUM_IMAGES | {"train": 2},
        {"car": 6, "person": 6},
    ),
    "VIA, no attribute that is the class": Case(
        "via",
        changed("via", content=in_regions(lambda image, number, given: {"colour": "red", "size": "big"})),
        stops="the regions have the attributes colour, size; which is their class",
    ),
}


# --- Supervisely


def supervisely_project(dog="car"):
    """Makes a project with its meta.json; `dog` is the class that an object with the id of dogs is called."""

    def number(name, table):
        for entry in table["objects"]:
            is_dog = name.endswith("train_a.jpg.json") and dog == entry["classTitle"]
            entry["classId"] = 9 if is_dog else {"car": 7, "person": 8}[entry["classTitle"]]
        return table

    classes = [{"title": title, "id": key} for title, key in (("car", 7), ("person", 8), ("dog", 9))]

    def make(corpus):
        files = changed("supervisely", content=in_json(number))(corpus)
        return files | {"meta.json": json.dumps({"classes": classes, "tags": []})}

    return make


SUPERVISELY = {
    "Supervisely's project": Case("supervisely", supervisely_project(dog="")),
    "Supervisely, an id of another class": Case(
        "supervisely",
        supervisely_project(),
        ("broken_annotation",),
        NUM_IMAGES | {"train": 2},
        {"car": 6, "person": 6},
    ),
}


# --- Datumaro and CVAT


def turned(name, table):
    """A quarter turn, of a box of 20x10 px that lies and one of 9x25 px that stands."""
    for item in table["items"]:
        for entry in item["annotations"]:
            entry["attributes"] = {"rotation": 90.0, "occluded": False}
            entry["bbox"] = [20, 15, 20, 10]
    return table


TWO_SPLITS = ({"train": 3, "val": 2}, {"car": 5, "person": 5})
CVAT_AND_DATUMARO = {
    "Datumaro's default subset": Case(
        "datumaro",
        changed("datumaro", lambda name: name.replace("test.", "default.")),
        ("missing_split", "left_out"),
        *TWO_SPLITS,
    ),
    "Datumaro, turned boxes": Case("datumaro", changed("datumaro", content=in_json(turned)), ()),
    "Datumaro, ids that are other images": Case(
        "datumaro", changed("datumaro", content=in_text('"id": "train_a"', '"id": "train_b"', ".json")), ("other_id",)
    ),
    "CVAT's subset of another name": Case(
        "cvat",
        changed("cvat", content=in_text('subset="test"', 'subset="Holdout"')),
        ("missing_split", "left_out"),
        *TWO_SPLITS,
    ),
    "CVAT in UTF-16": Case(
        "cvat", changed("cvat", content=lambda name, given: given.encode("utf-16") if name.endswith(".xml") else given)
    ),
    "CVAT, an image without a name": Case(
        "cvat", changed("cvat", content=in_text('name="val_a.jpg"', "")), stops="`name` of an <image> must be a text"
    ),
}


# --- labelme, Create ML and BDD100K


def labelme_apart(swapped):
    """JSON in folders apart from the images; the first two may have changed places."""
    others = {"train_a.jpg": "train_b.jpg", "train_b.jpg": "train_a.jpg"} if swapped else {}

    def change(name, table):
        return table | {"imagePath": f"../images/{others.get(table['imagePath'], table['imagePath'])}"}

    def place(name):
        split, _, file = name.partition("/")
        return f"{split}/{'ann' if file.endswith('.json') else 'images'}/{file}"

    return changed("labelme", place, in_json(change))


def apples_keys(name, table):
    return [{"imagefilename": entry["image"], "annotation": entry["annotations"]} for entry in table]


def one_file_an_image(corpus):
    """BDD100K's older form."""
    files = {}
    for name, content in broken_corpus.FORMATS["bdd100k"](corpus).items():
        if not name.endswith(".json"):
            files[name] = content
            continue
        split = name.rpartition("det_")[2].partition(".")[0]
        for entry in json.loads(content):
            table = {"name": entry["name"], "frames": [{"objects": entry["labels"]}]}
            files[f"labels/100k/{split}/{entry['name'][:-4]}.json"] = json.dumps(table)
    return files


OTHERS = {
    "labelme, images in a folder of their own": Case("labelme", labelme_apart(swapped=False)),
    "labelme, two images that changed places": Case(
        "labelme",
        labelme_apart(swapped=True),
        ("broken_annotation",),
        NUM_IMAGES | {"train": 1},
        {"car": 5, "person": 5},
    ),
    "Create ML's keys as Apple has them": Case("createml", changed("createml", content=in_json(apples_keys))),
    "BDD100K's older form": Case("bdd100k", one_file_an_image),
}

CASES = PLAIN | VIA | SUPERVISELY | CVAT_AND_DATUMARO | OTHERS
