"""Reads TFRecord files of tf.Examples with the Object Detection API's keys, as others or our own ExampleGen wrote them.

The split is told by a word in the name of a file or of its folder (`pet_train.record-00000-of-00010`,
`Split-val/data_tfrecord-00000-of-00001.gz`). The classes' names come from a label map (`*.pbtxt`), from dataset.json,
or from `image/object/class/text`. Where a record has both a label and a text for a box, they must name one class;
`,classes=label` or `,classes=text` behind the path says which counts where they do not. A box is a region to ignore
where `is_crowd`, `difficult` or `group_of` says so: COCO, VOC and Open Images leave such boxes out of their scores.
"""

import collections
import glob
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data import dataset_info, errors, label_map, progress
from data.examples import DetectionRecord
from data.sources import annotated, base, class_labels, example_records, layout, record_files, values

_LABEL_MAP = re.compile(r"\bitem\s*:?\s*\{")
CLASS_KEYS = ("label", "text")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_IGNORE_KEYS = ("is_crowd", "difficult", "group_of")
_LARGEST_NORMALIZED = 2.0  # a normalised coordinate is at most a little over 1
_PIXELS_SHARE = 0.5  # of the boxes that must look like pixels before the question is asked


class TfrecordSource(base.Reader):
    """Object Detection API TFRecords, plain or GZIP."""

    kind = "tfrecord"
    looks_below = True
    argument_help = (
        ":PATH[,classes=label|text] (folder, file or pattern of TFRecord files with the Object Detection API's keys)"
    )

    def __init__(
        self,
        spec: str,
        files: Mapping[str, Sequence[Path]],
        root: Path,
        options: base.ReadOptions,
        classes_by: str = "",
    ) -> None:
        """Reads all files once and notes where each record lies.

        Args:
            spec: what the user typed.
            files: by split.
            root: folder to look for a label map in.
            options: answers to what the data leaves open.
            classes_by: which of `CLASS_KEYS` counts where they contradict each other, or "".

        Raises:
            UserError: a file is damaged or has other keys, the classes have no names, or two for one box.
        """
        self.spec, self.options, self._classes_by = spec, options, classes_by
        self.splits = tuple(split for split in base.SPLITS if split in files)
        self._paths = [str(path) for split in self.splits for path in files[split]]
        names, named_by = _read_names(root, files)
        survey = _Survey(spec, names)
        self._items = {split: survey.read(split, list(map(str, files[split]))) for split in self.splits}
        self.splits = _with_records(self._items, files)
        self._paths += [str(named_by)] if named_by else []
        if not classes_by:
            survey.check_texts()
        if names and named_by and classes_by != "text":
            class_labels.check_shift(spec, named_by, names, survey.used, "give its items the ids that the boxes have")
        self._set_classes(survey.class_names(classes_by) if not names or classes_by == "text" else names)
        self._in_pixels = survey.in_pixels(options)

    def __getstate__(self) -> dict[str, Any]:
        """Leaves the items behind: a worker gets those it loads."""
        return self.__dict__ | {"_items": {}}

    @classmethod
    def open(cls, spec: str, argument: str, options: base.ReadOptions) -> "TfrecordSource":
        """Opens a folder, a file, or the files that a pattern matches.

        Raises:
            UserError: no file is there, shards are missing, a file is damaged or has other keys, or the classes have
                no names.
        """
        path, comma, classes_by = argument.partition(",classes=")
        if comma and classes_by not in CLASS_KEYS:
            raise errors.UserError(f"Dataset `{spec}`: `classes` must be label or text: got `{classes_by}`.")
        root = Path(path).expanduser()
        if not path:
            raise errors.UserError(f"Dataset `{spec}`: the path is missing. Write tfrecord:PATH.")
        if root.is_dir():
            paths = record_files.find_files(root)
            record_files.check_shards(paths)
        else:
            paths = [root] if root.exists() else sorted(Path(name) for name in glob.glob(str(root)))
            root = root.parent
        if not paths:
            found = f"; `{root}` holds {base.found_in(root)}" if root.is_dir() else ""
            raise errors.UserError(
                f"Dataset `{spec}`: no TFRecord file is there{found}. Their names look like train.tfrecord or"
                " pet_train.record-00000-of-00010."
            )
        return cls(spec, record_files.by_split(spec, paths, root), root, options, classes_by)

    @classmethod
    def recognises(cls, path: Path) -> str | None:
        """Says which TFRecord file a path is or holds; data that TFDS prepared is not in this format."""
        if path.is_file():
            return f"{path.name} is named as a TFRecord file" if record_files.FILE_NAME.fullmatch(path.name) else None
        files = record_files.find_files(path) if path.is_dir() and not (path / "features.json").exists() else []
        return f"{files[0].relative_to(path)} is a TFRecord file" if files else None

    def fingerprint(self) -> str:
        """Returns a digest of the options and of the names and contents of all files."""
        return example_records.digest(self._paths, self.options, self._classes_by)

    def items(self, split: str) -> list[example_records.RecordItem]:
        """Lists a split's records in the order of the files."""
        return list(self._items[split])

    def load(self, item: example_records.RecordItem) -> DetectionRecord:
        """Reads one record and checks it.

        Args:
            item: one of `items`.

        Returns:
            The example.

        Raises:
            BadExampleError: the record, its image or a box is unusable; names file and byte.
        """
        features = example_records.read_item(item)
        try:
            encoded, stated = self._parse(features, item.source_id, item.path)
            return example_records.to_record(encoded, stated, len(self.class_names), self.options)
        except errors.BadExampleError as error:
            where = f"record at byte {item.offset} ({item.source_id})"
            raise type(error)(item.path, f"{where}: {error.reason}", error.kind) from error

    def glance(self, item: example_records.RecordItem) -> base.Glance:
        """Tells what a record holds; the record is read and its image not decoded.

        Args:
            item: one of `items`.

        Raises:
            BadExampleError: the record is unusable.
        """
        return example_records.glance(*self._parse(example_records.read_item(item), item.source_id, item.path))

    def _set_classes(self, names: Mapping[int, tuple[str, ...]]) -> None:
        """Numbers the classes by ascending id; a category of regions to ignore is none."""
        if not names:
            raise errors.UserError(
                f"Dataset `{self.spec}`: the classes have no names: there is no label map (*.pbtxt), and no record has"
                " `image/object/class/text`. Put the label_map.pbtxt that the ids come from beside the files."
            )
        ignored = {key for key, given in names.items() if any(map(base.is_ignore_category, given))}
        plain = {key: class_labels.plain(given[0]) for key, given in names.items()}
        self.class_names = tuple(dict.fromkeys(name for key, name in plain.items() if key not in ignored))
        self._label_of: dict[int, int] = {
            key: annotated.IGNORE_LABEL if key in ignored else self.class_names.index(name)
            for key, name in plain.items()
        }
        texts = ((class_labels.plain(text), key) for key, given in names.items() for text in given)
        self._label_of_text = {text: self._label_of[key] for text, key in texts}
        used = {key: given[0] for key, given in names.items()}
        self.notices = tuple(class_labels.merged_names(used.items(), Path(self._paths[-1])))

    def _parse(
        self, features: example_records.Features, source_id: str, file: str
    ) -> tuple[bytes, annotated.AnnotatedImage]:
        columns = [features.get(f"image/object/bbox/{corner}", []) for corner in _CORNERS]
        counts = [len(column) for column in columns]
        if len(set(counts)) > 1:
            raise errors.BadExampleError(file, f"`image/object/bbox/*` have {', '.join(map(str, counts))} values")
        encoded = features.get("image/encoded", [])
        if len(encoded) != 1:
            raise errors.BadExampleError(file, f"it needs one `image/encoded`: got {len(encoded)}")
        flags = [_column(features, key, counts[0], file) for key in _IGNORE_KEYS]
        sides = [features.get(f"image/{side}", []) for side in ("height", "width")]
        return encoded[0], annotated.AnnotatedImage(
            source_id=source_id,
            path=file,
            boxes=tuple(zip(*columns, strict=True)),
            labels=tuple(self._labels(features, counts[0], file)),
            is_crowd=tuple(any(_flag(value, file) for value in row) for row in zip(*flags, strict=True)),
            areas_px=example_records.areas_px(_column(features, "area", counts[0], file), counts[0]),
            box_form="xyxy_px" if self._in_pixels else "xyxy",
            size=(sides[0][0], sides[1][0]) if all(len(side) == 1 for side in sides) else None,
        )

    def _labels(self, features: example_records.Features, count: int, file: str) -> list[int]:
        """Returns the labels; of ids where a record has them, else of texts, unless the user has said which count."""
        ids: list[Any] = features.get("image/object/class/label", [])
        texts = [class_labels.plain(_text(value)) for value in features.get("image/object/class/text", [])]
        known: Mapping[Any, int] = self._label_of
        if self._classes_by == "text" or not ids:
            ids, known = texts, self._label_of_text
        if len(ids) != count:
            raise errors.BadExampleError(file, f"it has {count} boxes and {len(ids)} labels")
        unknown = next((key for key in ids if key not in known), None)
        if unknown is not None:
            raise errors.BadExampleError(file, f"it has a box of class {unknown}, which has no name", "unknown_class")
        return [known[key] for key in ids]


