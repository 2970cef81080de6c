"""From the declared hyperparameters to Keras Tuner's search space, and back; the named spaces."""

import contextlib
import fnmatch
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import yaml

from data.errors import UserError, nearest
from models import declarations
from models.hyperparameters import ExperimentConfig

# {hyperparameter: {"low", "high", "scale"} or {"choices"}}: what is searched, in which range.
Ranges = Mapping[str, Mapping[str, Any]]
_KEYS = ("low", "high", "scale", "choices")
_ARCHITECTURE = (
    *("model.backbone", "model.alpha", "model.head", "model.num_levels", "model.head_layers", "model.head_depth"),
    *("model.head_kernel_size", "model.activation"),
)
# {name: {hyperparameter or pattern: range, None for the declared one}}
SPACES: Mapping[str, Mapping[str, Any]] = {
    "default": dict.fromkeys(
        (
            *("optimizer.learning_rate", "anchors.min_scale", "loss.negatives_per_positive"),
            *("loss.localization_weight", "loss.l2", "augment.crop_probability", "augment.photometric_strength"),
        )
    ),
    "quick": dict.fromkeys(("optimizer.learning_rate", "loss.l2", "augment.*_probability", "augment.*_strength")),
    # What the study of SSD MobileNet v2 on FLIR ADAS changed one by one.
    "flir_study": {
        "loss.classification": ["sigmoid", "softmax"],
        "optimizer.name": ["rmsprop", "adam"],
        "optimizer.schedule": ["constant", "exponential"],
        "optimizer.decay_steps": {"low": 5_000, "high": 800_720, "scale": "log"},
        "augment.patch_probability": [0.0, 0.5],
        "model.dropout_rate": [0.0, 0.2],
    },
    "architecture": dict.fromkeys(_ARCHITECTURE),
    "full": {"*": None},
}


def named_space(name: str, config: ExperimentConfig) -> Ranges:
    """Resolves a space's name or file.

    Args:
        name: of `SPACES`, or the path of a YAML or JSON file: {hyperparameter or pattern: range}, a range being a list
            of values, a mapping of "low", "high" and "scale" ("linear" or "log"), or nothing for the declared one.
        config: base settings.

    Returns:
        The ranges in the order of declaration. What a pattern matches and has no effect is left out.

    Raises:
        UserError: no such name or file, or the file asks for what cannot be searched.
    """
    if name in SPACES:
        return _resolve(SPACES[name], config, named_count=False)
    path = pathlib.Path(name)
    if not path.suffix and not path.exists():
        raise UserError(f"`--space={name}` is no space and no file.{nearest(name, SPACES)}")
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"`--space={name}` cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"`--space={name}` is neither YAML nor JSON: {' '.join(str(error).split())}.") from error
    if not isinstance(entries, dict) or not entries:
        raise UserError(f"`--space={name}` needs lines such as `optimizer.learning_rate: {{low: 1.0e-4, high: 0.01}}`.")
    try:
        return _resolve(entries, config)
    except UserError as error:
        raise UserError(f"`--space={name}`: {error}") from error


def pick(ranges: Ranges, patterns: Sequence[str], config: ExperimentConfig) -> Ranges:
    """Picks hyperparameters by name or pattern, with a space's ranges where it has one, else the declared ones.

    Args:
        ranges: as `named_space` returns.
        patterns: such as "loss.l2" or "augment.*".
        config: base settings.

    Raises:
        UserError: a pattern matches nothing, or what it names cannot be searched or has no effect.
    """
    found = _resolve(dict.fromkeys(patterns), config)
    return {path: ranges.get(path, entry) for path, entry in found.items()}


def without(ranges: Ranges, pinned: Collection[str]) -> Ranges:
    """Leaves out what the user fixed."""
    return {path: entry for path, entry in ranges.items() if path not in pinned}


def make_search_space(config: ExperimentConfig, ranges: Ranges) -> "keras_tuner.HyperParameters":  # noqa: F821
    """Registers the hyperparameters to search, with the configuration's values as defaults.

    One that changes nothing without certain values of another that is searched, too, is active with those only.

    Args:
        config: base settings; its values are the defaults that Keras Tuner tries first.
        ranges: as `named_space` returns.

    Returns:
        Keras Tuner's space; ranges and candidates are widened to hold the configuration's own value.
    """
    import keras_tuner  # 10 s, and the command line checks spaces before it starts anything

    space = keras_tuner.HyperParameters()
    declared = {path: (field, value) for path, field, value in config.items()}
    for path in sorted(ranges, key=lambda path: _condition(path, declared, ranges) is not None):
        field, value = declared[path]
        condition = _condition(path, declared, ranges)
        with space.conditional_scope(*condition) if condition else contextlib.nullcontext():
            _register(space, path, ranges[path], field, value)
    return space


