import io

import numpy as np
import pytest
from PIL import Image

from data import thermal


def test_the_middle_98_percent_fill_the_range():
    pixels = np.arange(30_000, 40_000, dtype=np.uint16).reshape(100, 100)
    stretched = thermal.stretch_to_8bit(pixels)
    assert stretched.dtype == np.uint8
    assert stretched[0, 0] == stretched[0, 99] == 0
    assert stretched[-1, 0] == stretched[-1, 99] == 255
    assert stretched[50, 0] == 128
    assert (np.diff(stretched.reshape(-1).astype(int)) >= 0).all()


def test_one_glowing_pixel_does_not_move_the_others():
    pixels = np.full((20, 20), 1000, np.uint16)
    pixels[:10] = 2000
    glowing = pixels.copy()
    glowing[0, 0] = 65_535
    assert (thermal.stretch_to_8bit(pixels)[1:] == thermal.stretch_to_8bit(glowing)[1:]).all()


def test_an_image_of_one_value_is_black():
    assert not thermal.stretch_to_8bit(np.full((3, 3), 7, np.uint16)).any()


@pytest.mark.parametrize("shape", [(7, 5), (64, 80), (1, 1)])
def test_the_serving_path_has_the_same_rule(shape):
    from data import input_pipeline

    pixels = np.random.default_rng(0).integers(20_000, 24_000, shape).astype(np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    served = input_pipeline.decode_pixels(buffer.getvalue()).numpy()
    assert (served == thermal.stretch_to_8bit(pixels)[:, :, None]).all()
    assert served.shape == (*shape, 3)
