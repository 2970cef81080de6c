"""Times the served model, decoding and suppression included, beside the bare backbone's forward pass, in the same run.

Both are compiled and get uint8 images of the network's size in memory. The weights are random; the biases of the class
logits are set so that as many scores lie above the score threshold as in a trained detector, on which the time of the
suppression hangs. Rounds alternate.

    python -m benchmarks.inference
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks import rounds
from data.road_scenes import scenes
from models.export import saved_model
from models.hyperparameters import ExperimentConfig
from models.network.detector import Detector
from models.training import devices
from tuner_fn import presets

ROUNDS = 10
BATCHES = (1, 8)
# Preset and images a round.
CASES = {
    "128 px, alpha 0.35 (preset quick)": ("quick", 64),
    "300 px, alpha 1.0 (preset standard)": ("standard", 16),
}
ABOVE = 0.05  # share of the scores above the threshold


def main() -> int:
    """Prints images a second of both and their ratio; returns 0."""
    rounds.print_heading("python -m benchmarks.inference", ("tensorflow", "keras", "numpy"))
    print(f"median images/s of {ROUNDS} rounds (least to most); {ABOVE:.0%} of the scores above the threshold\n")
    devices.configure_device()
    for name, (preset, images) in CASES.items():
        config = presets.experiment(presets.get_preset(preset), {"model.backbone_weights": "none"}, 0)
        detector = Detector(config, len(scenes.CLASS_NAMES))
        bare = _bare_backbone(config)
        for batch in BATCHES:
            pixels = rounds.road_scenes_batch(batch, config.input.image_size)["images"]
            _bias_scores(detector, pixels)
            contestants = _contestants(detector, bare, tf.constant(pixels), images // batch)
            times = rounds.seconds_in_turn(contestants, ROUNDS)
            print(f"{name}, batch {batch}, rounds of {images} images")
            for label, found in times.items():
                print(f"  {label:<24}{rounds.spread([images // batch * batch / seconds for seconds in found])}")
            ratio = rounds.median_ratio(times["bare MobileNetV2"], times["detector with NMS"])
            print(f"  detector / bare         {ratio:8.2f} (median of the rounds' ratios)\n", flush=True)
    return 0


def _bias_scores(detector: Detector, pixels: np.ndarray) -> None:
    """Moves the biases of the class logits until a share `ABOVE` of the scores reaches the score threshold."""
    threshold = detector.config.postprocess.score_threshold
    wanted = np.log(threshold / (1 - threshold))
    shift = wanted - np.quantile(detector(pixels)["logits"], 1 - ABOVE)
    for layer in detector.network.layers:
        if layer.name.startswith("head_") and layer.name.endswith("_class"):
            layer.bias.assign_add(np.full(layer.bias.shape, shift))


def _contestants(detector: Detector, bare: keras.Model, pixels: tf.Tensor, calls: int) -> dict[str, Any]:
    module = saved_model.ServingModule(detector)  # its functions do not keep it alive
    forward = tf.function(lambda images: bare(tf.cast(images, tf.float32) / 127.5 - 1.0, training=False))
    return {
        "detector with NMS": lambda: [module.serving_tensor(pixels) for _ in range(calls)],
        "bare MobileNetV2": lambda: [forward(pixels) for _ in range(calls)],
    }


def _bare_backbone(config: ExperimentConfig) -> keras.Model:
    size = config.input.image_size
    return keras.applications.MobileNetV2(
        input_shape=(size, size, 3), alpha=config.model.alpha, include_top=False, weights=None
    )


if __name__ == "__main__":
    raise SystemExit(main())
