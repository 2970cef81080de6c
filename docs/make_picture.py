"""Draws README's picture: a pushed model's detections on test scenes of the embedded dataset.

python docs/make_picture.py runs/demo/serving_model/VERSION docs/detections.jpg
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from PIL import Image

from data.road_scenes import scenes
from models.export import predict

MIN_SCORE = 0.3
COLUMNS, ROWS = 3, 2
SIZE_PX = (480, 384)


def main(model_dir: str, output: str) -> None:
    """Writes the sheet: the first test scenes with at least three objects, half of them thermal."""
    detector = predict.load_detector(model_dir)
    rendered = (scenes.render_scene(0, "test", index) for index in range(100))
    crowded = [scene for scene in rendered if len(scene.labels) >= 3]
    half = COLUMNS * ROWS // 2
    chosen = [scene for look in scenes.LOOKS for scene in [s for s in crowded if s.look == look][:half]]
    sheet = Image.new("RGB", (COLUMNS * SIZE_PX[0], ROWS * SIZE_PX[1]))
    found = detector.detect(scenes.encode_jpeg(scene) for scene in chosen)
    for number, (scene, detections) in enumerate(zip(chosen, found, strict=True)):
        shown = detections.above(MIN_SCORE)
        picture = predict.draw_detections(
            scene.image, shown.boxes, shown.classes, shown.scores, detector.class_names, gt_boxes=scene.boxes
        )
        place = (number % COLUMNS * SIZE_PX[0], number // COLUMNS * SIZE_PX[1])
        sheet.paste(picture.resize(SIZE_PX), place)
    sheet.save(output, quality=85)


if __name__ == "__main__":
    main(*sys.argv[1:])
