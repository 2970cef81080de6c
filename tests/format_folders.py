"""The same small ground truth on disk in every file format, for tests that read them."""

import dataclasses
import io
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from tests import coco_folder

Box = tuple[str, float, float, float, float]  # class name, xmin, ymin, xmax, ymax in px
WIDTH, HEIGHT = coco_folder.WIDTH, coco_folder.HEIGHT


@dataclasses.dataclass(frozen=True)
class Scene:
    """One image and its boxes."""

    name: str
    boxes: tuple[Box, ...] = ()
    seed: int = 0


GroundTruth = Mapping[str, Sequence[Scene]]
CLASS_NAMES = ("bicycle", "car", "person")
# Sides of the image divide the coordinates without rest in binary, so that fractions lose nothing.
GROUND_TRUTH = {
    "train": (
        Scene("a0.jpg", (("car", 4, 6, 24, 18), ("person", 32, 12, 40, 36)), 0),
        Scene("a1.jpg", (("bicycle", 0, 0, 16, 12),), 1),
        Scene("a2.jpg", (), 2),
    ),
    "val": (Scene("b0.jpg", (("person", 8, 24, 16, 48), ("person", 48, 0, 64, 12)), 3),),
    "test": (Scene("c0.jpg", (("car", 20, 18, 60, 42), ("bicycle", 2, 3, 10, 9)), 4),),
}


def write_images(folder: pathlib.Path, scenes: Sequence[Scene]) -> None:
    """Writes the scenes' images as grey JPEG."""
    folder.mkdir(parents=True, exist_ok=True)
    for scene in scenes:
        (folder / scene.name).write_bytes(coco_folder.image_bytes(scene.seed))


def deep_tiff_bytes(seed: int) -> bytes:
    """Encodes a random 16-bit grey TIFF as a thermal camera writes it."""
    pixels = np.random.default_rng(seed).integers(7000, 9000, (HEIGHT, WIDTH)).astype(np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "TIFF")
    return buffer.getvalue()


def put(path: pathlib.Path, text: str) -> pathlib.Path:
    """Writes a text file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def coco_table(scenes: Sequence[Scene], ids: Mapping[str, int], prefix: str = "") -> dict:
    """Makes COCO's JSON."""
    annotations = [
        {"id": 10 * number + row, "image_id": number, "category_id": ids[name], "bbox": [x1, y1, x2 - x1, y2 - y1]}
        for number, scene in enumerate(scenes)
        for row, (name, x1, y1, x2, y2) in enumerate(scene.boxes)
    ]
    images = [
        {"id": number, "file_name": prefix + scene.name, "height": HEIGHT, "width": WIDTH}
        for number, scene in enumerate(scenes)
    ]
    categories = [{"id": key, "name": name} for name, key in ids.items()]
    return {"images": images, "annotations": annotations, "categories": categories}


def write_coco(root: pathlib.Path, ground_truth: GroundTruth = GROUND_TRUTH) -> pathlib.Path:
    """Writes train.json beside train/, and so on."""
    for split, scenes in ground_truth.items():
        write_images(root / split, scenes)
        ids = {name: number for number, name in enumerate(CLASS_NAMES, start=1)}
        put(root / f"{split}.json", json.dumps(coco_table(scenes, ids)))
    return root


def voc_xml(scene: Scene, database: str = "Unknown", extra: str = "") -> str:
    """Makes an image's XML."""
    objects = "".join(
        f"<object><name>{name}</name><difficult>0</difficult><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>"
        f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>\n"
        for name, x1, y1, x2, y2 in scene.boxes
    )
    return (
        f"<annotation>\n<filename>{scene.name}</filename><source><database>{database}</database></source>\n"
        f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>1</depth></size>\n{objects}{extra}</annotation>\n"
    )


def write_voc(root: pathlib.Path, ground_truth: GroundTruth = GROUND_TRUTH) -> pathlib.Path:
    """Writes JPEGImages/, Annotations/ and ImageSets/Main/."""
    for split, scenes in ground_truth.items():
        write_images(root / "JPEGImages", scenes)
        stems = [scene.name.removesuffix(".jpg") for scene in scenes]
        put(root / "ImageSets" / "Main" / f"{split}.txt", "\n".join(stems) + "\n")
        for stem, scene in zip(stems, scenes, strict=True):
            put(root / "Annotations" / f"{stem}.xml", voc_xml(scene))
    return root


