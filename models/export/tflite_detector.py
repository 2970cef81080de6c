"""Runs a .tflite file that `tflite_convert` made, with the interface of `predict.SavedDetector`."""

import dataclasses
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from data import errors
from models.evaluation import detections
from models.evaluation.detections import Detections
from models.network import decoding


class NetworkDetector:
    """A network for one image at a time, with decoding and suppression outside or inside."""

    def __init__(
        self,
        network: Callable[[np.ndarray], Mapping[str, np.ndarray]],
        decoder: decoding.Decoder,
        class_names: Sequence[str],
    ) -> None:
        """Wraps a network.

        Args:
            network: takes an image uint8 [H, W, 3]; gives logits float32 [1, A, C or C + 1] and deltas float32
                [1, A, 4], or the outputs of TFLite_Detection_PostProcess as `tflite_convert.convert` names them.
            decoder: of the model it was made from.
            class_names: in label order.
        """
        self.class_names = tuple(class_names)
        self._network = network
        self._decoder = decoder

    def detect(self, images: Iterable[bytes], batch_size: int = 8) -> Iterator[Detections]:
        """Detects in images, one by one, as the network was made for.

        Args:
            images: JPEG or PNG files' bytes, of any sizes; read as the results are taken.
            batch_size: images whose outputs are decoded together where the suppression is outside.

        Yields:
            One result an image, in order.
        """
        batch = []
        for encoded in images:
            tiles, windows = self._cut(encoded)
            outputs = [self._network(tile) for tile in tiles]
            if "detection_boxes" in outputs[0]:
                yield _clipped(outputs[0])
                continue
            batch.append((*(np.concatenate([one[name] for one in outputs]) for name in ("logits", "deltas")), windows))
            if len(batch) == batch_size:
                yield from self._decode(batch)
                batch = []
        if batch:
            yield from self._decode(batch)

    def _cut(self, encoded: bytes) -> tuple[np.ndarray, np.ndarray]:
        """Returns the tiles uint8 [T, H, W, 3] and windows float32 [T, 4] of an image."""
        import tensorflow as tf

        from data import input_pipeline

        pixels = input_pipeline.decode_upright(tf.constant(encoded))
        cut, windows = input_pipeline.resize_tiles(pixels[None], self._decoder.image_size, self._decoder.grid)
        return cut[0].numpy(), windows[0].numpy()

    def _decode(self, batch: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> list[Detections]:
        return detections.all_detections(self._decoder.detect(*(np.stack(each) for each in zip(*batch, strict=True))))


class TfliteNetwork:
    """The network in a .tflite file, as `NetworkDetector` takes it."""

    def __init__(self, path: str) -> None:
        """Loads the file.

        Raises:
            ValueError: it is not a TFLite model.
        """
        self._runner = open_interpreter(path).get_signature_runner()
        (self._input,) = self._runner.get_input_details().values()
        self._outputs = self._runner.get_output_details()

    def __call__(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Runs the network.

        Args:
            image: uint8 [H, W, 3].

        Returns:
            The file's outputs by name, float32; quantised ones are dequantised.
        """
        found = self._runner(images=_quantised(image[None], self._input))
        return {name: _dequantised(value, self._outputs[name]) for name, value in found.items()}


def load(path: str, tile: str | None = None) -> NetworkDetector:
    """Loads a .tflite file.

    Args:
        path: of a file that `ssd-tuner export` wrote.
        tile: grid that images are cut into; by default the model's own. "1x1" for images that are tiles already.

    Returns:
        The model, ready to `detect`.

    Raises:
        UserError: the file is missing or broken, or is not of this project.
    """
    class_names = detections.read_class_names(path)
    text = detections.read_extra(path, decoding.FILE_NAME)
    if text is None:
        raise errors.UserError(f"`{path}` has no {decoding.FILE_NAME} at its end. Give a file of `ssd-tuner export`.")
    try:
        decoder = decoding.Decoder.from_json(text)
        network = TfliteNetwork(path)
    except ValueError as error:
        reason = str(error).strip().splitlines()[0]
        raise errors.UserError(f"`{path}` does not load as a TFLite model: {reason} Export it again.") from error
    return NetworkDetector(network, dataclasses.replace(decoder, tile=tile or decoder.tile), class_names)


def open_interpreter(path: str, num_threads: int | None = None) -> Any:
    """Opens a TFLite file.

    Args:
        path: of the file.
        num_threads: that the interpreter uses; None leaves it the choice.

    Returns:
        TensorFlow's interpreter.
    """
    import tensorflow as tf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it announces its own successor at every call
        return tf.lite.Interpreter(path, num_threads=num_threads)


def _quantised(pixels: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    scale, zero_point = tensor["quantization"]
    if scale == 0.0:
        return pixels.astype(tensor["dtype"])
    limits = np.iinfo(tensor["dtype"])
    return np.clip(np.round(pixels / scale) + zero_point, limits.min, limits.max).astype(tensor["dtype"])


def _dequantised(values: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    scale, zero_point = tensor["quantization"]
    if scale == 0.0:
        return values
    return (values.astype(np.float32) - zero_point) * np.float32(scale)


def _clipped(outputs: Mapping[str, Any]) -> Detections:
    count = int(outputs["num_detections"][0])
    return Detections(
        boxes=np.clip(outputs["detection_boxes"][0, :count], 0.0, 1.0),
        scores=outputs["detection_scores"][0, :count],
        classes=outputs["detection_classes"][0, :count].astype(np.int32),
    )
