"""Takes the val and test splits that a dataset lacks out of its train split; what is given stays as it is.

Each missing split gets `SHARE` of the train images, of small sets more (`targets`), with its share of every class
(`stratification`). Images that belong together stay together: those that `--group_by` says, equal files, and
near-duplicates, whose 64-bit hashes (`data.checks.similar_images`) differ in at most `SIMILAR_BITS`. Where
near-duplicates chain most of a set together, as the frames of a fixed camera, they cannot stay together; then only
equal files do.

The threshold was chosen by eye. Of the 200 photos of the raccoon set, 4 bits find the copies and two shots of one
animal, 6 bits a copy with a caption, too; of the 296 cards, 4 bits find second shots of the same cards, 6 bits also two
different cards on one carpet; of HIT-UAV, up to 6 bits, only frames of one recording. Two that differ and stay together
do no harm, two that are alike and part do, hence 6.

The division depends on the data, the seed and `--group_by` alone, so that every command sees the same one.
"""

import collections
import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data import errors, loading
from data.checks import similar_images
from data.sources import base, stratification

SHARE = 0.15  # of the train images, for each missing split
LEAST_IMAGES = 20  # below it mAP says little; a small set gives more than its share, up to `MOST_SHARE`
MOST_SHARE = 0.25
SIMILAR_BITS = 6
# Image files that are decoded to compare them, as 10,000 of 40 KB: up to 14 s on one busy core, in a thread a core. Of
# what lies behind them only equal files are found.
MOST_COMPARED_BYTES = 400_000_000

_REMEMBERED = 4
_carvings: dict[tuple[Any, ...], "Carving | None"] = {}  # a run opens its dataset several times


@dataclasses.dataclass(frozen=True)
class Carving:
    """How the train split is divided.

    Attributes:
        split_of: of each train image, in the source's order.
        missing: the splits that are taken out of train.
        seed: of the division.
        num_similar: near-duplicates among the train images that stay together.
        largest: size of the group of near-duplicates that is too large to stay together; 0 where all do.
        num_compared: train images, from the first on, that were compared as pictures.
        leaks: {given split: (its images that have a near-duplicate in train, its images)}, where there are any.
    """

    split_of: tuple[str, ...]
    missing: tuple[str, ...]
    seed: int
    num_similar: int
    largest: int
    num_compared: int
    leaks: Mapping[str, tuple[int, int]]

    def describe(self, spec: str, applied: bool = True) -> str:
        """Says in one line what was done and how to choose otherwise.

        Args:
            spec: of the dataset.
            applied: whether the command at hand divides the dataset so, too, or only `run` does.
        """
        counts = collections.Counter(self.split_of)
        first, *others = self.missing
        taken = f"{counts[first]} of its {len(self.split_of)} train images become {first}"
        taken += "".join(f" and {counts[split]} {split}" for split in others)
        return (
            f"`{spec}` has no {' and no '.join(self.missing)}: {'' if applied else 'in `ssd-tuner run` '}{taken}"
            f" (seed {self.seed}; {self._similar()}). To choose otherwise, give --split_seed, --group_by=REGEX or, to"
            " divide all images anew, --splits=0.8,0.1,0.1."
        )

    def warning(self, spec: str) -> str | None:
        """Says in one line that given splits hold what train holds, too; None where none does."""
        if not self.leaks:
            return None
        found = " and ".join(f"{count} of {total} images of {split}" for split, (count, total) in self.leaks.items())
        return (
            f"Warning: {found} of `{spec}` are near-duplicates of train images, so scores there are too good;"
            " `ssd-tuner data check` names them."
        )

    def _similar(self) -> str:
        if self.largest:
            kept = f", only {self.num_similar} equal files" if self.num_similar else ""
            return f"near-duplicates not kept together{kept}, because they link {self.largest} images in one chain"
        kept = f"{self.num_similar} near-duplicates kept together" if self.num_similar else "no near-duplicates found"
        some = f" among the first {self.num_compared} images" if self.num_compared < len(self.split_of) else ""
        return kept + some


@dataclasses.dataclass(frozen=True)
class _Survey:
    """What is known of images; N of them.

    Attributes:
        labels: of each image's objects; None where it is unusable.
        digests: uint64 [N], of the files.
        hashes: uint64 [N], of the pictures.
        has_digest: bool [N].
        has_hash: bool [N].
        num_compared: images, from the first on, that lie within `MOST_COMPARED_BYTES`.
    """

    labels: list[tuple[int, ...] | None]
    digests: np.ndarray
    hashes: np.ndarray
    has_digest: np.ndarray
    has_hash: np.ndarray
    num_compared: int


