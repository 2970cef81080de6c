"""Small COCO datasets on disk, for tests that read them."""

import io
import json
import pathlib
from typing import Any

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 48, 64
BOX = [4, 5, 20, 10]


def image_bytes(
    seed: int = 0, image_format: str = "JPEG", mode: str = "L", size: tuple[int, int] = (WIDTH, HEIGHT)
) -> bytes:
    """Encodes a smooth random image; size is width, height in px."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize(size).convert(mode).save(buffer, image_format)
    return buffer.getvalue()


def annotation(image_id: int, bbox: Any = BOX, category_id: int = 1, **fields: Any) -> dict[str, Any]:
    """Makes one annotation."""
    return {"id": image_id, "image_id": image_id, "category_id": category_id, "bbox": bbox} | fields


def table(num_images: int, annotations: list[dict[str, Any]] | None = None, categories: Any = None) -> dict[str, Any]:
    """Makes a split's JSON: images 0.jpg, 1.jpg, ..., one box of category 1 each unless told otherwise."""
    images = [{"id": n, "file_name": f"{n}.jpg", "height": HEIGHT, "width": WIDTH} for n in range(num_images)]
    named = categories or {1: "car", 2: "person"}
    return {
        "images": images,
        "annotations": [annotation(n) for n in range(num_images)] if annotations is None else annotations,
        "categories": [{"id": key, "name": name} for key, name in named.items()],
    }


def write(root: pathlib.Path, **tables: dict[str, Any]) -> pathlib.Path:
    """Writes splits by name, with the images their tables list; returns the root."""
    for split, content in tables.items():
        (root / split).mkdir(parents=True)
        (root / f"{split}.json").write_text(json.dumps(content))
        for number, image in enumerate(content["images"]):
            name = image.get("file_name") or image["filename"]
            (root / split / name).write_bytes(image_bytes(number))
    return root