def yolo_rows(scene: Scene) -> str:
    """Makes an image's label rows."""
    return "".join(
        f"{CLASS_NAMES.index(name)} {(x1 + x2) / 2 / WIDTH} {(y1 + y2) / 2 / HEIGHT}"
        f" {(x2 - x1) / WIDTH} {(y2 - y1) / HEIGHT}\n"
        for name, x1, y1, x2, y2 in scene.boxes
    )


def write_yolo(root: pathlib.Path, ground_truth: GroundTruth = GROUND_TRUTH) -> pathlib.Path:
    """Writes images/train/ beside labels/train/, and so on, without label files for negatives."""
    lines = ["path: ."]
    for split, scenes in ground_truth.items():
        write_images(root / "images" / split, scenes)
        lines.append(f"{split}: images/{split}")
        for scene in scenes:
            if scene.boxes:
                put(root / "labels" / split / scene.name.replace(".jpg", ".txt"), yolo_rows(scene))
    put(root / "data.yaml", "\n".join([*lines, f"nc: {len(CLASS_NAMES)}", f"names: [{', '.join(CLASS_NAMES)}]"]) + "\n")
    return root


def kitti_row(name: str, x1: float, y1: float, x2: float, y2: float) -> str:
    """Makes a row of 15 fields."""
    return f"{name} 0.00 0 -1.57 {x1} {y1} {x2} {y2} 1.65 1.67 3.64 -0.65 1.71 46.70 -1.59\n"


def write_kitti(root: pathlib.Path, ground_truth: GroundTruth = GROUND_TRUTH) -> pathlib.Path:
    """Writes training/image_2/, training/label_2/ and ImageSets/."""
    for split, scenes in ground_truth.items():
        write_images(root / "training" / "image_2", scenes)
        stems = [scene.name.removesuffix(".jpg") for scene in scenes]
        put(root / "ImageSets" / f"{split}.txt", "\n".join(stems) + "\n")
        for stem, scene in zip(stems, scenes, strict=True):
            put(root / "training" / "label_2" / f"{stem}.txt", "".join(kitti_row(*box) for box in scene.boxes))
    return root


def write_csv(root: pathlib.Path, ground_truth: GroundTruth = GROUND_TRUTH) -> pathlib.Path:
    """Writes train.csv, val.csv and test.csv with headers, images below images/."""
    for split, scenes in ground_truth.items():
        write_images(root / "images", scenes)
        lines = ["filename,width,height,class,xmin,ymin,xmax,ymax"]
        for scene in scenes:
            head = f"{scene.name},{WIDTH},{HEIGHT}"
            lines += [f"{head},{name},{x1},{y1},{x2},{y2}" for name, x1, y1, x2, y2 in scene.boxes]
            lines += [] if scene.boxes else [f"{head},,,,,"]
        put(root / f"{split}.csv", "\n".join(lines) + "\n")
    return root


def write_automl(root: pathlib.Path, ground_truth: GroundTruth = GROUND_TRUTH) -> pathlib.Path:
    """Writes one table in AutoML's style."""
    lines = []
    for split, scenes in ground_truth.items():
        write_images(root / "images", scenes)
        sets = {"train": "TRAIN", "val": "VALIDATION", "test": "TEST"}
        for scene in scenes:
            head = f"{sets[split]},{scene.name}"
            lines += [
                f"{head},{name},{x1 / WIDTH},{y1 / HEIGHT},,,{x2 / WIDTH},{y2 / HEIGHT},,"
                for name, x1, y1, x2, y2 in scene.boxes
            ]
            lines += [] if scene.boxes else [f"{head},,,,,,,,,"]
    put(root / "boxes.csv", "\n".join(lines) + "\n")
    return root


FLIR_IDS = {"person": 1, "bicycle": 2, "car": 3}


def write_flir_v1(root: pathlib.Path, ground_truth: GroundTruth = GROUND_TRUTH) -> pathlib.Path:
    """Writes FLIR ADAS version 1: one JSON an image, 8- and 16-bit images."""
    for split, folder in {"train": "train", "val": "val", "test": "video"}.items():
        scenes = ground_truth[split]
        write_images(root / folder / "thermal_8_bit", scenes)
        (root / folder / "thermal_16_bit").mkdir()
        for scene in scenes:
            stem = scene.name.removesuffix(".jpg")
            (root / folder / "thermal_8_bit" / scene.name).rename(root / folder / "thermal_8_bit" / f"{stem}.jpeg")
            (root / folder / "thermal_16_bit" / f"{stem}.tiff").write_bytes(deep_tiff_bytes(scene.seed))
            table = coco_table([scene], FLIR_IDS)
            table["annotations"] = [
                entry | {"category_id": str(entry["category_id"])} for entry in table["annotations"]
            ]
            content = {"annotation": table["annotations"], "image": table["images"][0] | {"file_name": stem}}
            put(root / folder / "thermal_annotations" / f"{stem}.json", json.dumps(content))
    return root


