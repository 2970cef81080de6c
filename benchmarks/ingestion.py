"""Times ingestion to TFRecord beside TFDS's own `download_and_prepare`, in the same run, on the same COCO folder.

Ours reads the JSON, decodes and checks every image and box, and writes GZIP TFRecord shards with the images' own bytes
(`ingest.write_shard`, what a Beam worker runs), with a thread a core. The peer is a `GeneratorBasedBuilder` with the
features of TFDS's own COCO, in both ways that TFDS offers: it hands over the images' paths, and TFDS copies
their bytes and looks at none; or it decodes them, as TFDS's KITTI does, so that an unreadable one is found, and TFDS
encodes them again. Each is one process; TFDS uses one thread. Rounds alternate, after one that is not counted.

    python -m benchmarks.ingestion
"""

import contextlib
import importlib.metadata
import io
import json
import os
import pathlib
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from data import convert, sources
from pipeline.components import ingest

IMAGES = 300
HEIGHT_PX, WIDTH_PX = 512, 640
ROUNDS = 5
OURS, COPYING, DECODING = "ssd-tuner, checked and copied", "TFDS, copied unseen", "TFDS, decoded and encoded"


class CocoFolder(tfds.core.GeneratorBasedBuilder):
    """The folder's train split, with the features of TFDS's own COCO."""

    code_path = None  # there are no checksums of downloads to look for beside the code
    VERSION = tfds.core.Version("1.0.0")
    root: pathlib.Path
    class_names: list[str]
    decodes: bool

    def _info(self) -> tfds.core.DatasetInfo:
        """Declares the features."""
        return tfds.core.DatasetInfo(
            builder=self,
            description="A COCO folder.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(encoding_format="jpeg"),
                    "image/filename": tfds.features.Text(),
                    "image/id": np.int64,
                    "objects": tfds.features.Sequence(
                        {
                            "id": np.int64,
                            "area": np.float32,
                            "bbox": tfds.features.BBoxFeature(),
                            "label": tfds.features.ClassLabel(names=self.class_names),
                            "is_crowd": np.bool_,
                        }
                    ),
                }
            ),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator[tuple[int, Any]]]:
        """Returns the one split."""
        del dl_manager
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields the images of the JSON."""
        table = json.loads((self.root / "train.json").read_text())
        rows: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in table["images"]}
        for row in table["annotations"]:
            rows[row["image_id"]].append(row)
        for image in table["images"]:
            path = self.root / "train" / image["file_name"]
            yield (
                image["id"],
                {
                    "image": np.asarray(Image.open(path).convert("RGB")) if self.decodes else str(path),
                    "image/filename": image["file_name"],
                    "image/id": image["id"],
                    "objects": [_object(row, image["height"], image["width"]) for row in rows[image["id"]]],
                },
            )


def main() -> int:
    """Prints images a second of both, and their ratio; returns 0."""
    print(f"machine: {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print("command: python -m benchmarks.ingestion")
    packages = ("tensorflow-datasets", "tensorflow", "pillow", "numpy")
    print("versions:", *(f"{package} {importlib.metadata.version(package)}" for package in packages))
    tfds.disable_progress_bar()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        spec = f"road_scenes:train={IMAGES},val=1,test=1,size={HEIGHT_PX}x{WIDTH_PX}"
        convert.convert(sources.open_source(spec), "coco", folder / "coco")
        size = sum(path.stat().st_size for path in (folder / "coco" / "train").iterdir())
        print(
            f"{IMAGES} JPEG images of {WIDTH_PX}x{HEIGHT_PX} px, {size / IMAGES / 1e3:.0f} kB each; {ROUNDS} rounds\n"
        )
        rates: dict[str, list[float]] = {OURS: [], COPYING: [], DECODING: []}
        for number in range(ROUNDS + 1):
            rates[OURS].append(IMAGES / _time_ours(folder / "coco", folder / f"{number}/ours"))
            for label in (COPYING, DECODING):
                seconds = _time_tfds(folder / "coco", folder / f"{number}/{label}", label == DECODING)
                rates[label].append(IMAGES / seconds)
            shutil.rmtree(folder / str(number))
    print(f"median images/s of {ROUNDS} rounds (least to most)")
    for label, values in rates.items():
        print(f"  {label:<36}{statistics.median(values[1:]):8.1f} ({min(values[1:]):.1f} to {max(values[1:]):.1f})")
    for label in (COPYING, DECODING):
        ratio = statistics.median(one / other for one, other in zip(rates[OURS][1:], rates[label][1:], strict=True))
        target = "target: at least 3" if label == DECODING else "no target: it looks at no image"
        print(f"  {OURS} / {label}: {ratio:.2f} (median of the rounds' ratios; {target})")
    return 0


def _time_ours(coco: pathlib.Path, output: pathlib.Path) -> float:
    start = time.perf_counter()
    source = sources.open_source(f"coco:{coco}", required_splits=["train"])
    shards = ingest.plan_shards("train", source.items("train"), str(output))
    written = sum(ingest.write_shard(shard, source).num_examples for shard in shards)
    seconds = time.perf_counter() - start
    if written != IMAGES:
        raise RuntimeError(f"{written} of {IMAGES} images were written.")
    return seconds


def _time_tfds(coco: pathlib.Path, output: pathlib.Path, decodes: bool) -> float:
    CocoFolder.root, CocoFolder.decodes = coco, decodes
    CocoFolder.class_names = [entry["name"] for entry in json.loads((coco / "train.json").read_text())["categories"]]
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        builder = CocoFolder(data_dir=output)
        builder.download_and_prepare()
    seconds = time.perf_counter() - start
    if builder.info.splits["train"].num_examples != IMAGES:
        raise RuntimeError(f"{builder.info.splits['train'].num_examples} of {IMAGES} images were written.")
    return seconds


def _object(row: dict[str, Any], height: int, width: int) -> dict[str, Any]:
    x, y, w, h = row["bbox"]
    return {
        "id": row["id"],
        "area": row["area"],
        "bbox": tfds.features.BBox(ymin=y / height, xmin=x / width, ymax=(y + h) / height, xmax=(x + w) / width),
        "label": row["category_id"] - 1,
        "is_crowd": bool(row["iscrowd"]),
    }


if __name__ == "__main__":
    raise SystemExit(main())
