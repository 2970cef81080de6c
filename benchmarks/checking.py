"""Times `ssd-tuner data check` on 100,000 synthetic annotations, and shows that memory hardly grows with images.

The same number of boxes lies in more and more small JPEG images of a COCO folder; each is checked in a process of its
own. What Python, NumPy and Pillow take before a dataset is opened is measured by a dataset of 10 images.

    python -m benchmarks.checking
"""

import argparse
import io
import json
import os
import pathlib
import platform
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
from PIL import Image

SIZES = ((10, 5), (2_500, 40), (20_000, 5), (50_000, 2))  # images, boxes in each
WIDTH, HEIGHT = 160, 120
SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}


def write_dataset(root: pathlib.Path, num_images: int, boxes_per_image: int) -> None:
    """Writes a COCO folder of random smooth pictures with random boxes.

    Args:
        root: folder to write to.
        num_images: of all splits together.
        boxes_per_image: in each.
    """
    rng = np.random.default_rng(0)
    for split, share in SHARES.items():
        (root / split).mkdir(parents=True)
        images, annotations = [], []
        for number in range(round(num_images * share)):
            name = f"{split}_{number:06d}.jpg"
            noise = rng.integers(0, 256, (12, 16), dtype=np.uint8)
            buffer = io.BytesIO()
            Image.fromarray(noise).resize((WIDTH, HEIGHT)).save(buffer, "JPEG")
            (root / split / name).write_bytes(buffer.getvalue())
            images.append({"id": number, "file_name": name, "height": HEIGHT, "width": WIDTH})
            for x, y, category in rng.integers(0, (WIDTH - 30, HEIGHT - 30, 3), (boxes_per_image, 3)).tolist():
                box = {"bbox": [x, y, 28.5, 20.25], "category_id": category, "area": 577.1, "iscrowd": 0}
                annotations.append({"id": len(annotations), "image_id": number, **box})
        categories = [{"id": number, "name": name} for number, name in enumerate(("person", "bicycle", "car"))]
        table = {"images": images, "annotations": annotations, "categories": categories}
        (root / f"{split}.json").write_text(json.dumps(table))


def measure(root: str) -> dict[str, float]:
    """Checks a dataset in this process.

    Args:
        root: of the dataset.

    Returns:
        seconds, peak_mb of this process, num_boxes and num_findings.
    """
    from data import sources
    from data.checks import dataset

    started = time.perf_counter()
    report = dataset.check(sources.open_source(f"coco:{root}"))
    return {
        "seconds": time.perf_counter() - started,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "num_boxes": sum(int(totals.num_boxes.sum()) for totals in report.totals.values()),
        "num_findings": sum(report.findings.count(kind) for kind in report.findings.kinds()),
    }


def main() -> None:
    """Measures every size and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", metavar="FOLDER", help="check this dataset in this process and print JSON")
    folder = parser.parse_args().measure
    if folder:
        print(json.dumps(measure(folder)))
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, NumPy {np.__version__}")
    print(f"{'images':>8} {'boxes':>8} {'seconds':>8} {'images/s':>9} {'peak MB':>8} {'findings':>9}")
    for num_images, boxes_per_image in SIZES:
        with tempfile.TemporaryDirectory() as root:
            write_dataset(pathlib.Path(root) / "set", num_images, boxes_per_image)
            command = [sys.executable, "-m", "benchmarks.checking", f"--measure={root}/set"]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        rate = num_images / found["seconds"]
        print(
            f"{num_images:8d} {found['num_boxes']:8d} {found['seconds']:8.1f} {rate:9.0f} {found['peak_mb']:8.0f}"
            f" {found['num_findings']:9d}",
            flush=True,
        )


if __name__ == "__main__":
    main()
