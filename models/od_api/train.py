"""What becomes of `train_config`, `eval_config` and the input readers of an Object Detection API configuration.

Names and defaults are those of train.proto, optimizer.proto, eval.proto and input_reader.proto.
"""

import pathlib
import shlex
from typing import Any

from models.od_api import augment
from models.od_api import fields as od
from models.od_api.fields import Child, Message, Node, Outcome, choice, fixed, honoured, ignored, refused, sets, value

_RATE = "optimizer.learning_rate"


def _schedule(name: str) -> Any:
    settings: dict[str, str | float] = {"optimizer.schedule": name}
    if name != "cosine":
        settings["optimizer.warmup_fraction"] = 0.0
    return lambda node: honoured(settings)


_EXPONENTIAL: dict[str, od.Field | Child] = {
    "initial_learning_rate": value(0.002, sets(_RATE)),
    "decay_steps": value(4_000_000, sets("optimizer.decay_steps")),
    "decay_factor": value(0.95, sets("optimizer.decay_factor")),
    "staircase": value(True, sets("optimizer.staircase")),
    "burnin_learning_rate": value(0.0, ignored("of burnin_steps")),
    "burnin_steps": value(0, fixed(0, "the kit's warm-up is linear, not constant")),
    "min_learning_rate": value(0.0, fixed(0.0, "the kit's exponential decay continues to 0")),
}


def _all_steps(given: int, node: Node) -> Outcome:
    steps = node.root.find("train_config")["num_steps"]
    if steps in (0, given):
        return honoured(why="the kit's cosine ends with the training")
    return refused(f"the kit's cosine ends with the training, after {steps} steps")


def _warmup(given: int, node: Node) -> Outcome:
    return honoured({"optimizer.warmup_fraction": round(given / max(node["total_steps"], 1), 6)}, "of total_steps")


def _warmup_rate(given: float, node: Node) -> Outcome:
    steps = node["warmup_steps"]
    if not steps or given <= node["learning_rate_base"] / steps:
        return honoured(why="the kit's warm-up begins at 0")
    return refused("the kit's warm-up begins at 0")


_COSINE: dict[str, od.Field | Child] = {
    "learning_rate_base": value(0.002, sets(_RATE)),
    "total_steps": value(4_000_000, _all_steps),
    "warmup_learning_rate": value(0.0002, _warmup_rate),
    "warmup_steps": value(10_000, _warmup),
    "hold_base_rate_steps": value(0, fixed(0, "the kit's cosine begins after the warm-up")),
}
_NO_STEPS = "the kit has constant, exponential, cosine and cyclic rates"


def _first_step(given: float, node: Node) -> Outcome:
    return refused(f"{_NO_STEPS}; the first one is kept", {_RATE: given})


_MANUAL: dict[str, od.Field | Child] = {
    "initial_learning_rate": value(0.002, _first_step),
    "schedule": Child(Message({}, other=refused(_NO_STEPS)), repeated=True),
    "warmup": value(False, fixed(False, _NO_STEPS)),
}
LEARNING_RATE = Message(
    {
        "constant_learning_rate": Child(
            Message({"learning_rate": value(0.002, sets(_RATE))}), chosen=_schedule("constant")
        ),
        "exponential_decay_learning_rate": Child(Message(_EXPONENTIAL), chosen=_schedule("exponential")),
        "cosine_decay_learning_rate": Child(Message(_COSINE), chosen=_schedule("cosine")),
        "manual_step_learning_rate": Child(
            Message(_MANUAL), chosen=lambda node: refused(_NO_STEPS, _schedule("constant")(node).settings)
        ),
    },
    one_of=True,
)


def _optimizer(name: str, **fields: od.Field) -> Child:
    rate = Child(LEARNING_RATE, always=True, chosen=od.one_needed("a learning rate"))
    return Child(Message({**fields, "learning_rate": rate}), chosen=lambda node: honoured({"optimizer.name": name}))


def _averages(_: Any, node: Node) -> Outcome:
    """The API keeps moving averages by default, but scores and exports them only where eval_config says so."""
    optimizer = node.root.find("train_config.optimizer")
    if not optimizer["use_moving_average"]:
        return honoured({"optimizer.ema_momentum": 0.0}, "use_moving_average is false")
    if not node.root.find("eval_config")["use_moving_averages"]:
        return honoured({"optimizer.ema_momentum": 0.0}, "unused without eval_config.use_moving_averages")
    return honoured({"optimizer.ema_momentum": optimizer["moving_average_decay"]})


