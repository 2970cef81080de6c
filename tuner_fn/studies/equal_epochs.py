"""Which epoch's scores tell configurations apart that were trained for different times."""

import collections
from collections.abc import Mapping, Sequence


def common_epochs(curves: Sequence[Mapping[int, float]]) -> int:
    """Chooses the epochs after which configurations are compared: the latest that at least half of them reached.

    Where a strategy gives up what is behind, few configurations reach the last epoch, and all of them are good.

    Args:
        curves: {epoch: score} of each configuration.

    Returns:
        The epoch; 0 where there is no score.
    """
    counts = collections.Counter(epoch for curve in curves for epoch in curve)
    return max((epoch for epoch, count in counts.items() if 2 * count >= len(curves)), default=0)
