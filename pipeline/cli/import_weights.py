"""`ssd-tuner import-weights`: a detector of TensorFlow's Object Detection API as a start for ours."""

import pathlib
import shlex
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from data import errors, files, label_map, sources
from models.hyperparameters import ExperimentConfig
from models.network import pretrained
from pipeline.cli import export
from pipeline.screen import display
from tuner_fn import presets

if TYPE_CHECKING:
    import numpy as np

    from models.od_api import weights_import

SUMMARY = "Turn a trained SSD of the Object Detection API into weights to start from (model.weights)."
USAGE = "FILE [--output=weights.npz] [--classes=NAME,... | --label_map=FILE] [--dataset=KIND:PATH]"
EXAMPLE = "ssd-tuner import-weights ssd_mobilenet_v2.tflite --label_map=labels.txt --output=weights.npz"

_NO_NAME = "???"  # in lists of labels, of the background and of ids that no class has
_BACKGROUND = (_NO_NAME, "background")
_MOST_CLASSES = 10_000
_SHOWN = 5
_FREE = (
    "input.image_size",
    "input.image_height",
    "input.image_width",
    "model.background_class",
)  # do not decide what comes


def define_flags(flag_values: flags.FlagValues) -> None:
    """Adds the command's flags."""
    flags.DEFINE_string("output", "weights.npz", "File for the weights, for model.weights.", flag_values=flag_values)
    flags.DEFINE_list(
        "classes",
        None,
        "The class names of the file in its order, without the background. Classes of a dataset with the same names"
        " start"
        " with their weights.",
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "label_map",
        None,
        "Read the class names from a label_map.pbtxt, or from a text file with one name per line.",
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "dataset",
        None,
        "Dataset, PATH or KIND:PATH. Batch norms that were folded into convolutions get the statistics of up to 200"
        " of its"
        " train images. Without it, train with frozen batch norm.",
        flag_values=flag_values,
    )


def main(arguments: Sequence[str], flag_values: flags.FlagValues) -> int:
    """Imports weights.

    Args:
        arguments: path of the file.
        flag_values: as `define_flags`.

    Returns:
        0.

    Raises:
        UserError: the file is missing or of another kind, the names do not fit it, or the dataset is unusable.
    """
    if len(arguments) != 1:
        raise errors.UserError(f"`import-weights` needs one file: got {len(arguments)}. Example: {EXAMPLE}")
    path, output = arguments[0], flag_values.output
    if not output.endswith(pretrained.SUFFIX):
        raise errors.UserError(f"`--output={output}` needs a name that ends in {pretrained.SUFFIX}.")
    files.check_writable(output, "--output")
    if not (pathlib.Path(path).exists() or pathlib.Path(f"{path}.index").exists()):
        raise errors.UserError(f"`{path}` does not exist. Name a .tflite file, a checkpoint's prefix or a SavedModel.")
    names = _class_names(flag_values.classes, flag_values.label_map)
    images = _images(flag_values.dataset)
    with display.open_display(flag_values.verbosity) as screen:
        screen.note("Starting TensorFlow (about 15 s) ...")
        from models.od_api import weights_import

        try:
            imported = weights_import.convert(path, names, images)
        except errors.UserError as error:
            raise errors.UserError(f"`{path}` {error}") from error
        pretrained.write(output, imported.trained)
        for line in _lines(path, output, imported):
            screen.note(line)
    return 0


def _class_names(names: Sequence[str] | None, path: str | None) -> list[str] | None:
    """Returns the class names in the file's order; None where they are unknown."""
    if names is None and path is None:
        return None
    if names is not None and path is not None:
        raise errors.UserError("`--classes` and `--label_map` both name the classes. Give one of them.")
    if path is not None and path.endswith(".pbtxt"):
        names = _names_by_id(path)
    elif path is not None:
        try:
            lines = pathlib.Path(path).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise errors.UserError(f"`--label_map={path}` cannot be read: {error}.") from error
        names = lines[1:] if lines and lines[0].strip().casefold() in _BACKGROUND else lines
    found = [name.strip() for name in names]
    found = [_unnamed(number) if name == _NO_NAME else name for number, name in enumerate(found, 1)]
    if not found or "" in found or len({name.casefold() for name in found}) < len(found):
        raise errors.UserError(f"every class needs a name of its own: got {', '.join(found) or 'none'}.")
    return found


