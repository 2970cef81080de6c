"""`ssd-tuner predict`: draws and lists a model's detections on images."""

import collections
import glob
import io
import itertools
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from absl import flags
from PIL import Image

from data import errors, files, image_decoding
from data.sources import layout
from pipeline.screen import display

SUMMARY = "Detect objects in images: JSON and pictures with boxes."
USAGE = "--model=DIR [--output=DIR] [--min_score=0.3] IMAGE_OR_FOLDER..."
EXAMPLE = "ssd-tuner predict --model=runs/demo street.jpg photos/"

_BATCH_SIZE = 8
_JSON_FILE = "detections.json"
_PICTURE_SUFFIX = ".detections.png"


def define_flags(flag_values: flags.FlagValues) -> None:
    """Adds the command's flags."""
    flags.DEFINE_string(
        "model",
        None,
        "Run directory, folder of an exported model, or a .tflite file.",
        required=True,
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "output",
        "predictions",
        f"Folder for {_JSON_FILE} (COCO's format, with scores) and one picture per image.",
        flag_values=flag_values,
    )
    flags.DEFINE_float(
        "min_score",
        0.3,
        "Leave out detections with a lower score.",
        lower_bound=0,
        upper_bound=1,
        flag_values=flag_values,
    )


def main(arguments: Sequence[str], flag_values: flags.FlagValues) -> int:
    """Detects in each image.

    Args:
        arguments: paths of images, of folders, whose images are taken, and patterns as "photos/*.jpg".
        flag_values: as `define_flags`.

    Returns:
        0, where each image was read.

    Raises:
        UserError: no image is named, `--output` is a file, the model is unusable, or a file is not an image; the
            others are done first.
    """
    from models.export import predict

    if not arguments:
        raise errors.UserError(f"`predict` needs at least one image. Example: {EXAMPLE}")
    files.check_writable(pathlib.Path(flag_values.output) / _JSON_FILE, "--output")
    model = predict.find_model(flag_values.model)
    paths = [path for argument in arguments for path in _expand(argument)]
    run = _Run(pathlib.Path(flag_values.output), flag_values.min_score)
    bad = []
    with display.open_display(flag_values.verbosity) as screen:
        detector = None
        for start in range(0, len(paths), _BATCH_SIZE):
            images, unreadable = _read_images(paths[start : start + _BATCH_SIZE])
            for error in unreadable:
                screen.note(f"Skipped {error}")
            bad += unreadable
            if images and detector is None:
                screen.note(f"Loading {model} ...")
                detector = predict.load_detector(model)
            if images:
                run.detect(detector, images)
        if detector is not None:
            run.write_json(detector.class_names)
            screen.print_table("Detections", ["image", "found", "surest"], run.rows)
            screen.note(f"Pictures and {_JSON_FILE} are in {run.output}")
    if bad:
        others = "; the others are done" if len(bad) < len(paths) else ""
        advice = "Correct the path" if bad[0].kind == "missing_image" else "Give JPEG or PNG images"
        raise errors.UserError(
            f"{len(bad)} of {len(paths)} files could not be used{others}. First: {bad[0]}. {advice}."
        )
    return 0


class _Run:
    """The results of one call: pictures are written at once, the JSON at the end."""

    def __init__(self, output: pathlib.Path, min_score: float) -> None:
        self.output = output
        self.rows: list[tuple[str, str, str | None]] = []
        self._min_score = min_score
        self._results: list[tuple[str, tuple[int, int], Any]] = []
        self._names = set[str]()

    def detect(self, detector: Any, images: Sequence[tuple[str, image_decoding.CheckedImage]]) -> None:
        """Detects in a batch of images, writes their pictures, and keeps the numbers."""
        from models.export import predict

        found = detector.detect([image.encoded for _, image in images], _BATCH_SIZE)
        for (file, image), detections in zip(images, found, strict=True):
            kept = detections.above(self._min_score)
            picture = predict.draw_detections(
                Image.open(io.BytesIO(image.encoded)),
                kept.boxes,
                kept.classes,
                kept.scores,
                detector.class_names,
            )
            buffer = io.BytesIO()
            picture.save(buffer, "PNG")
            files.write_bytes(self.output / self._picture_name(file), buffer.getvalue())
            self._results.append((file, (image.height, image.width), kept))
            counts = collections.Counter(detector.class_names[label] for label in kept.classes)
            words = ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "nothing"
            surest = f"{kept.scores.max():.2f}" if len(kept.scores) else None
            self.rows.append((file, words, surest))

    def write_json(self, class_names: Sequence[str]) -> None:
        """Writes all detections in COCO's format."""
        from models.export import predict

        names, sizes_px, detections = zip(*self._results, strict=True)
        files.write_json(self.output / _JSON_FILE, predict.coco_json(names, sizes_px, detections, class_names))

    def _picture_name(self, file: str) -> str:
        """Names a picture so that neither an original nor another picture is overwritten."""
        stem = pathlib.Path(file).stem
        names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
        name = next(name for name in names if name not in self._names)
        self._names.add(name)
        return f"{name}{_PICTURE_SUFFIX}"


def _expand(argument: str) -> list[str]:
    """Lists the images that an argument stands for; a file is taken as it is, and read later."""
    path = pathlib.Path(argument)
    if path.is_dir():
        found = _without_own_pictures(str(path / name) for name in layout.image_names(path))
        if not found:
            raise errors.UserError(f"`{argument}` holds no image. Give images, or a folder of JPEG or PNG files.")
        return found
    if any(mark in argument for mark in "*?[") and not path.exists():
        found = _without_own_pictures(sorted(glob.glob(argument, recursive=True)))
        if not found:
            drawn = f"Pictures that `predict` drew itself (*{_PICTURE_SUFFIX}) are not counted."
            drawn = f"Pictures that `predict` drew itself (*{_PICTURE_SUFFIX}) are not counted."
            raise errors.UserError(f"`{argument}` matches no image. {drawn}")
        return found
    return [argument]


def _without_own_pictures(paths: Iterable[str]) -> list[str]:
    """Leaves out what an earlier call drew."""
    return [path for path in paths if not path.endswith(_PICTURE_SUFFIX)]


def _read_images(
    paths: Sequence[str],
) -> tuple[list[tuple[str, image_decoding.CheckedImage]], list[errors.BadExampleError]]:
    images, bad = [], []
    for path in paths:
        try:
            images.append((path, image_decoding.read_image(path, exif="apply")))  # as serving does
        except errors.BadExampleError as error:
            bad.append(error)
    return images, bad
