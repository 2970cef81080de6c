"""Random boxes for the property tests."""

import numpy as np
from hypothesis import strategies as st


def make_boxes(rng: np.random.Generator, *shape: int, smallest: float = 0.01) -> np.ndarray:
    """Draws float32 [*shape, 4] boxes inside the image with sides of at least `smallest`."""
    low = rng.uniform(0.0, 0.9, (*shape, 2))
    side = rng.uniform(smallest, 1.0, (*shape, 2)) * (1.0 - low)
    return np.concatenate([low, low + np.maximum(side, smallest)], axis=-1).astype(np.float32)


seeds = st.integers(0, 2**32 - 1).map(np.random.default_rng)
