"""Reads a dataset once and gathers what is wrong with it."""

import collections
import dataclasses
import functools
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from data import errors, example_rules, image_decoding, loading, progress, sources
from data.checks import image_headers, similar_images
from data.checks.findings import Findings, Severity
from data.examples import DetectionRecord
from data.sources import annotated, base, box_units, selection

_PROGRESS_EVERY = 16  # images
_KIND_OF_MENDED = {
    image_decoding.TURNED: "image_turned",
    image_decoding.STRETCHED: "image_stretched",
    example_rules.CLIPPED: "box_clipped",
    example_rules.DUPLICATE: "duplicate_box",
}
_REWRITTEN = "image stored as PNG"


@dataclasses.dataclass
class SplitTotals:
    """What a split holds.

    Attributes:
        num_images: that are listed.
        num_good: that can be used.
        num_boxes: of the good images, by label; regions to ignore do not count.
        num_ignored: regions to ignore in them.
    """

    num_images: int
    num_good: int
    num_boxes: np.ndarray
    num_ignored: int = 0


@dataclasses.dataclass(frozen=True)
class CheckReport:
    """What a check found.

    Attributes:
        spec: of the dataset.
        class_names: in label order.
        totals: by split.
        findings: all that was found.
    """

    spec: str
    class_names: tuple[str, ...]
    totals: dict[str, SplitTotals]
    findings: Findings

    @property
    def is_usable(self) -> bool:
        """Whether every image can be used as it is or mended."""
        return self.findings.worst() not in (Severity.QUESTION, Severity.QUARANTINED)

    def to_json(self) -> dict[str, Any]:
        """Returns the report as JSON values."""
        splits = {
            split: {
                "num_images": totals.num_images,
                "num_good": totals.num_good,
                "num_boxes": dict(zip(self.class_names, totals.num_boxes.tolist(), strict=True)),
                "num_ignored": totals.num_ignored,
            }
            for split, totals in self.totals.items()
        }
        return {
            "dataset": self.spec,
            "class_names": list(self.class_names),
            "is_usable": self.is_usable,
            "splits": splits,
            "findings": self.findings.to_json(),
        }


def check(source: base.Source, keep_all: bool = False) -> CheckReport:
    """Reads every example of a dataset once.

    Beside what the source holds, memory grows by some 100 bytes an image.

    Args:
        source: from `sources.open_source`, or a reader's own.
        keep_all: keep every finding, not only the first of each kind.

    Returns:
        What was found.
    """
    findings, gallery = Findings(keep_all), similar_images.Gallery()
    for origin in getattr(source, "origins", (source,)):
        for notice in getattr(origin, "notices", ()):
            findings.add(notice.kind, file=notice.file, detail=notice.detail)
    report = CheckReport(source.spec, tuple(source.class_names), {}, findings)
    for split, item, loaded in _load_all(source, report):
        _examine(source, split, item, loaded, findings)
        if isinstance(loaded, errors.BadExampleError):
            continue
        totals = report.totals[split]
        totals.num_good += 1
        np.add.at(totals.num_boxes, loaded.labels[~loaded.is_crowd], 1)
        totals.num_ignored += loaded.num_ignored
        picture = similar_images.recognise(loaded.encoded)
        if picture.hash is None:
            findings.add("blank_image", split, _file_of(source, item))
        gallery.add(split, loaded.source_id, picture)
    _find_split_gaps(report)
    _find_refusal(source, report)
    _find_class_gaps(report)
    _find_repeated_names(gallery, findings)
    gallery.find_leaks(
        lambda kind, index, detail: findings.add(kind, gallery.splits[index], gallery.path(index), detail)
    )
    return report


def _load_all(
    source: base.Source, report: CheckReport
) -> Iterator[tuple[str, Any, DetectionRecord | errors.BadExampleError]]:
    """Yields split, item and what it holds or why it is unusable; starts the splits' totals and reports progress."""
    items = {split: source.items(split) for split in source.splits}
    total, done = sum(map(len, items.values())), 0
    for split, members in items.items():
        report.totals[split] = SplitTotals(len(members), 0, np.zeros(len(source.class_names), np.int64))
        for item, loaded in zip(members, loading.load_items(source, members), strict=True):
            yield split, item, loaded
            done += 1
            if done % _PROGRESS_EVERY == 0 or done == total:
                progress.emit("ingest", done=done, total=total)


def _examine(
    source: base.Source, split: str, item: Any, loaded: DetectionRecord | errors.BadExampleError, findings: Findings
) -> None:
    """Adds what is to be said of one example."""
    origin, raw = _annotation(source, item)
    add = functools.partial(findings.add, split=split, file=_file_of(source, item))
    header = _header(raw.path) if raw else None
    record = None
    if isinstance(loaded, image_decoding.AmbiguousImageError):
        add("exif_in_doubt", detail=f"orientation {header.orientation}" if header else loaded.reason)
    elif isinstance(loaded, errors.BadExampleError):
        if raw is not None and header is not None and loaded.kind in example_rules.BROKEN_BOX_KINDS:
            _add_broken_boxes(origin, raw, header, add)
        else:
            add(loaded.kind, detail=_shorten(loaded.reason))
    else:
        record = loaded
        _add_mended(record, raw, add)
        header = header or image_headers.read_header(io.BytesIO(record.encoded))
    if header is not None:
        for kind, detail in header.facts(raw.path if raw else ""):
            add(kind, detail=detail)
        if record is not None and header.orientation != 1 and image_decoding.TURNED not in record.mended:
            add("exif_ignored", detail=f"orientation {header.orientation}, boxes fit the image as it is stored")
    if raw is not None and header is not None:
        _add_doubts(origin, raw, header, add)


