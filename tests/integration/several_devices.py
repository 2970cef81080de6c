"""A process of its own trains the same configuration on one device and on two, which are halves of the CPU.

python several_devices.py FOLDER: prints, as JSON, what each of them reported, how far their weights are apart, and how
far the answers of their exported models are.
"""

import json
import pathlib
import sys
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from models.export import saved_model
from models.hyperparameters import ExperimentConfig
from models.network import backbones, layers
from models.training import devices, programs, train
from tests import tiny_data

# Adam's first steps are as long for a gradient of rounding errors as for any other; momentum's are not.
SETTINGS = {"optimizer.name": "momentum", "optimizer.learning_rate": 0.01, "optimizer.ema_momentum": 0.9}
SETTINGS |= {"optimizer.clip_norm": 1.0, "optimizer.backbone_rate": 0.5, "optimizer.weight_decay": 0.01}
SETTINGS |= {"loss.l2": 0.01, "input.image_size": 64, "input.batch_size": 4}
SETTINGS |= {"model.backbone": "three convolutions", "model.num_levels": 2}


@backbones.register("three convolutions")
def three_convolutions(config: Any, size: tuple[int, int]) -> keras.Model:
    """Builds the least that has strides 16 and 32; every replica is traced of its own."""
    maps = [keras.Input((*size, 3))]
    for number, stride in enumerate((8, 2, 2)):
        maps.append(layers.conv_bn(maps[-1], 8, config, f"conv_{number}", kernel=3, stride=stride))
    return keras.Model(maps[0], maps[1:])


def main(folder: pathlib.Path) -> None:
    """Trains, and prints what is found."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    names, config = tiny_data.CLASS_NAMES, ExperimentConfig().replace(SETTINGS)
    counts = {"train": 13, "val": 33}  # the last batches are not full
    records = {split: [tiny_data.scene_record(split, index) for index in range(counts[split])] for split in counts}
    files = [tiny_data.write_split(folder, split, records[split]) for split in counts]
    image = tf.constant([records["val"][0].encoded])
    found: dict[str, Any] = {"replicas": [], "reports": [], "values": [], "answers": []}
    for number, accelerators in enumerate(([], ["CPU:0", "CPU:1"])):
        devices.accelerators = lambda names=accelerators: names
        programs._programs.clear()
        state = folder / f"state_{number}" / "state.npz"
        for epochs in (1, 2):  # the second part continues from the file
            result = train.train(config, *files, names, epochs=epochs, checkpoint=state)
        found["replicas"].append(result.detector.distribute_strategy.num_replicas_in_sync)
        found["reports"].append([{key: one[key] for key in ("loss", "AP")} for one in result.history])
        found["values"].append([np.asarray(variable) for variable in result.detector.variables])
        saved_model.export_saved_model(result.detector, names, folder / f"model_{number}")
        served = tf.saved_model.load(folder / f"model_{number}").signatures["serving_bytes"]
        found["answers"].append({key: value.numpy() for key, value in served(image_bytes=image).items()})
    one, two = found.pop("values")
    found["weights"] = max(float(np.abs(a - b).max()) for a, b in zip(one, two, strict=True))
    moved = programs.Program(config, len(names)).detector.variables
    found["moved"] = max(float(np.abs(a - np.asarray(b)).max()) for a, b in zip(one, moved, strict=True))
    one, two = found.pop("answers")
    found["scores"] = float(np.abs(one["detection_scores"] - two["detection_scores"]).max())
    print(json.dumps(found))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