def write_flir_v2(root: pathlib.Path, ground_truth: GroundTruth = GROUND_TRUTH) -> pathlib.Path:
    """Writes FLIR ADAS version 2: one COCO JSON a split, 8- and 16-bit images."""
    folders = {"train": "images_thermal_train", "val": "images_thermal_val", "test": "video_thermal_test"}
    for split, folder in folders.items():
        scenes = ground_truth[split]
        write_images(root / folder / "data", scenes)
        (root / folder / "analyticsData").mkdir()
        for scene in scenes:
            name = scene.name.replace(".jpg", ".tiff")
            (root / folder / "analyticsData" / name).write_bytes(deep_tiff_bytes(scene.seed))
        ids = {"person": 1, "bike": 2, "car": 3, "dog": 17}
        table = coco_table(scenes, ids | FLIR_IDS, prefix="data/")
        table["categories"] = [{"id": key, "name": name} for name, key in ids.items()]
        put(root / folder / "coco.json", json.dumps(table))
    return root


def _write_whole(root: pathlib.Path, scenes: Sequence[Scene], table: Any, name: str) -> None:
    """Writes a split's images and its one JSON beside them."""
    write_images(root, scenes)
    put(root / name, json.dumps(table))


def write_via(root: pathlib.Path, ground_truth: GroundTruth = GROUND_TRUTH) -> pathlib.Path:
    """Writes train/via_region_data.json beside its images, and so on."""
    for split, scenes in ground_truth.items():
        table = {}
        for scene in scenes:
            regions = [
                {
                    "shape_attributes": {"name": "rect", "x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1},
                    "region_attributes": {"class": name},
                }
                for name, x1, y1, x2, y2 in scene.boxes
            ]
            table[f"{scene.name}123"] = {"filename": scene.name, "size": 123, "regions": regions}
        _write_whole(root / split, scenes, table, "via_region_data.json")
    return root


def write_createml(root: pathlib.Path, ground_truth: GroundTruth = GROUND_TRUTH) -> pathlib.Path:
    """Writes train/_annotations.createml.json beside its images, and so on."""
    for split, scenes in ground_truth.items():
        table = []
        for scene in scenes:
            annotations = [
                {
                    "label": name,
                    "coordinates": {"x": (x1 + x2) / 2, "y": (y1 + y2) / 2, "width": x2 - x1, "height": y2 - y1},
                }
                for name, x1, y1, x2, y2 in scene.boxes
            ]
            table.append({"image": scene.name, "annotations": annotations})
        _write_whole(root / split, scenes, table, "_annotations.createml.json")
    return root


def write_labelme(root: pathlib.Path, ground_truth: GroundTruth = GROUND_TRUTH) -> pathlib.Path:
    """Writes one JSON beside each image, below train/, and so on."""
    for split, scenes in ground_truth.items():
        write_images(root / split, scenes)
        for scene in scenes:
            shapes = [
                {"label": name, "points": [[x2, y2], [x1, y1]], "shape_type": "rectangle"}
                for name, x1, y1, x2, y2 in scene.boxes
            ]
            table = {"shapes": shapes, "imagePath": scene.name, "imageHeight": HEIGHT, "imageWidth": WIDTH}
            put(root / split / scene.name.replace(".jpg", ".json"), json.dumps(table))
    return root


def write_supervisely(root: pathlib.Path, ground_truth: GroundTruth = GROUND_TRUTH) -> pathlib.Path:
    """Writes a project's datasets, which are the splits."""
    for split, scenes in ground_truth.items():
        write_images(root / split / "img", scenes)
        for scene in scenes:
            objects = [
                {"classTitle": name, "geometryType": "rectangle", "points": {"exterior": [[x1, y1], [x2, y2]]}}
                for name, x1, y1, x2, y2 in scene.boxes
            ]
            table = {"tags": [], "size": {"height": HEIGHT, "width": WIDTH}, "objects": objects}
            put(root / split / "ann" / f"{scene.name}.json", json.dumps(table))
    return root


def write_datumaro(root: pathlib.Path, ground_truth: GroundTruth = GROUND_TRUTH) -> pathlib.Path:
    """Writes annotations/train.json with images/train/, and so on."""
    for split, scenes in ground_truth.items():
        write_images(root / "images" / split, scenes)
        items = []
        for scene in scenes:
            annotations = [
                {"type": "bbox", "label_id": CLASS_NAMES.index(name), "bbox": [x1, y1, x2 - x1, y2 - y1]}
                for name, x1, y1, x2, y2 in scene.boxes
            ]
            image = {"path": scene.name, "size": [HEIGHT, WIDTH]}
            items.append({"id": scene.name[:-4], "annotations": annotations, "image": image})
        labels = {"label": {"labels": [{"name": name} for name in CLASS_NAMES]}}
        put(root / "annotations" / f"{split}.json", json.dumps({"categories": labels, "items": items}))
    return root


def write_cvat(root: pathlib.Path, ground_truth: GroundTruth = GROUND_TRUTH) -> pathlib.Path:
    """Writes annotations.xml with its images, whose subset is the split."""
    lines = ["<annotations>"]
    for split, scenes in ground_truth.items():
        write_images(root / "images" / split, scenes)
        for scene in scenes:
            lines.append(f'<image name="{scene.name}" subset="{split}" width="{WIDTH}" height="{HEIGHT}">')
            lines += [
                f'<box label="{name}" xtl="{x1}" ytl="{y1}" xbr="{x2}" ybr="{y2}"></box>'
                for name, x1, y1, x2, y2 in scene.boxes
            ]
            lines.append("</image>")
    put(root / "annotations.xml", "\n".join([*lines, "</annotations>", ""]))
    return root


def write_bdd100k(root: pathlib.Path, ground_truth: GroundTruth = GROUND_TRUTH) -> pathlib.Path:
    """Writes labels/det_20/det_train.json with images/100k/train/, and so on."""
    for split, scenes in ground_truth.items():
        write_images(root / "images" / "100k" / split, scenes)
        table = []
        for scene in scenes:
            labels = [
                {"category": name, "box2d": {"x1": x1, "y1": y1, "x2": x2, "y2": y2}}
                for name, x1, y1, x2, y2 in scene.boxes
            ]
            table.append({"name": scene.name, "labels": [*labels, {"category": "lane", "poly2d": []}]})
        put(root / "labels" / "det_20" / f"det_{split}.json", json.dumps(table))
    return root


def write_tfds(root: pathlib.Path, ground_truth: GroundTruth = GROUND_TRUTH) -> str:
    """Prepares a dataset with TFDS's own writer; returns the reader's argument."""
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "image/filename": tfds.features.Text(),
            "objects": tfds.features.Sequence(
                {"bbox": tfds.features.BBoxFeature(), "label": tfds.features.ClassLabel(names=list(CLASS_NAMES))}
            ),
        }
    )
    images = root / "images"
    for scenes in ground_truth.values():
        write_images(images, scenes)

    def examples(scenes: Sequence[Scene]) -> Iterator[tuple[str, dict[str, Any]]]:
        for scene in scenes:
            objects = []
            for name, xmin, ymin, xmax, ymax in scene.boxes:
                corners = np.array([ymin, xmin, ymax, xmax]) / [HEIGHT, WIDTH, HEIGHT, WIDTH]
                objects.append({"bbox": tfds.features.BBox(*corners.tolist()), "label": name})
            yield scene.name, {"image": images / scene.name, "image/filename": scene.name, "objects": objects}

    tfds.dataset_builders.store_as_tfds_dataset(
        name="small_scenes",
        version="1.0.0",
        data_dir=root,
        features=features,
        split_datasets={split: examples(scenes) for split, scenes in ground_truth.items()},
        disable_shuffling=True,
    )
    return f"small_scenes,data_dir={root}"


WRITERS: dict[str, Callable[..., pathlib.Path]] = {
    "coco": write_coco,
    "voc": write_voc,
    "yolo": write_yolo,
    "kitti": write_kitti,
    "csv": write_csv,
    "automl": write_automl,
    "flir_v1": write_flir_v1,
    "flir_v2": write_flir_v2,
    "cvat": write_cvat,
    "datumaro": write_datumaro,
    "supervisely": write_supervisely,
    "labelme": write_labelme,
    "via": write_via,
    "createml": write_createml,
    "bdd100k": write_bdd100k,
}
KINDS = {name: {"automl": "csv", "flir_v1": "flir", "flir_v2": "flir"}.get(name, name) for name in WRITERS}
