"""The folder that an ingested dataset lies in: its description and its TFRecord files."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Sequence

FILE_NAME = "dataset.json"


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """What `dataset.json` of an ingested dataset says.

    Attributes:
        spec: the dataset as the user named it.
        fingerprint: changes when the data changes.
        class_names: in label order.
        num_examples: by split.
        num_boxes: by split.
        num_quarantined: by split.
        max_boxes: the most boxes of one image.
    """

    spec: str
    fingerprint: str
    class_names: tuple[str, ...]
    num_examples: dict[str, int]
    num_boxes: dict[str, int]
    num_quarantined: dict[str, int]
    max_boxes: int


def read(folder: str | os.PathLike[str]) -> DatasetInfo:
    """Reads the description of an ingested dataset from its folder."""
    values = json.loads((pathlib.Path(folder) / FILE_NAME).read_text())
    known = {field.name for field in dataclasses.fields(DatasetInfo)}
    values = {name: value for name, value in values.items() if name in known}
    return DatasetInfo(**{**values, "class_names": tuple(values["class_names"])})


def examples_dir(split_patterns: Sequence[str]) -> pathlib.Path:
    """Finds the folder from the file patterns of a split that TFX hands to its functions (`.../Split-train/*`)."""
    return pathlib.Path(split_patterns[0]).parent.parent


def split_files(folder: str | os.PathLike[str], split: str) -> list[str]:
    """Lists the TFRecord files of a split, sorted."""
    return sorted(str(path) for path in (pathlib.Path(folder) / f"Split-{split}").glob("data_tfrecord-*.gz"))
