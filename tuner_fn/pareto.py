"""The Pareto front of a search: the configurations that none beats in score and cost at once."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
TABLE_FILE, PLOT_FILE = "pareto.csv", "pareto.png"


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Finds the points that no other one beats: with a higher score at no higher cost, or an equal one at a lower cost.

    Args:
        points: (score, cost) each, finite; the score is better higher, the cost lower.

    Returns:
        Their indices by rising cost; of points that are equal in both, all.
    """
    chosen: list[int] = []
    for index in sorted(range(len(points)), key=lambda index: (points[index][1], -points[index][0])):
        if not chosen or points[index][0] > points[chosen[-1]][0] or points[index] == points[chosen[-1]]:
            chosen.append(index)
    return chosen


def best_trials(rows: Sequence[Row]) -> list[Row]:
    """Picks the best trial of each configuration, as the leaderboard's order does.

    Args:
        rows: of the leaderboard; trials of one configuration have equal hyperparameters.

    Returns:
        Rows with a score, in their order.
    """
    best: dict[str, Row] = {}
    for row in rows:
        if row["rank"] and math.isfinite(row["score"]):
            name = json.dumps(row["hyperparameters"], sort_keys=True)
            if name not in best or row["score"] > best[name]["score"]:
                best[name] = row
    kept = {row["trial"] for row in best.values()}
    return [row for row in rows if row["trial"] in kept]


def candidates(rows: Sequence[Row], cost: str) -> list[Row]:
    """Picks what can be on a front: of the rows with a cost, such as "latency_ms", the `best_trials`."""
    return best_trials([row for row in rows if row[cost] is not None])


def front_rows(rows: Sequence[Row], cost: str) -> list[Row]:
    """Returns the rows of the leaderboard that are on the front of score and cost, by rising cost."""
    found = candidates(rows, cost)
    return [found[index] for index in front([(row["score"], row[cost]) for row in found])]