OPTIMIZER = Message(
    {
        "rms_prop_optimizer": _optimizer(
            "rmsprop",
            momentum_optimizer_value=value(0.9, sets("optimizer.momentum")),
            decay=value(0.9, sets("optimizer.rho")),
            epsilon=value(1.0, sets("optimizer.epsilon")),
        ),
        "momentum_optimizer": _optimizer("momentum", momentum_optimizer_value=value(0.9, sets("optimizer.momentum"))),
        "adam_optimizer": _optimizer("adam", epsilon=value(1e-8, sets("optimizer.epsilon"))),
        "use_moving_average": value(True, _averages),
        "moving_average_decay": value(0.9999, _averages),
    },
    one_of=True,
)


def _epochs(given: int, node: Node) -> Outcome:
    """Turns steps into epochs; the last, smaller batch of an epoch is left out, as in training."""
    if not given:
        return refused("0 trains without end; set training.epochs")
    batch, images = max(node["batch_size"], 1), node.root.train_images
    if images is None:
        return refused(
            f"epochs need the number of images: --train_images=N, or set training.epochs to {given * batch} / N"
        )
    epochs = max(1, round(given / max(images // batch, 1)))
    return honoured({"training.epochs": epochs}, f"{images} train images are {max(images // batch, 1)} steps an epoch")


WEIGHTS_FILE = "weights.npz"  # that `import-weights` writes by default
_CLASSIFICATION = "a backbone comes from a Keras weights file: model.backbone_weights=FILE, or imagenet"


def import_command(checkpoint: str) -> str:
    """Writes the command that makes the file of `model.weights` of a checkpoint."""
    return f"ssd-tuner import-weights {shlex.quote(checkpoint)} --output={WEIGHTS_FILE}"


def _checkpoint(given: str, node: Node) -> Outcome:
    """Takes a detector's checkpoint that is there as `model.weights`."""
    if not given:
        return Outcome(od.IGNORED, why="empty")
    if _is_classification(node):
        return refused(_CLASSIFICATION)
    if not (pathlib.Path(given).exists() or pathlib.Path(f"{given}.index").is_file()):
        return refused(
            f"no such file here; where it is, {import_command('CHECKPOINT')} and set model.weights={WEIGHTS_FILE}"
        )
    return honoured({"model.weights": WEIGHTS_FILE}, f"after {import_command(given)}")


def _is_classification(node: Node) -> bool:
    """Tells whether a checkpoint is of a classifier, as the API takes it where the file says nothing."""
    given = node["fine_tune_checkpoint_type"]
    return given == "classification" if given else not node["from_detection_checkpoint"]


def _checkpoint_type(given: str, node: Node) -> Outcome:
    if not given or not node["fine_tune_checkpoint"]:
        return Outcome(od.IGNORED, why="no fine_tune_checkpoint" if given else "empty")
    if given in ("detection", "full", "fine_tune"):
        return honoured(why="what fits comes, classes by name")
    return refused(_CLASSIFICATION if given == "classification" else "detection, full or classification is known")


_GOES_ALONG = ignored("of fine_tune_checkpoint")
_REPLICAS = ignored("one process trains")
_QUEUE = ignored("a matter of speed")
_VARIABLES = od.cannot("the kit freezes the backbone's first blocks (model.frozen_blocks) or its batch norm")
TRAIN_CONFIG = Message(
    {
        "batch_size": value(32, sets("input.batch_size")),
        "num_steps": value(0, _epochs),
        "optimizer": Child(OPTIMIZER, always=True, chosen=od.one_needed("an optimizer")),
        "gradient_clipping_by_norm": value(0.0, sets("optimizer.clip_norm")),
        "bias_grad_multiplier": value(0.0, fixed(0.0, "the kit's biases learn as the kernels do")),
        "add_regularization_loss": value(True, lambda given, node: honoured(why="" if given else "loss.l2 is 0")),
        "data_augmentation_options": Child(augment.OPTION, repeated=True),
        "max_number_of_boxes": value(100, sets("input.max_boxes")),
        "fine_tune_checkpoint": value("", _checkpoint),
        "fine_tune_checkpoint_type": value("", _checkpoint_type),
        "fine_tune_checkpoint_version": choice("UNKNOWN V1 V2", "V1", _GOES_ALONG),
        "from_detection_checkpoint": value(False, _GOES_ALONG),
        "load_all_detection_checkpoint_vars": value(False, _GOES_ALONG),
        "run_fine_tune_checkpoint_dummy_computation": value(True, _GOES_ALONG),
        "freeze_variables": od.repeated(str, _VARIABLES),
        "update_trainable_variables": od.repeated(str, _VARIABLES),
        "use_multiclass_scores": value(False, fixed(False, "the kit's objects have one class")),
        "merge_multiple_label_boxes": value(False, fixed(False, "the kit's objects have one class")),
        "unpad_groundtruth_tensors": value(True, ignored("padding has no effect on the result")),
        "use_bfloat16": value(False, ignored("it makes a TPU faster; the kit's numbers are its own choice")),
        "retain_original_images": value(False, ignored("for the API's pictures")),
        "summarize_gradients": value(False, ignored("for the API's TensorBoard")),
        "keep_checkpoint_every_n_hours": value(1000.0, ignored("the kit keeps what a continued training needs")),
        "sync_replicas": value(False, _REPLICAS),
        "replicas_to_aggregate": value(1, _REPLICAS),
        "startup_delay_steps": value(15.0, _REPLICAS),
        "batch_queue_capacity": value(150, _QUEUE),
        "num_batch_queue_threads": value(8, _QUEUE),
        "prefetch_queue_capacity": value(5, _QUEUE),
    }
)


def _metrics(given: tuple[str, ...], node: Node) -> Outcome:
    others = [name for name in given if name != "coco_detection_metrics"]
    return refused("the kit computes COCO's") if others else honoured(why="the kit computes COCO's")


def _known(names: str, why: str) -> dict[str, Child | od.Field]:
    """Declares fields of any kind that say nothing about the result."""
    return {name: od.Field(None, ignored(why), object) for name in names.split()}


EVAL_CONFIG = Message(
    {
        "metrics_set": od.repeated(str, _metrics),
        "use_moving_averages": value(False, _averages),
        **_known(
            "batch_size num_visualizations num_examples eval_interval_secs max_evals save_graph eval_master export_path"
            " visualization_export_dir ignore_groundtruth eval_instance_masks min_score_threshold skip_scores"
            " use_dummy_loss_in_eval max_num_boxes_to_visualize visualize_groundtruth_boxes"
            " groundtruth_box_visualization_color keep_image_id_for_visualization_export skip_labels"
            " retain_original_images include_metrics_per_category all_metrics_per_category force_no_resize"
            " retain_original_image_additional_channels",
            "the kit evaluates the whole val and test splits",
        ),
        "recall_lower_bound": value(0.0, fixed(0.0, "COCO's metrics take all recalls")),
        "recall_upper_bound": value(1.0, fixed(1.0, "COCO's metrics take all recalls")),
        "super_categories": od.unsupported("the kit's metrics are by class"),
        "parameterized_metric": od.unsupported("the kit computes COCO's"),
    }
)
INPUT_READER = Message(
    {
        "tf_record_input_reader": od.unread("--dataset=tfrecord:FOLDER names the data"),
        "external_input_reader": od.unread("--dataset names the data"),
        **_known("label_map_path name", "--dataset names the data, with its classes"),
        **_known(
            "shuffle shuffle_buffer_size filenames_shuffle_buffer_size num_epochs num_readers num_parallel_batches"
            " num_prefetch_batches queue_capacity min_after_dequeue read_block_length prefetch_size max_number_of_boxes"
            " num_parallel_map_calls num_additional_channels num_keypoints keypoint_type_weight load_multiclass_scores"
            " load_context_features load_instance_masks load_track_id load_keypoint_depth_features load_dense_pose"
            " mask_type mask_weight use_display_name include_source_id input_type sample_1_of_n_examples frame_index"
            " sample_from_datasets_weights expand_labels_hierarchy drop_remainder image_id_column",
            "the kit shuffles and reads in its own way",
        ),
    }
)
GRAPH_REWRITER = Message({"quantization": od.unsupported("the kit trains in floating point")})