class _Survey:
    """What one pass over all records tells; `names` are those of the label map.

    Attributes:
        used: where a box of each id is.
    """

    def __init__(self, spec: str, names: Mapping[int, tuple[str, ...]] | None) -> None:
        self._spec, self._map = spec, names
        self._names: dict[int, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        self._texts: set[str] = set()
        self.used: dict[int, str] = {}
        self._num_boxes = self._num_large = 0

    def read(self, split: str, paths: Sequence[str]) -> list[example_records.RecordItem]:
        """Lists a split's items with their names."""
        items, names, counts = [], [], collections.Counter()
        for item, features in example_records.scan(paths):
            if features is not None and not counts[item.path]:
                self._check_keys(features, item.path)
            counts[item.path] += 1
            if features is not None:
                self._look_at(features, item)
            place = f"{Path(item.path).name}-{counts[item.path] - 1:06d}"
            given = (_first_text(features or {}, key) for key in ("image/source_id", "image/filename"))
            items.append(item)
            names.append((*given, place))
        return example_records.name_items(items, _apart(names, paths), f"Split {split} of `{self._spec}`")

    def check_texts(self) -> None:
        """Checks that boxes' labels and texts name one class.

        Raises:
            UserError: the label map says otherwise, or, where there is none, an id goes with several texts.
        """
        for key, texts in sorted(self._names.items()):
            if self._map is None:
                if len(texts) > 1:
                    raise errors.UserError(
                        f"Dataset `{self._spec}`: class {key} is called {' and '.join(sorted(texts))}. Put the"
                        " label_map.pbtxt that the ids come from beside the files, or say that the texts count:"
                        f" tfrecord:{self._path()},classes=text."
                    )
                continue
            known = {class_labels.plain(name).casefold() for name in self._map.get(key, ())}
            other = next((text for text in texts if known and text.casefold() not in known), None)
            if other is not None:
                raise errors.UserError(
                    f"Dataset `{self._spec}`: {texts[other]} boxes have the label {key}, in the label map"
                    f" `{self._map[key][0]}`, and the text `{other}`. Which is right? Correct the label map, or say"
                    f" it: tfrecord:{self._path()},classes=label or tfrecord:{self._path()},classes=text."
                )

    def _path(self) -> str:
        return self._spec.removeprefix("tfrecord:").partition(",classes=")[0]

    def class_names(self, classes_by: str = "") -> dict[int, tuple[str, ...]]:
        """Returns {id: (name,)} as the records tell them; of texts alone where they are to count."""
        if classes_by == "text" or not self._names:
            return {number: (text,) for number, text in enumerate(sorted(self._texts), start=1)}
        return {key: (max(texts, key=lambda text: texts[text]),) for key, texts in sorted(self._names.items())}

    def in_pixels(self, options: base.ReadOptions) -> bool:
        """Says whether the boxes are in pixels.

        Raises:
            UserError: they look like that, and the user has not said what they are.
        """
        if options.box_units != "auto":
            return options.box_units == "pixels"
        if self._num_large > _PIXELS_SHARE * self._num_boxes:
            raise errors.UserError(
                f"Dataset `{self._spec}`: {self._num_large} of {self._num_boxes} boxes have coordinates above"
                f" {_LARGEST_NORMALIZED:g}, but the Object Detection API's are fractions of the image's sides. Are they"
                " pixels (--box_units=pixels), or fractions after all (--box_units=normalized)?"
            )
        return False

    def _look_at(self, features: example_records.Features, item: example_records.RecordItem) -> None:
        columns = [features.get(f"image/object/bbox/{corner}", []) for corner in _CORNERS]
        self._num_boxes += len(columns[0])
        self._num_large += sum(max(box) > _LARGEST_NORMALIZED for box in zip(*columns, strict=False))
        texts = [class_labels.plain(_text(value)) for value in features.get("image/object/class/text", [])]
        self._texts.update(filter(None, texts))
        ids = features.get("image/object/class/label", [])
        for key in set(ids) - self.used.keys():
            self.used[key] = f"a box of the record at byte {item.offset} of `{item.path}`"
        for key, text in zip(ids, texts, strict=False):
            if text:
                self._names[key][text] += 1

    def _check_keys(self, features: example_records.Features, path: str) -> None:
        if "image/encoded" not in features:
            keys = ", ".join(sorted(features)[:8]) or "none"
            raise errors.UserError(
                f"{path}: its records lack the Object Detection API's key `image/encoded`; they have {keys}."
                " Data that TFDS prepared is read as tfds:NAME."
            )


def _with_records(
    items: Mapping[str, Sequence[example_records.RecordItem]], files: Mapping[str, Sequence[Path]]
) -> tuple[str, ...]:
    """Returns the splits that have a record, and says of others that theirs are empty."""
    for split in (split for split, of_split in items.items() if not of_split):
        progress.emit("note", text=f"{files[split][0]} holds no record; {split} is left out.")
    return tuple(split for split, of_split in items.items() if of_split)


def _read_names(
    root: Path, files: Mapping[str, Sequence[Path]]
) -> tuple[dict[int, tuple[str, ...]] | None, Path | None]:
    """Finds the classes' names beside the files: {id: names} and the file they come from, or None twice."""
    folders = dict.fromkeys([root, *(path.parent for paths in files.values() for path in paths)])
    candidates = [path for folder in folders for path in layout.files(folder, ".pbtxt")]
    maps = {path: path.read_text(encoding="utf-8", errors="replace") for path in candidates}
    maps = {path: text for path, text in maps.items() if _LABEL_MAP.search(text)}
    if len(set(maps.values())) > 1:
        raise errors.UserError(f"Several label maps differ: {', '.join(map(str, maps))}. Keep one.")
    for path in maps:
        return label_map.read(path), path
    description = root / dataset_info.FILE_NAME
    if description.is_file():
        names = _class_names(description)
        return {number: (name,) for number, name in enumerate(names, start=1)}, description
    return None, None


def _class_names(description: Path) -> list[str]:
    """Reads the class names that ingestion wrote beside its records."""
    try:
        names = json.loads(description.read_text(encoding="utf-8"))["class_names"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise errors.UserError(
            f"{description}: it is not what ssd-tuner writes beside its records. Rename or remove it."
        ) from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise errors.UserError(f"{description}: `class_names` must be a list of names: got {names!r}.")
    return names


def _apart(names: list[tuple[str | None, ...]], paths: Sequence[str]) -> list[tuple[str | None, ...]]:
    """Puts the folder before the last names, where files in several folders have equal names."""
    if len({Path(path).name for path in paths}) == len(paths):
        return names
    return [(*column[:-1], f"{number:06d}-{column[-1]}") for number, column in enumerate(names)]


def _column(features: example_records.Features, key: str, count: int, file: str) -> list[Any]:
    """Returns one optional value a box, zeros where the record has none."""
    values = features.get(f"image/object/{key}", [])
    if len(values) not in (0, count):
        raise errors.BadExampleError(file, f"`image/object/{key}` has {len(values)} values for {count} boxes")
    return values or [0] * count


def _flag(value: Any, file: str) -> bool:
    try:
        return values.flag(value)
    except ValueError as error:
        raise errors.BadExampleError(file, f"`image/object/*`: {error}") from error


def _first_text(features: example_records.Features, key: str) -> str | None:
    values = features.get(key, [])
    return _text(values[0]) or None if values else None


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
