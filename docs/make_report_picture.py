"""Takes the picture of docs/report.md: parts of a report in Chromium, on a desk and on a phone.

python docs/make_report_picture.py runs/demo/report/report.html docs/report.jpg
"""

import io
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from PIL import Image

from tests import chromium

# Width of the window in px; the sections shown in its column, each with its height in px.
COLUMNS = (
    (1000, (("learning-curves", 470), ("mistakes", 620))),
    (390, (("parallel-coordinates", 540), ("worst-and-best-images", 550))),
)
GAP_PX = 20
_TOP = "document.getElementById('{}').getBoundingClientRect().top"
_WAIT = "new Promise((done) => setTimeout(done, 2000))"  # plots follow the window's size


def main(report: str, output: str) -> None:
    """Writes the picture."""
    parts = []
    with chromium.open_page() as page:
        left_px = 0
        for width_px, sections in COLUMNS:
            page.open(pathlib.Path(report), width_px)
            page.resize(width_px, page.evaluate("document.documentElement.scrollHeight"))
            page.evaluate(_WAIT)
            whole, top_px = Image.open(io.BytesIO(page.screenshot())).convert("RGB"), 0
            for name, height_px in sections:
                start_px = round(page.evaluate(_TOP.format(name)))
                parts.append((whole.crop((0, start_px, whole.width, start_px + height_px)), (left_px, top_px)))
                top_px += height_px
            left_px += whole.width + GAP_PX
    size_px = tuple(max(place[axis] + part.size[axis] for part, place in parts) for axis in (0, 1))
    sheet = Image.new("RGB", size_px, "#9a9a9a")
    for part, place in parts:
        sheet.paste(part, place)
    sheet.save(output, quality=75)


if __name__ == "__main__":
    main(*sys.argv[1:])
