"""Contact sheets: what is drawn where, and that sampling is seeded."""

import io

import numpy as np
import pytest
from PIL import Image, ImageColor, ImageFont

from data import contact_sheet, drawing
from data.contact_sheet import Cell
from data.examples import DetectionRecord

NAMES = ("car", "person")


def cell(boxes=(), labels=(), ignored=(), size=(380, 380), caption="a.png"):
    """Makes a black picture of size (width, height)."""
    return Cell(
        image=Image.new("RGB", size),
        caption=caption,
        boxes=np.array(boxes, float).reshape(-1, 4),
        labels=np.array(labels, int),
        is_ignored=np.array(ignored, bool),
    )


def record(name, boxes, labels, size=(48, 64)):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "PNG")
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return DetectionRecord(
        source_id=name,
        encoded=buffer.getvalue(),
        image_format="png",
        height=size[0],
        width=size[1],
        boxes=boxes,
        labels=np.array(labels, np.int32),
        is_crowd=np.zeros(len(labels), bool),
        area_px=np.ones(len(labels), np.float32),
    )


def draw(cells, columns=1):
    """Draws a sheet and returns its pixels from the first picture's top left corner on."""
    sheet = np.asarray(contact_sheet.draw_sheet(cells, NAMES, columns, "sheet"))
    top = sheet.shape[0] - np.argmax((sheet == 0).all(axis=2).any(axis=1)[::-1])
    rows = (sheet == 0).all(axis=2).any(axis=1)
    columns = (sheet == 0).all(axis=2).any(axis=0)
    assert top
    return sheet[np.argmax(rows) :, np.argmax(columns) :]


def share_of(pixels, colour):
    return (pixels == ImageColor.getrgb(colour)).all(axis=2).mean()


def test_a_box_is_drawn_where_it_is_in_its_class_colour():
    pixels = draw([cell([[0.25, 0.5, 0.75, 1.0]], [1], [False])])
    side = 380
    for y, x in ((0.25, 0.75), (0.5, 0.5)):
        edge = pixels[round(y * side), round(x * side)]
        assert tuple(edge) == ImageColor.getrgb(drawing.colour(1))
    assert (pixels[round(0.5 * side), round(0.75 * side)] == 0).all()  # nothing inside
    assert (pixels[round(0.5 * side), round(0.25 * side)] == 0).all()


def test_a_region_to_ignore_is_hatched_in_grey_and_stays_visible():
    pixels = draw([cell([[0.0, 0.0, 0.5, 0.5]] * 2, [0, 1], [True, True])])
    inside, outside = pixels[20:180, 20:180], pixels[200:370, 200:370]
    assert 0.05 < share_of(inside, drawing.IGNORED_COLOUR) < 0.4
    assert share_of(inside, "#000000") > 0.5
    assert share_of(outside, "#000000") == 1
    assert share_of(inside, drawing.colour(0)) == 0


def test_pictures_keep_their_aspect_ratio_and_go_row_by_row():
    wide = contact_sheet.draw_sheet([cell(size=(400, 100))], NAMES, 4, "one")
    tall = contact_sheet.draw_sheet([cell(size=(100, 400))], NAMES, 4, "one")
    assert wide.width == tall.width
    assert tall.height - wide.height == 380 - 95
    four = contact_sheet.draw_sheet([cell()] * 4, NAMES, 2, "four")
    five = contact_sheet.draw_sheet([cell()] * 5, NAMES, 2, "five")
    assert four.width == five.width
    assert five.height > four.height > 2 * 380


def test_the_legend_names_every_class_even_when_they_are_many():
    names = [f"class number {n}" for n in range(40)]
    few = contact_sheet.draw_sheet([cell()], names[:2], 1, "few")
    many = np.asarray(contact_sheet.draw_sheet([cell()], names, 1, "many"))
    assert many.shape[0] > few.height + 100
    assert many.shape[1] == few.width
    for label in range(8):
        assert share_of(many, drawing.colour(label)) > 0


def test_long_captions_are_cut_at_the_front_and_titles_at_the_end():
    font = ImageFont.load_default(12)
    name = "very/long/folder/" * 8 + "frame_000123.png"
    caption, title = contact_sheet._fit(name, font, 150, keep_end=True), contact_sheet._fit("title " * 50, font, 150)
    assert caption.startswith("...")
    assert caption.endswith("frame_000123.png")
    assert title.startswith("title title")
    assert title.endswith("...")
    assert 120 < font.getlength(caption) <= 150
    assert 120 < font.getlength(title) <= 150


def test_a_sheet_needs_a_picture():
    with pytest.raises(ValueError, match="`cells` needs at least one picture"):
        contact_sheet.draw_sheet([], NAMES, 4, "none")


def test_sampling_is_seeded_without_repetition_and_in_order():
    items = [f"{n:03d}" for n in range(100)]
    one, again, other = (contact_sheet.sample(items, 10, seed) for seed in (0, 0, 1))
    assert one == again == sorted(set(one))
    assert len(one) == 10
    assert one != other
    assert contact_sheet.sample(items[:3], 10, 0) == items[:3]


def test_augmented_pictures_are_those_of_the_training_augmentation():
    from data import augment

    records = [record("a", [[0.1, 0.2, 0.5, 0.6]], [1]), record("b", [], [])]
    off = dict.fromkeys(
        (
            *("flip_probability", "jitter_probability", "crop_probability", "photometric_strength", "color_strength"),
            *("noise_max_sigma", "patch_probability", "mosaic_probability"),
        ),
        0.0,
    )
    off |= {
        "jitter_min_zoom": 0.5,
        "jitter_max_zoom": 1.0,
        "crop_min_scale": 0.5,
        "crop_min_area": 0.0,
        "crop_overlap": "iou",
    }
    off |= {"patch_max_count": 1, "patch_max_side": 0.2}

    def cells(**changes):
        augmentation = augment.augmentation(**{**off, **changes})
        return contact_sheet.augmented_cells(records, augmentation, copies=2, size=(64, 64), max_boxes=5, seed=0)

    (first, second), (empty, _) = cells()
    assert first.image.size == (64, 64)
    assert first.boxes == pytest.approx(np.array([[0.1, 0.2, 0.5, 0.6]]))
    assert (first.labels.tolist(), first.is_ignored.tolist()) == ([1], [False])
    assert len(empty.boxes) == 0
    np.testing.assert_array_equal(np.asarray(first.image), np.asarray(second.image))
    (flipped, _), _ = cells(flip_probability=1.0)
    assert flipped.boxes == pytest.approx(np.array([[0.1, 0.4, 0.5, 0.8]]))
    np.testing.assert_array_equal(np.asarray(flipped.image), np.asarray(first.image)[:, ::-1])
    (mixed, mixed_again), _ = cells(mosaic_probability=1.0)
    assert not np.array_equal(np.asarray(mixed.image), np.asarray(mixed_again.image))
