"""The code that MLflow keeps with a model: it needs TensorFlow and pandas, and nothing of this project.

MLflow runs this file to load the model (models from code), so it is not imported by the project.
"""

import pathlib
from typing import Any

import mlflow
import pandas as pd
import tensorflow as tf


class ServedDetector(mlflow.pyfunc.PythonModel):
    """Detects objects in JPEG or PNG files."""

    def load_context(self, context: Any) -> None:
        """Loads the SavedModel and its class names."""
        folder = pathlib.Path(context.artifacts["detector"])
        self._model = tf.saved_model.load(str(folder))
        text = (folder / "assets.extra" / "labels.txt").read_text(encoding="utf-8")
        self._class_names = [line for line in text.splitlines() if line.strip()]

    def predict(self, context, model_input, params=None):  # noqa: ANN001, ANN201 - MLflow would take hints for the signature
        """Detects.

        Args:
            context: unused.
            model_input: a table with the column `image`, JPEG or PNG bytes.
            params: min_score, in [0, 1]: detections below it are left out.

        Returns:
            A row an image: `boxes` (normalised ymin, xmin, ymax, xmax), `scores` and `classes` (names), surest first.
        """
        return pd.DataFrame([self._detect(encoded, params["min_score"]) for encoded in model_input["image"]])

    def _detect(self, encoded: bytes, min_score: float) -> dict[str, list[Any]]:
        found = self._model.signatures["serving_bytes"](image_bytes=tf.constant([encoded]))
        count = int(found["num_detections"][0])
        boxes, scores, classes = (
            found[f"detection_{name}"].numpy()[0][:count] for name in ("boxes", "scores", "classes")
        )
        kept = scores >= min_score
        names = [self._class_names[int(label)] for label in classes[kept]]
        return {"boxes": boxes[kept].tolist(), "scores": scores[kept].tolist(), "classes": names}


mlflow.models.set_model(ServedDetector())
