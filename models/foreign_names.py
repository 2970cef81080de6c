"""Names that settings have in other tools, for the hint of an error; none of them is accepted."""

# Ultralytics' arguments, the Object Detection API's fields, and Keras' and TAO's names.
SETTINGS = {
    "alpha": "model.alpha",
    "aspect_ratio": "anchors.aspect_ratios",
    "base_learning_rate": "optimizer.learning_rate",
    "batch": "input.batch_size",
    "batch_size": "input.batch_size",
    "box": "loss.localization_weight",
    "conf": "postprocess.score_threshold",
    "decay": "model.batch_norm_momentum",
    "depth_multiplier": "model.alpha",
    "epochs": "training.epochs",
    "freeze": "model.frozen_blocks",
    "height": "input.image_height",
    "imgsz": "input.image_size",
    "iou": "postprocess.nms_iou",
    "iou_threshold": "postprocess.nms_iou",
    "learning_rate_base": "optimizer.learning_rate",
    "lr": "optimizer.learning_rate",
    "lr0": "optimizer.learning_rate",
    "max_det": "postprocess.max_detections",
    "max_detections_per_class": "postprocess.max_per_class",
    "momentum": "optimizer.momentum",
    "momentum_optimizer_value": "optimizer.momentum",
    "mosaic": "augment.mosaic_probability",
    "num_epochs": "training.epochs",
    "pretrained": "model.backbone_weights",
    "score_threshold": "postprocess.score_threshold",
    "warmup_epochs": "optimizer.warmup_fraction",
    "warmup_steps": "optimizer.warmup_fraction",
    "width": "input.image_width",
    "width_multiple": "model.alpha",
}
FLAGS = {
    "data": "--dataset",
    "model_dir": "--workdir",
    "name": "--workdir",
    "pipeline_config_path": "`ssd-tuner import-config`",
    "project": "--workdir",
    "resume": "the same command again, which continues by itself",
    "time": "--max_minutes",
    "time_budget_s": "--max_minutes",
    "iterations": "--max_trials",
    "n_trials": "--max_trials",
}


def setting_hint(name: str) -> str:
    """Words the setting that another tool's name stands for, as the end of an error; "" for an unknown name.

    Args:
        name: as the user typed it, as "lr0" or "optimizer.lr".
    """
    found = SETTINGS.get(name.rpartition(".")[2].lower())
    return f" Did you mean `{found}`?" if found else ""


def flag_hint(name: str) -> str:
    """Words the flag that another tool's name stands for, likewise; a setting is changed by `--set`.

    Args:
        name: as the user typed it, without dashes.
    """
    if name.lower() in FLAGS:
        found = FLAGS[name.lower()]
        return f" Did you mean {found if ' ' in found else f'`{found}`'}?"
    found = SETTINGS.get(name.lower())
    return f" Did you mean `--set={found}=...`?" if found else ""
