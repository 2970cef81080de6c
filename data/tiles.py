"""Tiles: overlapping windows that cover an image, so that small objects are not shrunk away.

Training sees single tiles; an exported model cuts the same tiles from a whole image, detects in each and puts the
detections together (`models.network.suppression.merge_tiles`).
"""

import dataclasses
import re
from typing import Any

import numpy as np

from data import errors

Length = Any  # px: an int, or an integer tensor in the serving graph
MOST_TILES = 64


@dataclasses.dataclass(frozen=True)
class TileGrid:
    """A grid of tiles of equal size.

    Attributes:
        rows: at least 1.
        cols: at least 1.
        overlap_percent: share of a tile's side that neighbours have in common, in [0, 90].
    """

    rows: int = 1
    cols: int = 1
    overlap_percent: int = 0

    @property
    def count(self) -> int:
        """The number of tiles."""
        return self.rows * self.cols

    def windows_px(self, height: Length, width: Length) -> list[tuple[Length, Length, Length, Length]]:
        """Lays the tiles over an image, row by row.

        Args:
            height: of the image, px, at least `rows`.
            width: of the image, px, at least `cols`.

        Returns:
            (top, left, height, width) of each tile, px; whole numbers of the type that was given.
        """
        down, across = (self._spans(*side) for side in ((height, self.rows), (width, self.cols)))
        return [(top, left, tall, wide) for top, tall in down for left, wide in across]

    def cells(self) -> np.ndarray:
        """Shares the image out: each point belongs to the tile in whose middle it lies best.

        Neighbours meet in the middle of their overlap. A detection counts only in the tile whose cell has its centre,
        so that objects cut by a tile's border are left to the tile that sees them whole. What no tile sees whole, as it
        is wider than the overlap, `postprocess.join_fragments` puts together.

        Returns:
            float32 [T, 4] ymin, xmin, ymax, xmax as fractions of the image; the outer sides are infinite.
        """
        down, across = self._borders(self.rows), self._borders(self.cols)
        cells = [
            (down[row], across[col], down[row + 1], across[col + 1])
            for row in range(self.rows)
            for col in range(self.cols)
        ]
        return np.array(cells, np.float32)

    def _spans(self, length: Length, count: int) -> list[tuple[Length, Length]]:
        """Returns (start, length) of each tile along one side; whole numbers only, so that the graph agrees."""
        size = -(-100 * length // (100 * count - (count - 1) * self.overlap_percent))
        return [(index * (length - size) // max(count - 1, 1), size) for index in range(count)]

    def _borders(self, count: int) -> list[float]:
        size = 1.0 / (count - (count - 1) * self.overlap_percent / 100)
        starts = [index * (1.0 - size) / max(count - 1, 1) for index in range(count)]
        inner = [(start + size + following) / 2 for start, following in zip(starts, starts[1:], strict=False)]
        return [-np.inf, *inner, np.inf]


def parse_grid(text: str) -> TileGrid:
    """Reads a grid as the user writes it.

    Args:
        text: "ROWSxCOLS" or "ROWSxCOLS:OVERLAP" with the overlap as a share of a tile's side, as "2x3:0.2".

    Returns:
        The grid.

    Raises:
        UserError: the text has another form, or a number is out of its range.
    """
    match = re.fullmatch(r"(\d{1,2})x(\d{1,2})(?::(0?\.\d+|0))?", text.strip())
    rows, cols = (int(match[1]), int(match[2])) if match else (0, 0)
    percent = round(100 * float(match[3] or 0)) if match else 0
    if not match or not 1 <= rows * cols <= MOST_TILES or percent > 90:
        raise errors.UserError(
            f"Tiles are written ROWSxCOLS or ROWSxCOLS:OVERLAP, at most {MOST_TILES} tiles with an overlap of at most"
            f" 0.9 of a tile, for example 2x2:0.2: got `{text}`."
        )
    return TileGrid(rows, cols, percent)
