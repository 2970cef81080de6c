"""What lies between a network's outputs and detections, as data that travels with every exported file."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from data import tiles
from models.hyperparameters import PostprocessConfig
from models.network import box_coder, suppression

Tensor = Any
Suppression = Callable[[Tensor, Tensor, PostprocessConfig], dict[str, Tensor]]
_SUPPRESS: Suppression = suppression.detect  # the class below has a field of the module's name
FILE_NAME = "decoder.json"


@dataclasses.dataclass(frozen=True, eq=False)
class Decoder:
    """Everything that turns logits and deltas into detections.

    Attributes:
        image_size: height and width of the network's input, px.
        tile: grid that whole images are cut into, as `data.tiles.parse_grid` takes it.
        score_converter: "sigmoid" or "softmax".
        has_background: whether the first logit is background.
        anchors: float32 [A, 4] normalised ymin, xmin, ymax, xmax.
        variances: (y, x, height, width) divisors of the box coder, positive.
        postprocess: thresholds and limits of the suppression.
    """

    image_size: tuple[int, int]
    tile: str
    score_converter: str
    has_background: bool
    anchors: np.ndarray
    variances: tuple[float, ...]
    postprocess: PostprocessConfig

    def to_json(self) -> str:
        """Writes the decoder as JSON; `from_json` inverts."""
        return json.dumps(dataclasses.asdict(self) | {"anchors": self.anchors.tolist()}) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads what `to_json` wrote.

        Raises:
            ValueError: the text is not JSON, or a field is missing or unknown.
        """
        values = json.loads(text)
        try:
            size = values["image_size"]  # earlier versions wrote the side of a square
            values = values | {
                "image_size": (size, size) if isinstance(size, int) else tuple(size),
                "anchors": np.asarray(values["anchors"], np.float32),
                "variances": tuple(values["variances"]),
                "postprocess": PostprocessConfig(**values["postprocess"]),
            }
            return cls(**values)
        except (TypeError, KeyError) as error:
            raise ValueError(f"`{FILE_NAME}` does not have a decoder's fields: {error}.") from error

    @property
    def grid(self) -> tiles.TileGrid:
        """The tiles that whole images are cut into."""
        return tiles.parse_grid(self.tile)

    def scores(self, logits: Tensor) -> Tensor:
        """Converts logits [..., C or C + 1] to scores [..., C] in [0, 1]."""
        return suppression.to_scores(logits, self.score_converter, self.has_background)

    def detect(
        self, logits: Tensor, deltas: Tensor, windows: Tensor, suppress: Suppression = _SUPPRESS
    ) -> dict[str, Tensor]:
        """Turns the network's outputs on the tiles of whole images into detections.

        Args:
            logits: float32 [B, T, A, C or C + 1]; one tile is the whole image.
            deltas: float32 [B, T, A, 4].
            windows: float32 [B, T, 4] ymin, xmin, ymax, xmax of each tile as fractions of the image.
            suppress: selects the detections, with the arguments and results of `postprocess.detect`.

        Returns:
            As `postprocess.detect`.
        """
        boxes = box_coder.decode(deltas, self.anchors, self.variances)
        scores = self.scores(logits)
        if self.grid.count == 1:
            return suppress(boxes[:, 0], scores[:, 0], self.postprocess)
        boxes, scores = suppression.merge_tiles(boxes, scores, windows, self.grid.cells())
        return suppression.join_fragments(suppress(boxes, scores, self.postprocess), windows)