def _names_by_id(path: str) -> list[str]:
    """Reads a label map: the names of the ids from 1 on, placeholders for those that it leaves out, as COCO's does."""
    by_id = label_map.read(path)
    ids = list(by_id)  # ascending
    if ids and not 1 <= ids[0] <= ids[-1] <= _MOST_CLASSES:
        wrong = ids[0] if ids[0] < 1 else ids[-1]
        raise errors.UserError(
            f"`--label_map={path}`: ids need to be from 1 up to {_MOST_CLASSES} to tell the outputs: got {wrong}."
        )
    return [by_id[number][0] if number in by_id else _unnamed(number) for number in range(1, max(ids, default=0) + 1)]


def _unnamed(number: int) -> str:
    """Returns the placeholder of an output that has no class."""
    return f"unnamed {number}"


def _images(dataset: str | None) -> Callable[[tuple[int, int]], list["np.ndarray"]] | None:
    """Returns what loads images of a height and width in pixels; None without a dataset."""
    if dataset is None:
        return None
    source = sources.open_source(dataset, required_splits=[export.CALIBRATION_SPLIT])

    def load(size: tuple[int, int]) -> list["np.ndarray"]:
        """Decodes and resizes images as in training."""
        import tensorflow as tf

        from data import input_pipeline

        encoded = list(export.calibration_files(source))
        if not encoded:
            raise errors.UserError(f"`--dataset={dataset}` has no image in its {export.CALIBRATION_SPLIT} split.")
        return [input_pipeline.decode_image(tf.constant(one), size).numpy() for one in encoded]

    return load


def _lines(path: str, output: str, imported: "weights_import.Imported") -> list[str]:
    """Says what came, what did not, and how to use it."""
    trained = imported.trained
    levels, head = trained.settings["model.num_levels"], trained.settings["model.head"]
    lines = [f"{path}: {head} on {trained.network}, {levels} levels, {imported.num_classes} classes and background"]
    parts = ", ".join(f"{part} {came} of {total}" for part, (came, total) in imported.came.items())
    lines.append(f"Tensors that came: {parts}")
    lines.append(f"Not in the file: {_some(imported.missing)}; in the file, but of no use here: {_some(imported.left)}")
    if imported.folded:
        how = f"from the statistics of {imported.calibrated} images" if imported.calibrated else "without images"
        lines.append(f"Batch norm was folded into {imported.folded} convolutions; it is rebuilt {how}")
        if not imported.calibrated:
            lines.append("  Give --dataset=DATASET to train it: its moving averages tell nothing of any image so far.")
    if trained.class_names is None:
        lines.append("The classes have no names: all start afresh. --classes or --label_map names them.")
    if imported.difference is None:
        lines.append("Not compared with the file, whose outputs cannot be had or are not all there.")
    else:
        lines.append(f"Its outputs are the file's within {imported.difference:.1g}.")
    command = f"ssd-tuner run --dataset=DATASET --workdir=FOLDER {_flags(output, trained)}"
    return [*lines, f"Written to {output}. Next:", f"  {command}"]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "") or "none"


def _flags(output: str, trained: pretrained.Weights) -> str:
    """Writes the flags of a network of the same shape, whatever the preset."""
    changed = {path for preset in presets.PRESETS.values() for path in preset.settings}
    declared, wanted = ExperimentConfig().flat(), {"model.weights": output}
    for path, value in trained.settings.items():
        if path not in _FREE and (path in changed or value != declared[path]):
            wanted[path] = value
    return " ".join(f"--set={shlex.quote(f'{path}={_text(value)}')}" for path, value in wanted.items())


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