def carve(
    source: base.Source, missing: Sequence[str], given: Sequence[str], seed: int = 0, group_by: str = ""
) -> Carving | None:
    """Divides the train split of a source among train and the splits that are missing.

    Memory grows by some 100 bytes an image; no image is kept.

    Args:
        source: whole, with the split train.
        missing: of val and test, those to take out of train.
        given: the others that are used, which are compared with train.
        seed: of the division.
        group_by: as `DataOptions.group_by`.

    Returns:
        The division; None where train has fewer usable images, or groups of them, than there are splits.

    Raises:
        UserError: `group_by` is malformed, or finds nothing in a name.
    """
    key = (source.spec, source.fingerprint(), tuple(missing), tuple(given), seed, group_by)
    if key not in _carvings:
        while len(_carvings) >= _REMEMBERED:
            _carvings.pop(next(iter(_carvings)))
        _carvings[key] = _carve(source, tuple(missing), given, seed, group_by)
    return _carvings[key]


def targets(num_images: int, missing: Sequence[str]) -> dict[str, int]:
    """Says how many images train and each missing split should get.

    Args:
        num_images: of train, at least one more than splits are missing.
        missing: the splits.

    Returns:
        {split: images}; of a missing split `SHARE`, but at least `LEAST_IMAGES` where that is at most `MOST_SHARE`.
    """
    least = min(LEAST_IMAGES, MOST_SHARE * num_images)
    each = max(1, round(max(SHARE * num_images, least)))
    return {"train": num_images - each * len(missing), **dict.fromkeys(missing, each)}


def group_keys(names: Sequence[str], group_by: str) -> list[str]:
    """Finds the group of each image.

    Args:
        names: of the images.
        group_by: as `DataOptions.group_by`; "" makes each image its own group.

    Raises:
        UserError: the expression is malformed, or finds nothing in a name.
    """
    if not group_by:
        return list(names)
    try:
        pattern = re.compile(group_by)
    except re.error as error:
        raise errors.UserError(f"`--group_by={group_by}` is not a regular expression: {error}.") from error
    found = [pattern.search(name) for name in names]
    missed = next((name for name, match in zip(names, found, strict=True) if match is None), None)
    if missed is not None:
        raise errors.UserError(
            f"`--group_by={group_by}` finds nothing in the name `{missed}`. It must match the name of every image."
        )
    return [match[1] if pattern.groups and match[1] is not None else match[0] for match in found]


def _carve(
    source: base.Source, missing: tuple[str, ...], given: Sequence[str], seed: int, group_by: str
) -> Carving | None:
    items = {split: source.items(split) for split in ("train", *given)}
    names = [item.source_id for item in items["train"]]
    keys = group_keys(names, group_by)
    if len(set(keys)) <= len(missing):
        return None
    survey = _look_at(source, [item for members in items.values() for item in members])
    wanted = targets(len(names), missing)
    by_key = np.unique(keys, return_inverse=True)[1]
    equal, similar = _columns(survey, len(names))
    most = max(wanted["train"], _sizes(by_key).max())
    chosen = None
    for alike in ((equal, similar), (equal,), ()):
        groups = _merge([by_key, *alike])
        made = _describe(groups, names, survey.labels)
        num_usable = sum(stratification.ANY in group.counts for group in made)
        if num_usable > len(missing) and _sizes(groups).max() <= most:
            chosen = stratification.stratify(made, wanted, seed)
            break
    if chosen is None:
        return None
    twice = _sizes(_merge(alike or [np.arange(len(names))]))
    return Carving(
        split_of=tuple(chosen[group] for group in groups.tolist()),
        missing=missing,
        seed=seed,
        num_similar=int(twice[twice > 1].sum()),
        largest=0 if len(alike) == 2 else int(_sizes(_merge([equal, similar])).max()),
        num_compared=min(survey.num_compared, len(names)),
        leaks=_find_leaks(survey, {split: len(members) for split, members in items.items()}),
    )


