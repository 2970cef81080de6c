"""Shapes of boxes: clusters of heights and widths, and aspect ratios."""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np

DIGITS = 4  # that scales and ratios are rounded to
_RESTARTS = 3
_MOST_ITERATIONS = 100


@dataclasses.dataclass(frozen=True, eq=False)
class Clusters:
    """What k-means found.

    Attributes:
        centroids: float64 [k, 2] height, width; by rising area.
        mean_iou: of the boxes with their centroid, as if both had one centre.
    """

    centroids: np.ndarray
    mean_iou: float


def iou(sides1: np.ndarray, sides2: np.ndarray) -> np.ndarray:
    """Computes the IoU of boxes laid on one centre.

    Args:
        sides1: float [N, 2] height, width, positive.
        sides2: float [M, 2].

    Returns:
        float64 [N, M] in (0, 1].

    Source: Redmon & Farhadi 2017 (arXiv:1612.08242), section 2, "Dimension Clusters".
    """
    (height, width), (heights, widths) = (np.asarray(sides, np.float64).T for sides in (sides1, sides2))
    # Axis by axis: numpy takes several times as long for many short rows.
    shared = np.minimum.outer(heights, height) * np.minimum.outer(widths, width)  # [M, N]
    return (shared / (np.add.outer(heights * widths, height * width) - shared)).T


def cluster(sides: np.ndarray, num_clusters: int, seed: int) -> Clusters:
    """Clusters boxes by height and width with k-means, the distance being 1 - IoU.

    The first centroids are drawn as k-means++ does; the best of three draws is kept.

    Args:
        sides: float [N, 2] height, width, positive; N at least 1.
        num_clusters: at least 1; fewer come back where the boxes have fewer shapes.
        seed: of the draws.

    Returns:
        The clusters, a centroid being the mean height and width of its boxes.

    Source: Redmon & Farhadi 2017 (arXiv:1612.08242), section 2, "Dimension Clusters".
    """
    sides = np.asarray(sides, np.float64)
    draws = (_cluster_once(sides, num_clusters, np.random.default_rng([seed, draw])) for draw in range(_RESTARTS))
    found = max(draws, key=lambda clusters: clusters.mean_iou)
    return Clusters(found.centroids[np.argsort(found.centroids.prod(axis=1))], found.mean_iou)


def fit_ratios(sides: np.ndarray, configured: Sequence[float], seed: int) -> tuple[float, ...]:
    """Finds as many aspect ratios as are configured, by k-means over the boxes scaled to one area.

    If the boxes have fewer, configured ratios fill up the rest, those farthest from the ones found first, because other
    images may have objects of other shapes.

    Args:
        sides: float [N, 2] height, width in pixels of one size, positive; N at least 1.
        configured: width / height.
        seed: of the draws.

    Returns:
        Ratios, rising; the configured ones as they are where one of them comes twice and there are too few.
    """
    shapes = sides / np.sqrt(sides.prod(axis=1, keepdims=True))
    centroids = cluster(shapes, len(configured), seed).centroids
    ratios = {max(round(float(width / height), DIGITS), 10**-DIGITS) for height, width in centroids}
    while len(ratios) < len(configured):
        others = [ratio for ratio in configured if ratio not in ratios]
        if not others:  # one is configured twice
            return tuple(configured)
        ratios.add(max(others, key=lambda ratio: min(_ratio_distance(ratio, found) for found in ratios)))
    return tuple(sorted(ratios))


def in_place(found: Sequence[float], own: Sequence[float]) -> tuple[float, ...]:
    """Orders aspect ratios so that each is in the place of the one that is nearest to it, the nearest pairs first.

    Args:
        found: positive, as many as `own`.
        own: those whose places count.

    Returns:
        `found` in another order.
    """
    placed: dict[int, int] = {}  # {place: index of the one found}
    pairs = itertools.product(range(len(own)), range(len(found)))
    for place, index in sorted(pairs, key=lambda pair: _ratio_distance(own[pair[0]], found[pair[1]])):
        if place not in placed and index not in placed.values():
            placed[place] = index
    return tuple(found[placed[place]] for place in range(len(own)))


def _ratio_distance(one: float, other: float) -> float:
    return abs(math.log(one / other))


def _cluster_once(sides: np.ndarray, num_clusters: int, draws: np.random.Generator) -> Clusters:
    centroids = sides[[draws.integers(len(sides))]]
    while len(centroids) < num_clusters:
        distance = (1 - iou(sides, centroids).max(axis=1)) ** 2
        if distance.max() < 1e-12:  # every shape has its centroid
            break
        chosen = draws.choice(len(sides), p=distance / distance.sum())
        centroids = np.concatenate([centroids, sides[[chosen]]])
    nearest = None
    for _ in range(_MOST_ITERATIONS):
        before, nearest = nearest, iou(sides, centroids).argmax(axis=1)
        if before is not None and (nearest == before).all():
            break
        members = [sides[nearest == cluster] for cluster in range(len(centroids))]
        centroids = np.stack(
            [own.mean(axis=0) if len(own) else old for own, old in zip(members, centroids, strict=True)]
        )
    return Clusters(centroids, float(iou(sides, centroids).max(axis=1).mean()))