def configuration(config: ExperimentConfig, values: Mapping[str, Any]) -> ExperimentConfig:
    """Applies a trial's values to the base settings; Keras Tuner's own entries (`tuner/...`) are left out."""
    return config.replace({name: value for name, value in values.items() if not name.startswith("tuner/")})


def _register(space: Any, path: str, entry: Mapping[str, Any], field: Any, value: Any) -> None:
    if entry.get("choices") is not None:
        choices = list(entry["choices"])
        space.Choice(path, choices if value in choices else [*choices, value], default=value)
        return
    low, high = min(entry["low"], value), max(entry["high"], value)
    register = space.Int if isinstance(field.default, int) else space.Float
    register(path, low, high, sampling=entry["scale"] if low > 0 else "linear", default=value)


def _condition(path: str, declared: Mapping[str, Any], ranges: Ranges) -> tuple[str, list[Any]] | None:
    """Returns Keras Tuner's condition of a hyperparameter: another one that is searched, and its values."""
    when = declared[path][0].metadata.get("when")
    if when is None or when[0] not in ranges or when[1] is None:
        return None
    return when[0], list(when[1])


def _resolve(
    entries: Mapping[str, Any], config: ExperimentConfig, *, named_count: bool = True
) -> dict[str, dict[str, Any]]:
    """Matches names and patterns, and checks the ranges; naming what has no effect is an error where that counts."""
    declared = {path: (field, value) for path, field, value in config.items()}
    tunable = [path for path, (field, _) in declared.items() if "search" in field.metadata]
    wanted: dict[str, Any] = {}
    for pattern, entry in entries.items():
        if pattern in declared:
            matches = [pattern]
        elif any(mark in pattern for mark in "*?["):
            matches = [path for path in tunable if fnmatch.fnmatchcase(path, pattern) and path not in entries]
        else:
            matches = []
        if not matches:
            raise UserError(f"`{pattern}` is no hyperparameter that can be searched.{nearest(pattern, tunable)}")
        wanted |= dict.fromkeys(matches, entry)
    ranges = {path: _range(path, wanted[path], declared[path][0], config) for path in declared if path in wanted}
    idle = {path for path in ranges if not _has_effect(path, ranges, declared)}
    named = sorted(idle & set(entries))
    if named and named_count:
        raise UserError(f"`{named[0]}` changes nothing with these settings{_needed(declared[named[0]][0])}.")
    return {path: entry for path, entry in ranges.items() if path not in idle}


def _range(path: str, entry: Any, field: Any, config: ExperimentConfig) -> dict[str, Any]:
    """Completes a range from the declaration and checks its values."""
    search = dict(field.metadata.get("search") or {})
    if entry is None:
        if not search:
            raise UserError(f"`{path}` is no hyperparameter that can be searched without a range. Give it one.")
    elif isinstance(entry, list):
        search = {"choices": entry}
    elif isinstance(entry, Mapping) and set(entry) <= set(_KEYS):
        search = {"scale": "linear", **search, "choices": None, **entry}
    else:
        raise UserError(f"`{path}` needs a list of values, or some of {', '.join(_KEYS)}: got {entry!r}.")
    if search.get("choices") is not None:
        if not search["choices"]:
            raise UserError(f"`{path}` needs at least one value.")
        for value in search["choices"]:
            config.replace({path: value})
        return {"choices": list(search["choices"])}
    try:
        low, high = (declarations.convert(path, field, search[end]) for end in ("low", "high"))
    except KeyError as error:
        raise UserError(f"`{path}` needs `low` and `high`.") from error
    for value in (low, high):
        declarations.check_value(path, field, value)
    if not isinstance(low, int | float) or isinstance(low, bool) or low > high:
        raise UserError(f"`{path}` needs numbers with `low` up to `high`: got {low!r} and {high!r}.")
    if search["scale"] not in ("linear", "log") or (search["scale"] == "log" and low < 0):
        raise UserError(f"`{path}` needs a `scale` of linear, or log from above 0: got {search['scale']!r}.")
    return {"low": low, "high": high, "scale": search["scale"]}


def _needed(field: Any) -> str:
    """Words what a hyperparameter needs to have an effect."""
    path, values = field.metadata["when"]
    return f": it needs `{path}` " + ("other than 0" if values is None else "of " + " or ".join(map(str, values)))


def _has_effect(path: str, ranges: Ranges, declared: Mapping[str, Any]) -> bool:
    """Tells whether a hyperparameter can change something with these settings."""
    if path in ("anchors.min_scale", "anchors.max_scale") and declared["anchors.scales"][1]:
        return False  # the scales are given one by one
    when = declared[path][0].metadata.get("when")
    if when is None or when[0] in ranges:
        return True
    value = declared[when[0]][1]
    return value in when[1] if when[1] is not None else value != 0
