"""Names that settings have in other tools, for the hint of an error; none of them is accepted."""

from collections.abc import Collection

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
# Flags of this kit, the likeliest first: not every command has each.
FLAGS = {
    "conf": ("min_score",),
    "data": ("dataset",),
    "iterations": ("max_trials",),
    "model_dir": ("workdir",),
    "n_trials": ("max_trials",),
    "name": ("workdir", "output"),
    "project": ("workdir", "output"),
    "score_threshold": ("min_score",),
    "time": ("max_minutes",),
    "time_budget_s": ("max_minutes",),
}
# What takes a flag's place, and the flag of the commands for which this is true.
ADVICE = {
    "pipeline_config_path": ("config", "`ssd-tuner import-config`"),
    "resume": ("workdir", "the same command again, which continues by itself"),
}


def setting_hint(name: str) -> str:
    """Words the setting that another tool's name stands for, as the end of an error; "" for an unknown name.

    Args:
        name: as the user typed it, as "lr0" or "optimizer.lr".
    """
    found = SETTINGS.get(name.rpartition(".")[2].lower())
    return f" Did you mean `{found}`?" if found else ""


def flag_hint(name: str, flags: Collection[str], settings: Collection[str], value: str = "...") -> str:
    """Words the flag of a command that a name stands for, likewise; where there is `--set`, the setting.

    Args:
        name: as the user typed it, without dashes.
        flags: names of the command's flags; no other is proposed.
        settings: paths of this kit's settings, whose last names are understood, too.
        value: for the setting.
    """
    folded = name.lower()
    for flag in FLAGS.get(folded, ()):
        if flag in flags:
            return f" Did you mean `--{flag}`?"
    needed, advice = ADVICE.get(folded, ("", ""))
    if needed in flags:
        return f" Did you mean {advice}?"
    own = next((path for path in settings if folded in (path, path.rpartition(".")[2])), SETTINGS.get(folded))
    return f" Did you mean `--set={own}={value}`?" if own and "set" in flags else ""
