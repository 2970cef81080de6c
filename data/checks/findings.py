"""What can be wrong with a dataset: the kinds of findings, and the list they are gathered in."""

import dataclasses
import enum
from typing import Any

FIRST_EXAMPLES = 3


class Severity(enum.StrEnum):
    """What a finding leads to, the worst first."""

    QUESTION = "question"  # could be meant in two ways; the user has to answer with an option
    QUARANTINED = "quarantined"  # the example is left out, the rest continues
    WARNING = "warning"  # continues, but training or its results may suffer
    MENDED = "mended"  # was mended without guessing
    NOTE = "note"  # a fact worth knowing


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of finding.

    Attributes:
        severity: what it leads to.
        title: what was found, for the table.
        hint: what to do about it; "" where the title says it.
    """

    severity: Severity
    title: str
    hint: str = ""


_APART = "Put the frames of one recording into one split, as with --splits=0.8,0.1,0.1 --group_by=REGEX."

KINDS = {
    # One image: it could be meant in two ways.
    "exif_in_doubt": Kind(
        Severity.QUESTION,
        "EXIF orientation in doubt",
        "Look at one of the images: answer --exif=apply where the boxes fit the turned image, else --exif=ignore.",
    ),
    # One image: its file or its annotation is unusable.
    "missing_image": Kind(
        Severity.QUARANTINED,
        "image file missing",
        "The paths shown are those that were tried; correct names or folders.",
    ),
    "unreadable_image": Kind(Severity.QUARANTINED, "image file cannot be read"),
    "empty_image": Kind(Severity.QUARANTINED, "empty image file"),
    "not_an_image": Kind(Severity.QUARANTINED, "file is not an image"),
    "broken_image": Kind(Severity.QUARANTINED, "image truncated or broken"),
    "unsupported_image": Kind(Severity.QUARANTINED, "image format not supported"),
    "empty_split": Kind(
        Severity.QUARANTINED, "split without a usable image", "`ssd-tuner run` needs train, val and test."
    ),
    "no_objects": Kind(
        Severity.QUARANTINED, "split without an object", "Check --classes, --min_box_px and the annotations."
    ),
    "refused": Kind(Severity.QUARANTINED, "dataset that a run refuses"),
    "broken_annotation": Kind(Severity.QUARANTINED, "annotation malformed"),
    "unknown_class": Kind(Severity.QUARANTINED, "box of an unknown class"),
    "box_not_a_number": Kind(Severity.QUARANTINED, "box with NaN or infinity"),
    "box_inverted": Kind(Severity.QUARANTINED, "box inverted"),
    "box_without_area": Kind(Severity.QUARANTINED, "box without area"),
    "box_outside": Kind(
        Severity.QUARANTINED,
        "box outside its image",
        "Up to 1 px is clipped; one box that leaves its image further makes the image unusable. Where most boxes do,"
        " they may be written in another form (corners for width and height) or belong to images of another size.",
    ),
    "box_in_pixels": Kind(
        Severity.QUARANTINED,
        "box in pixels, not fractions",
        "Fractions of the image's sides are expected; --box_units=pixels holds for all boxes of the dataset.",
    ),
    "unusable": Kind(Severity.QUARANTINED, "example unusable"),
    # Goes on, but training or its results may suffer.
    "box_in_fractions": Kind(
        Severity.WARNING,
        "boxes of an image below one pixel",
        "They look like fractions of the image; --box_units=normalized holds for all boxes of the dataset.",
    ),
    "other_size": Kind(
        Severity.WARNING,
        "image of another size than annotated",
        "If the images were resized after they were annotated, all their boxes are in the wrong place: look at them"
        " with `ssd-tuner data show`.",
    ),
    "missing_split": Kind(
        Severity.WARNING,
        "split missing",
        "`ssd-tuner run` needs train, and takes a missing val or test out of it: add the files, or divide the dataset"
        " with --splits=0.8,0.1,0.1.",
    ),
    "similar_class": Kind(
        Severity.WARNING, "class names that differ in case only", "Merge them with --classes=NEW=ONE+OTHER."
    ),
    "unnamed_image": Kind(Severity.WARNING, "image without annotation"),
    "lost_annotation": Kind(Severity.WARNING, "annotation without image"),
    "inexact_name": Kind(
        Severity.WARNING,
        "file found by a name that is not exact",
        "It is the only file whose name is alike; correct the name where it is another one.",
    ),
    "other_filename": Kind(
        Severity.WARNING,
        "annotation that names another image",
        "The image called as the annotation file is taken. Correct the name in it, or the file's.",
    ),
    "other_id": Kind(
        Severity.WARNING,
        "item whose id is another image's name",
        "The image of its `path` is taken. Correct `id` or `path`.",
    ),
    "other_split": Kind(
        Severity.WARNING, "image in the folder of another split", "Move the image, or correct its subset."
    ),
    "counted_from_0": Kind(
        Severity.WARNING,
        "boxes of a VOC database that count from 0",
        "Look at some of them with `ssd-tuner data show`.",
    ),
    "merged_class": Kind(
        Severity.WARNING, "several numbers for one class name", "They count as one class. Rename them if they are not."
    ),
    "shared_image": Kind(
        Severity.WARNING, "image file in two splits", "Scores there are too good. Leave it out of one of the splits."
    ),
    "left_out": Kind(Severity.WARNING, "left out"),
    "all_ignored": Kind(
        Severity.WARNING, "every box is a region to ignore", "Look at `iscrowd`, `difficult` or `ignore`."
    ),
    "empty_class": Kind(Severity.WARNING, "class without boxes", "Leave it out with --classes."),
    "uneven_class": Kind(
        Severity.WARNING,
        "class without boxes in a split",
        "Divide the dataset anew with --splits, or leave it out with --classes.",
    ),
    "same_picture": Kind(Severity.WARNING, "same picture in two splits", "Remove it from one of the splits."),
    "similar_picture": Kind(Severity.WARNING, "nearly the same picture in two splits", _APART),
    "neighbouring_frames": Kind(Severity.WARNING, "neighbouring frames in two splits", _APART),
    # Mended without guessing.
    "image_turned": Kind(Severity.MENDED, "turned as EXIF says"),
    "image_stretched": Kind(Severity.MENDED, "16-bit image stretched to 8 bits"),
    "image_rewritten": Kind(Severity.MENDED, "image stored as PNG"),
    "box_clipped": Kind(Severity.MENDED, "box clipped to its image"),
    "duplicate_box": Kind(Severity.MENDED, "duplicate box removed"),
    "mended": Kind(Severity.MENDED, "mended"),
    # Facts.
    "told_twice": Kind(
        Severity.NOTE, "annotations in two formats", "Name the kind, as --dataset=voc:PATH, for the other."
    ),
    "unlabelled_image": Kind(Severity.NOTE, "image without a label file", "It counts as an image without objects."),
    "repeated_picture": Kind(Severity.NOTE, "same picture twice in a split"),
    "repeated_name": Kind(Severity.NOTE, "same name in two splits"),
    "renamed_image": Kind(Severity.NOTE, "image named as another format"),
    "exif_ignored": Kind(Severity.NOTE, "EXIF orientation without effect"),
    "cmyk_image": Kind(Severity.NOTE, "CMYK image"),
    "palette_image": Kind(Severity.NOTE, "palette image"),
    "transparent_image": Kind(Severity.NOTE, "transparent image", "Training and serving drop the transparency."),
    "deep_image": Kind(Severity.NOTE, "16-bit image"),
    "blank_image": Kind(Severity.NOTE, "image of one colour"),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """Something found.

    Attributes:
        kind: key of `KINDS`.
        split: it was found in, or "" where it concerns the dataset.
        file: path or name at fault, or "".
        detail: one line, or "" where the kind says it all.
    """

    kind: str
    split: str
    file: str
    detail: str

    def __str__(self) -> str:
        """Returns "file: detail"."""
        return ": ".join(part for part in (self.file, self.detail) if part)


class Findings:
    """Counts findings and keeps the first of each kind."""

    def __init__(self, keep_all: bool = False) -> None:
        """Starts without findings.

        Args:
            keep_all: keep every finding, not only the first `FIRST_EXAMPLES` of a kind.
        """
        self._keep_all = keep_all
        self._counts: dict[str, int] = {}
        self._kept: dict[str, list[Finding]] = {}

    def add(self, kind: str, split: str = "", file: str = "", detail: str = "") -> None:
        """Adds one finding; one of an unknown kind counts as a warning of that name."""
        self._counts[kind] = self._counts.get(kind, 0) + 1
        kept = self._kept.setdefault(kind, [])
        if self._keep_all or len(kept) < FIRST_EXAMPLES:
            kept.append(Finding(kind, split, file, detail))

    def kinds(self) -> list[str]:
        """Lists the kinds found, the worst first."""
        severities, known = list(Severity), list(KINDS)
        found = [kind for kind in known if kind in self._counts]
        found += [kind for kind in self._counts if kind not in KINDS]
        return sorted(found, key=lambda kind: severities.index(describe(kind).severity))

    def count(self, kind: str) -> int:
        """Returns how often a kind was found."""
        return self._counts.get(kind, 0)

    def examples(self, kind: str) -> list[Finding]:
        """Returns the findings of a kind that were kept, in the order they were added."""
        return list(self._kept.get(kind, ()))

    def worst(self) -> Severity | None:
        """Returns the worst severity found, or None where nothing was."""
        kinds = self.kinds()
        return describe(kinds[0]).severity if kinds else None

    def to_json(self) -> list[dict[str, Any]]:
        """Returns kind, severity, title, hint, count and the kept examples of every kind found, as JSON values."""
        return [
            {
                "kind": kind,
                "severity": describe(kind).severity.value,
                "title": describe(kind).title,
                "hint": describe(kind).hint,
                "count": self.count(kind),
                "examples": [
                    {"split": one.split, "file": one.file, "detail": one.detail} for one in self.examples(kind)
                ],
            }
            for kind in self.kinds()
        ]


def describe(kind: str) -> Kind:
    """Returns what is known of a kind; an unknown one is a warning of that name."""
    return KINDS.get(kind) or Kind(Severity.WARNING, kind.replace("_", " "))