def _look_at(source: base.Source, items: Sequence[Any]) -> _Survey:
    """Reads labels and, of as many images as `MOST_COMPARED_BYTES` allows, pictures; of the rest, files of one size."""

    def glance(item: Any) -> tuple[tuple[int, ...], int]:
        found = source.glance(item)
        return found.labels, found.num_bytes

    def recognise(index: int) -> similar_images.Picture:
        encoded = source.glance(items[index]).read()
        if not compared[index]:
            return similar_images.Picture(similar_images.digest_of(encoded), None)
        try:
            return similar_images.recognise(encoded)
        except Exception as error:  # Pillow's plugins raise whatever a broken file leads them to
            raise errors.BadExampleError(items[index].source_id, str(error), "broken_image") from error

    glances = [None if isinstance(one, errors.BadExampleError) else one for one in loading.read_items(glance, items)]
    labels = [one[0] if one else None for one in glances]
    usable = np.array([one is not None for one in glances], bool)
    sizes = np.array([one[1] if one else 0 for one in glances], np.int64)
    compared = np.cumsum(sizes) <= MOST_COMPARED_BYTES
    _, inverse, counts = np.unique(sizes, return_inverse=True, return_counts=True)
    chosen = np.flatnonzero((compared | (counts[inverse] > 1)) & usable).tolist()
    digests, hashes = np.zeros(len(items), np.uint64), np.zeros(len(items), np.uint64)
    has_digest, has_hash = np.zeros(len(items), bool), np.zeros(len(items), bool)
    for index, picture in zip(chosen, loading.read_items(recognise, chosen), strict=True):
        if isinstance(picture, errors.BadExampleError):
            labels[index] = None
            continue
        digests[index], hashes[index] = picture.digest, picture.hash or 0
        has_digest[index], has_hash[index] = True, picture.hash is not None
    return _Survey(labels, digests, hashes, has_digest, has_hash, int(compared.sum()))


def _columns(survey: _Survey, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns two int64 [count], which equal files and which similar pictures have in common."""
    equal, similar = -1 - np.arange(count), -1 - np.arange(count)  # one of its own for each that is not known
    known = np.flatnonzero(survey.has_digest[:count])
    equal[known] = np.unique(survey.digests[known], return_inverse=True)[1]
    known = np.flatnonzero(survey.has_hash[:count])
    similar[known] = similar_images.similar_groups(survey.hashes[known], SIMILAR_BITS)
    return equal, similar


def _merge(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Numbers the groups of images that agree in a column, directly or through others: int [images], from 0."""
    parents = list(range(len(columns[0])))  # of each image an earlier one of its group, or itself

    def first_of(image: int) -> int:
        while parents[image] != image:
            parents[image] = parents[parents[image]]
            image = parents[image]
        return image

    for column in columns:
        _, firsts, inverse = np.unique(column, return_index=True, return_inverse=True)
        for image, other in enumerate(firsts[inverse].tolist()):
            early, late = sorted((first_of(image), first_of(other)))
            parents[late] = early
    return np.unique([first_of(image) for image in range(len(parents))], return_inverse=True)[1]


def _sizes(groups: np.ndarray) -> np.ndarray:
    return np.unique(groups, return_counts=True)[1]


def _describe(
    groups: np.ndarray, names: Sequence[str], labels: Sequence[tuple[int, ...] | None]
) -> list[stratification.Group]:
    """Returns the groups in the order of their numbers."""
    first: dict[int, str] = {}
    counts: dict[int, collections.Counter[int]] = collections.defaultdict(collections.Counter)
    for group, name, held in zip(groups.tolist(), names, labels, strict=False):
        first.setdefault(group, name)
        counts[group].update(stratification.label_images(held))
    sizes = collections.Counter(groups.tolist())
    return [stratification.Group(first[group], sizes[group], counts[group]) for group in range(len(sizes))]


def _find_leaks(survey: _Survey, sizes: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Counts the images of given splits that train holds, too, as `data check` does; `sizes` by split, train first."""
    train, *_ = sizes.values()
    known = survey.hashes[:train][survey.has_hash[:train]]
    files = survey.digests[:train][survey.has_digest[:train]]
    leaks, start = {}, 0
    for split, size in sizes.items():
        rows, start = slice(start, start + size), start + size
        if split == "train":
            continue
        nearest, _ = similar_images.nearest_hashes(survey.hashes[rows], known, similar_images.SIMILAR_BITS)
        alike = (nearest >= 0) & survey.has_hash[rows]
        alike |= np.isin(survey.digests[rows], files) & survey.has_digest[rows]
        if alike.any():
            leaks[split] = (int(alike.sum()), size)
    return leaks
