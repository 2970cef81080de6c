"""Divides groups of images among splits so that each split has its share of every class.

The rarest label comes first; each of its groups goes to the split that lacks most of it. What is added to the source's
algorithm: a group is placed whole, and the last groups of a label go to splits that have none of it, so that a class
that enough groups hold is in every split.

Source: Sechidis, Tsoumakas and Vlahavas 2011, "On the Stratification of Multi-Label Data" (ECML PKDD 2011, LNCS 6913,
pp. 145-158), section 3.2, algorithm 1 (iterative stratification).
"""

import collections
import dataclasses
import hashlib
from collections.abc import Collection, Mapping, Sequence

ANY = -1  # label of every image that can be used
NO_OBJECT = -2
UNUSABLE = -3

_OPTIONAL = (NO_OBJECT, UNUSABLE)  # a split may do without


@dataclasses.dataclass(frozen=True)
class Group:
    """Images that stay together.

    Attributes:
        name: unique; it decides, with the seed, when the group's turn comes.
        size: number of images.
        counts: {label: images that have it}; a label is a class from 0, or one of this module's.
    """

    name: str
    size: int
    counts: Mapping[int, int]


def label_images(labels: Collection[int] | None) -> tuple[int, ...]:
    """Returns what an image counts for, by the classes of its objects; None where the image cannot be used."""
    if labels is None:
        return (UNUSABLE,)
    return (*sorted(set(labels)), ANY) if labels else (NO_OBJECT, ANY)


def stratify(groups: Sequence[Group], targets: Mapping[str, int], seed: int) -> list[str]:
    """Divides groups among splits.

    Args:
        groups: at least as many as splits.
        targets: {split: images that it should get}; the first split gets what is too rare for all. Their sum is the
            number of images.
        seed: of the order of equally large groups.

    Returns:
        The split of each group. Each split gets at least one usable group where there are enough, and some of each
        class that as many groups as splits have, unless rarer ones claim the same images.
    """
    division = _Division(groups, targets)
    members: dict[int, list[int]] = collections.defaultdict(list)
    for index in sorted(range(len(groups)), key=lambda index: _turn(groups[index], seed)):
        for label in groups[index].counts:
            members[label].append(index)
    while any(division.left.values()):
        # Images without objects wait for the last, and where all that are left have one class or none, `ANY` is as rare
        # and goes first: they even out the sizes.
        rarest = min((label == NO_OBJECT, count, label) for label, count in division.left.items() if count)[2]
        for index in members[rarest]:
            if index not in division.split_of:
                division.place(index, rarest)
    return [division.split_of[index] for index in range(len(groups))]


def _turn(group: Group, seed: int) -> tuple[int, bytes]:
    """Orders the groups: large ones first, since small ones even out what they leave."""
    return -group.size, hashlib.sha256(f"{seed}/{group.name}".encode()).digest()


class _Division:
    """What is placed, and what each split still lacks.

    Attributes:
        split_of: {index of a group: its split}.
        left: {label: groups with it that are not placed yet}.
    """

    def __init__(self, groups: Sequence[Group], targets: Mapping[str, int]) -> None:
        self._groups, self._splits = groups, tuple(targets)
        self._room: dict[str, float] = dict(targets)
        totals: collections.Counter[int] = collections.Counter()
        for group in groups:
            totals.update(group.counts)
        shares = {split: target / sum(targets.values()) for split, target in targets.items()}
        self._lacks = {split: {label: shares[split] * count for label, count in totals.items()} for split in targets}
        self.split_of: dict[int, str] = {}
        self.left = collections.Counter(label for group in groups for label in group.counts)
        # What no split should be without; a class too rare for that is for training.
        self._absent = {
            label: set(self._splits if count >= len(self._splits) else self._splits[:1])
            for label, count in self.left.items()
            if label not in _OPTIONAL
        }
        # An empty split is worst, then one without a rare class.
        order = sorted(self._absent, key=lambda label: (label != ANY, self.left[label], label))
        self._rank = {label: rank for rank, label in enumerate(order)}

    def place(self, index: int, label: int) -> None:
        """Puts a group where most of a label is lacking."""
        group = self._groups[index]
        candidates = self._candidates(group)
        split = max(candidates, key=lambda each: (self._lacks[each][label], self._room[each]))
        self.split_of[index] = split
        self._room[split] -= group.size
        for held, count in group.counts.items():
            self._lacks[split][held] -= count
            self.left[held] -= 1
            self._absent.get(held, set()).discard(split)

    def _candidates(self, group: Group) -> list[str]:
        """Returns the splits that need the group because hardly another one can give them a label; else all."""
        candidates = list(self._splits)
        for label in sorted(self._rank.keys() & group.counts.keys(), key=self._rank.__getitem__):
            absent = self._absent[label]
            if absent and self.left[label] <= len(absent):
                candidates = [split for split in candidates if split in absent] or candidates
        return candidates
