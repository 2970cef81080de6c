"""The ranges of a calibration, whose outputs are looked at one after another."""

import weakref
from collections.abc import Iterator

import numpy as np

from models.export import tflite_quantise
from models.hyperparameters import PostprocessConfig
from models.network import decoding


def test_no_output_is_kept() -> None:
    """Of 200 images they would be gigabytes; the ranges are those of all."""
    decoder = decoding.Decoder(
        (64, 64), "1x1", "sigmoid", False, np.zeros((5, 4), np.float32), (0.1, 0.1, 0.2, 0.2), PostprocessConfig()
    )
    kept: list[weakref.ref] = []

    def outputs() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for number in range(4):
            assert sum(one() is not None for one in kept) <= 1
            pair = np.full((1, 5, 2), float(number), np.float32), np.full((1, 5, 4), -float(number), np.float32)
            kept.append(weakref.ref(pair[0]))
            yield pair
            del pair

    found = tflite_quantise.output_ranges(outputs(), decoder)
    assert found == tflite_quantise.OutputRanges((0.0, 3.0), (-3.0, 0.0))
    assert len(kept) == 4
