import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import errors, tiles

GRIDS = st.builds(tiles.TileGrid, st.integers(1, 6), st.integers(1, 6), st.integers(0, 90))


@pytest.mark.parametrize(
    ("text", "grid"),
    [
        ("1x1", tiles.TileGrid(1, 1, 0)),
        ("2x3", tiles.TileGrid(2, 3, 0)),
        ("2x3:0.25", tiles.TileGrid(2, 3, 25)),
        (" 4x1:.5 ", tiles.TileGrid(4, 1, 50)),
    ],
)
def test_a_grid_is_read_as_written(text, grid):
    assert tiles.parse_grid(text) == grid


@pytest.mark.parametrize("text", ["", "2", "0x2", "9x9", "2x2:1", "2x2:0.95", "2x2:", "axb", "2x2:0.2:1"])
def test_another_text_ends_with_one_line_that_shows_an_example(text):
    with pytest.raises(errors.UserError) as caught:
        tiles.parse_grid(text)
    assert "2x2:0.2" in str(caught.value)
    assert "\n" not in str(caught.value)


@given(GRIDS, st.integers(8, 2000), st.integers(8, 2000))
def test_tiles_are_of_one_size_and_cover_the_image(grid, height, width):
    windows = grid.windows_px(height, width)
    assert len(windows) == grid.count
    assert len({window[2:] for window in windows}) == 1
    rows = np.zeros(height, bool)
    cols = np.zeros(width, bool)
    for top, left, tall, wide in windows:
        assert 0 <= top <= top + tall <= height
        assert 0 <= left <= left + wide <= width
        rows[top : top + tall] = True
        cols[left : left + wide] = True
    assert rows.all()
    assert cols.all()


def test_neighbours_overlap_by_the_share_that_was_asked_for():
    (_, left, _, wide), (_, next_left, _, _) = tiles.TileGrid(1, 2, 20).windows_px(100, 180)
    assert (left, wide, next_left) == (0, 100, 80)


@given(GRIDS, st.floats(0, 1), st.floats(0, 1))
def test_every_point_has_one_cell_and_the_tile_of_that_cell_holds_it(grid, y, x):
    cells = grid.cells()
    inside = (cells[:, 0] <= y) & (y < cells[:, 2]) & (cells[:, 1] <= x) & (x < cells[:, 3])
    assert inside.sum() == 1
    top, left, tall, wide = np.array(grid.windows_px(10_000, 10_000)[int(np.argmax(inside))]) / 10_000
    assert top - 1e-3 <= y <= top + tall + 1e-3
    assert left - 1e-3 <= x <= left + wide + 1e-3
