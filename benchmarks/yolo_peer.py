"""The peer of `benchmarks.yolo`, in a process of its own: PyTorch's compiler crashes beside TensorFlow.

    python -m benchmarks.yolo_peer SETTINGS.json

The file holds "model" and "train" (arguments of `ultralytics.YOLO` and of its `train`), "images" (paths), "predict"
(arguments of `predict`) and "output", a JSON file that gets "minutes" of training, "classes" in their order, and
"detections", for each image {"boxes": [D, 4] normalised xmin, ymin, xmax, ymax, "scores": [D], "classes": [D]}.
"""

import json
import os
import pathlib
import sys
import time


def main() -> int:
    """Trains, and detects with the weights that were best on val; returns 0."""
    import torch
    import ultralytics

    settings = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    model = ultralytics.YOLO(settings["model"])
    began = time.monotonic()
    model.train(**settings["train"])
    minutes = (time.monotonic() - began) / 60
    best = ultralytics.YOLO(pathlib.Path(model.trainer.save_dir) / "weights" / "best.pt")
    detections = []
    for image in settings["images"]:
        (found,) = best.predict(image, **settings["predict"])
        boxes, scores, classes = found.boxes.xyxyn, found.boxes.conf, found.boxes.cls
        detections.append({"boxes": boxes.tolist(), "scores": scores.tolist(), "classes": classes.int().tolist()})
    found = {"minutes": minutes, "classes": list(best.names.values()), "detections": detections}
    pathlib.Path(settings["output"]).write_text(json.dumps(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
