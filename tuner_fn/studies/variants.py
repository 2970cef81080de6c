"""What a study changes: variants of a baseline, each with one change, from a space or from the published study."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from data.errors import UserError
from models.hyperparameters import ExperimentConfig
from models.network import pretrained
from tuner_fn import search_space

BASELINE = "baseline"
_STUDY_STEPS, _DECAY_STEPS = 200_000, 5_000  # of the published study; Object Detection API


@dataclasses.dataclass(frozen=True)
class Variant:
    """A change of the baseline.

    Attributes:
        name: for people.
        settings: {setting: value} that differ from the baseline's.
    """

    name: str
    settings: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Variants:
    """The variants of a study.

    Attributes:
        kept: those that are trained.
        left_out: a sentence about each that is not.
    """

    kept: tuple[Variant, ...]
    left_out: tuple[str, ...]


def flir_study(total_steps: int) -> list[Variant]:
    """Lists the changes of the published study of SSD MobileNet v2 on FLIR ADAS, and the noise that it could not try.

    Its learning rate decayed after each 5,000 of 200,000 steps; here it decays after the same share of the training.
    What the study calls softmax is the Object Detection API's `score_converter`; a softmax loss is tried beside it.
    Adam has the API's epsilon and the baseline's learning rate.

    Args:
        total_steps: of each training, at least 1.
    """
    decay = {
        "optimizer.schedule": "exponential",
        "optimizer.decay_steps": max(1, round(total_steps * _DECAY_STEPS / _STUDY_STEPS)),
    }
    adam = {"optimizer.name": "adam", "optimizer.epsilon": 1e-8}
    return [
        Variant("softmax scores", {"postprocess.score_converter": "softmax"}),
        Variant("softmax loss", {"loss.classification": "softmax", "postprocess.score_converter": "loss"}),
        Variant("Adam, fixed rate", {**adam, "optimizer.schedule": "constant"}),
        Variant("Adam, decaying rate", {**adam, **decay}),
        Variant("decaying rate", decay),
        Variant("black patches", {"augment.patch_probability": 0.5}),
        Variant("dropout", {"model.dropout_rate": 0.2}),
        Variant("Gaussian noise", {"augment.noise_max_sigma": 10.0}),
    ]


# Spaces of `--space` whose changes belong together; any other space is changed one setting at a time.
STUDIES: Mapping[str, Callable[[int], list[Variant]]] = {"flir_study": flir_study}


def of_space(ranges: search_space.Ranges, baseline: ExperimentConfig) -> list[Variant]:
    """Lists the changes of one setting: to each other value of a list, or to both ends of a range.

    Args:
        ranges: as `search_space.named_space` returns.
        baseline: whose own values are left out.
    """
    own, found = baseline.flat(), []
    for path, entry in ranges.items():
        values = entry["choices"] if "choices" in entry else [entry["low"], entry["high"]]
        others = [value for value in dict.fromkeys(values) if value != own[path]]
        found += [Variant(f"{path}={_text(value)}", {path: value}) for value in others]
    return found


def compare_with(baseline: ExperimentConfig, proposed: list[Variant]) -> Variants:
    """Keeps what changes the baseline, has an effect with it and goes together with it.

    Args:
        baseline: all settings.
        proposed: variants; settings that they share with the baseline are dropped from them.

    Raises:
        UserError: nothing is left to compare.
    """
    own, kept, left_out = baseline.flat(), [], []
    for variant in proposed:
        changed = {path: value for path, value in variant.settings.items() if value != own[path]}
        if not changed:
            left_out.append(f"{variant.name}: the baseline has that already")
            continue
        try:
            config = baseline.replace(changed)
            config.model.weights_file()
            pretrained.check(config)
        except UserError as error:
            left_out.append(f"{variant.name}: {error}")
            continue
        if without_effect := search_space.idle(config, changed):
            left_out.append(f"{variant.name}: {without_effect}")
            continue
        kept.append(Variant(variant.name, changed))
    if not kept:
        reasons = f" ({'; '.join(left_out)})" if left_out else ""
        raise UserError(
            f"There is nothing to compare with the baseline{reasons}. Name other values in the file of `--space`."
        )
    return Variants(tuple(kept), tuple(left_out))


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