def _add_mended(record: DetectionRecord, raw: annotated.AnnotatedImage | None, add: Callable[..., None]) -> None:
    for text in record.mended:
        if text == annotated.OTHER_SIZE:
            if raw is None:  # else `_add_doubts` says it, with both sizes
                add("other_size")
            continue
        kind = "image_rewritten" if text.endswith(_REWRITTEN) else _KIND_OF_MENDED.get(text, "mended")
        add(kind, detail="" if text in _KIND_OF_MENDED else text)


def _add_broken_boxes(
    origin: annotated.AnnotatedSource,
    raw: annotated.AnnotatedImage,
    header: image_headers.Header,
    add: Callable[..., None],
) -> None:
    """Adds every broken box of an image, not only the first."""
    height, width = header.size_for(raw.size, origin.options.exif)
    form = origin.form_of(raw)
    for broken in example_rules.broken_boxes(box_units.to_xywh_px(raw.boxes, form, height, width), height, width):
        box = raw.boxes[broken.row]
        if not form.endswith("_px") and box_units.in_other_units(box, form):
            add("box_in_pixels", detail="box [" + ", ".join(f"{value:g}" for value in box) + "]")
        else:
            add(broken.kind, detail=_shorten(broken.reason))


def _add_doubts(
    origin: annotated.AnnotatedSource,
    raw: annotated.AnnotatedImage,
    header: image_headers.Header,
    add: Callable[..., None],
) -> None:
    """Adds what is suspicious of an annotation that can be used as it stands."""
    form = origin.form_of(raw)
    if raw.boxes and form.endswith("_px") and all(box_units.in_other_units(box, form) for box in raw.boxes):
        add("box_in_fractions", detail="first box [" + ", ".join(f"{value:g}" for value in raw.boxes[0]) + "]")
    height, width = header.size_for(raw.size, origin.options.exif)
    if raw.size not in (None, (height, width)):
        add("other_size", detail=f"file {width}x{height} px, annotation {raw.size[1]}x{raw.size[0]} px")


def _find_split_gaps(report: CheckReport) -> None:
    """Adds what a training cannot start with: splits that are missing or empty, and splits without objects."""
    for split in base.SPLITS:
        totals = report.totals.get(split)
        if totals is None:
            report.findings.add("missing_split", file=split)
        elif not totals.num_good:
            report.findings.add("empty_split", file=split)
        elif not totals.num_boxes.any():
            report.findings.add("no_objects", file=split)


def _find_refusal(source: base.Source, report: CheckReport) -> None:
    """Adds why a run does not get the splits that it needs, or gets one without an object out of train."""
    if not isinstance(source, selection.SelectedSource):
        return
    divided = source.divided()
    try:
        sources.require(divided, base.SPLITS)
    except errors.UserError as refusal:
        report.findings.add("refused", detail=str(refusal))
        return
    for split in set(base.SPLITS).difference(report.totals):
        loaded = loading.load_items(divided, divided.items(split))
        if not any(isinstance(one, DetectionRecord) and (~one.is_crowd).any() for one in loaded):
            report.findings.add("no_objects", file=split)


def _find_class_gaps(report: CheckReport) -> None:
    """Adds classes that have no box, or none in some split, and names that may mean one class."""
    spellings = collections.defaultdict(list)
    for name in report.class_names:
        spellings[name.casefold()].append(name)
    for names in spellings.values():
        if len(names) > 1:
            report.findings.add("similar_class", file=" and ".join(names))
    for label, name in enumerate(report.class_names):
        counts = {split: int(totals.num_boxes[label]) for split, totals in report.totals.items()}
        if not any(counts.values()):
            report.findings.add("empty_class", file=name)
        elif not all(counts.values()):
            shown = ", ".join(f"{split} {count}" for split, count in counts.items())
            report.findings.add("uneven_class", file=name, detail=f"boxes: {shown}")


def _find_repeated_names(gallery: similar_images.Gallery, findings: Findings) -> None:
    splits: dict[str, list[str]] = collections.defaultdict(list)
    for split, name in zip(gallery.splits, gallery.names, strict=True):
        splits[name].append(split)
    for name, where in splits.items():
        if len(where) > 1:
            findings.add("repeated_name", where[-1], name, f"in {' and '.join(where)}")


def _annotation(
    source: base.Source, item: Any
) -> tuple[annotated.AnnotatedSource, annotated.AnnotatedImage] | tuple[None, None]:
    """Returns the reader of an item and what the annotation states, where its images and annotations are files."""
    origins: Sequence[base.Source] | None = getattr(source, "origins", None)
    if origins is not None:
        source, item = origins[item.origin], item.item
    if isinstance(source, annotated.AnnotatedSource) and isinstance(item, annotated.AnnotatedImage):
        return source, item
    return None, None


def _file_of(source: base.Source, item: Any) -> str:
    raw = _annotation(source, item)[1]
    return raw.path if raw else item.source_id


def _shorten(reason: str) -> str:
    """Leaves out what the table says anyway."""
    return reason.removeprefix("the image does not decode: ").replace("(x, y, width, height in px)", "(xywh px)")


def _header(path: str) -> image_headers.Header | None:
    try:
        with open(path, "rb") as file:
            return image_headers.read_header(file)
    except OSError:
        return None  # reading the image says why
