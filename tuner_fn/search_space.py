"""From the declared hyperparameters to Keras Tuner's search space, and back; the named spaces."""

import contextlib
import fnmatch
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml

from data.errors import UserError, nearest
from models import declarations, imagenet_weights
from models.hyperparameters import ExperimentConfig

if TYPE_CHECKING:
    import keras_tuner

# {hyperparameter: {"low", "high", "scale"} or {"choices"}}: what is searched, in which range.
Ranges = Mapping[str, Mapping[str, Any]]
_KEYS = ("low", "high", "scale", "choices")
_ARCHITECTURE = (
    *("model.backbone", "model.alpha", "model.head", "model.num_levels", "model.head_layers", "model.head_depth"),
    *("model.head_kernel_size", "model.activation"),
)
# {name: {hyperparameter or pattern: range, None for the declared one}}
SPACES: Mapping[str, Mapping[str, Any]] = {
    "default": {
        "model.alpha": [0.35, 0.5, 0.75, 1.0],
        **dict.fromkeys(
            (
                *("input.batch_size", "optimizer.learning_rate", "anchors.min_scale", "loss.matched_iou"),
                *("loss.negatives_per_positive", "loss.localization_weight", "loss.l2"),
                *("augment.crop_probability", "augment.photometric_strength"),
            )
        ),
    },
    "quick": dict.fromkeys(("optimizer.learning_rate", "loss.l2", "augment.*_probability", "augment.*_strength")),
    # What the study of SSD MobileNet v2 on FLIR ADAS changed one by one, and the noise that it could not try.
    "flir_study": {
        "loss.classification": ["sigmoid", "softmax"],
        "optimizer.name": ["rmsprop", "adam"],
        "optimizer.schedule": ["constant", "exponential"],
        "optimizer.decay_steps": {"low": 5_000, "high": 800_720, "scale": "log"},
        "augment.patch_probability": [0.0, 0.5],
        "model.dropout_rate": [0.0, 0.2],
        "augment.noise_max_sigma": [0.0, 10.0],
    },
    "architecture": dict.fromkeys(_ARCHITECTURE),
    "full": {"*": None},
}


def named_space(name: str, config: ExperimentConfig) -> Ranges:
    """Resolves a space's name or file.

    Args:
        name: of `SPACES`, or the path of a YAML or JSON file: {hyperparameter or pattern: range}, a range being a list
            of values, a mapping of "low", "high" and "scale" ("linear" or "log"), or nothing for the declared one. What
            has one value instead is not a part of the space; see `pinned_settings`.
        config: base settings.

    Returns:
        The ranges in the order of declaration. What a pattern matches and has no effect is left out.

    Raises:
        UserError: no such name or file, or the file asks for what cannot be searched.
    """
    if name in SPACES:
        return _resolve(SPACES[name], config, named_count=False)
    entries = {setting: entry for setting, entry in _read(name).items() if not _is_pinned(entry)}
    try:
        return _resolve(entries, config)
    except UserError as error:
        raise UserError(f"`--space={name}`: {error}") from error


def pinned_settings(name: str) -> dict[str, Any]:
    """Returns {setting: value} of what a `--space` file gives one value, as `--set` does; {} for a named space.

    Args:
        name: of a space, or its file.

    Raises:
        UserError: no such name, or the file cannot be read.
    """
    if name in SPACES:
        return {}
    return {setting: entry for setting, entry in _read(name).items() if _is_pinned(entry)}


def named_settings(name: str, patterns: Sequence[str]) -> tuple[str, ...]:
    """Lists what the user asks by name to search: `--tune`, else the lines of a `--space` file; patterns are left out.

    Args:
        name: of a space, or its file, as `named_space`, which has read it without complaint.
        patterns: of `--tune`.
    """
    if not patterns and name not in SPACES:
        patterns = [setting for setting, entry in _read(name).items() if not _is_pinned(entry)]
    return tuple(sorted(pattern for pattern in patterns if not any(mark in pattern for mark in "*?[")))


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


def fidelity(overrides: Mapping[str, Any], config: ExperimentConfig, ranges: Ranges) -> dict[str, Any]:
    """Checks what trials have less of than the final training.

    Args:
        overrides: {path: value or its text}.
        config: base settings, those of the final training.
        ranges: as `named_space` returns.

    Returns:
        {path: value}.

    Raises:
        UserError: not declared as a fidelity, more than the final training has, or searched.
    """
    declared = {path: value for path, field, value in config.items() if field.metadata.get("fidelity")}
    for path in overrides:
        if path == "training.epochs":
            raise UserError("`--fidelity=training.epochs`: the epochs of trials are `--max_epochs`.")
        if path not in declared:
            known = ", ".join(name for name in declared if name != "training.epochs")
            raise UserError(f"`--fidelity={path}` cannot be reduced. Choose one of {known}.")
        if path == "input.image_size" and config.input.image_height and config.input.image_width:
            raise UserError(
                "`--fidelity=input.image_size` has no effect beside `input.image_height` and `input.image_width`."
                " Reduce those instead."
            )
        if path in ranges:
            raise UserError(f"`--fidelity={path}`: this setting is also searched. Remove it from one of the two.")
    found = {path: value for path, _, value in config.replace(overrides).items() if path in overrides}
    for path, value in found.items():
        if value > declared[path]:
            raise UserError(f"`--fidelity={path}={value}` is more than the final training has: {declared[path]}.")
    return found


def idle(config: ExperimentConfig, settings: Collection[str]) -> str:
    """Says which settings have no effect in a configuration, and what they need; "" where all have.

    Args:
        config: all settings.
        settings: their names; of a setting and what it needs, either may be among them.
    """
    declared = {path: (field, value) for path, field, value in config.items()}
    texts = [f"`{path}` has no effect{missing}" for path in settings if (missing := _missing(path, declared, {}))]
    return "; ".join(texts)


def make_search_space(config: ExperimentConfig, ranges: Ranges) -> "keras_tuner.HyperParameters":
    """Registers the hyperparameters to search, with the configuration's values as defaults.

    One that changes nothing without certain values of another that is searched, too, is active with those only.

    Args:
        config: base settings; its values are the defaults that Keras Tuner tries first.
        ranges: as `named_space` returns.

    Returns:
        Keras Tuner's space; ranges and candidates are widened to hold the configuration's own value, of which a 0
        becomes the low end of a logarithmic range.
    """
    import keras_tuner  # 10 s, and the command line checks spaces before it starts anything

    space = keras_tuner.HyperParameters()
    declared = {path: (field, value) for path, field, value in config.items()}
    for path in sorted(ranges, key=lambda path: len(_conditions(path, declared, ranges))):
        with contextlib.ExitStack() as scopes:
            for condition in _conditions(path, declared, ranges).items():
                scopes.enter_context(space.conditional_scope(*condition))
            _register(space, path, declared, ranges)
    return space


def configuration(config: ExperimentConfig, values: Mapping[str, Any]) -> ExperimentConfig:
    """Applies a trial's values to the base settings; Keras Tuner's own entries (`tuner/...`) are left out."""
    return config.replace({name: value for name, value in values.items() if not name.startswith("tuner/")})


def _read(name: str) -> dict[str, Any]:
    """Reads a file of settings and their ranges or values."""
    path = pathlib.Path(name)
    if not path.suffix and not path.exists():
        raise UserError(f"`--space={name}` is neither a space nor a file.{nearest(name, SPACES)}")
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"`--space={name}` cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"`--space={name}` is neither YAML nor JSON: {' '.join(str(error).split())}.") from error
    if not isinstance(entries, dict) or not entries:
        raise UserError(f"`--space={name}` needs lines such as `optimizer.learning_rate: {{low: 1.0e-4, high: 0.01}}`.")
    return {str(setting): entry for setting, entry in entries.items()}


def _is_pinned(entry: Any) -> bool:
    return isinstance(entry, str | int | float)


def _register(space: Any, path: str, declared: Mapping[str, Any], ranges: Ranges) -> None:
    field, value = declared[path]
    candidates, entry = _candidates(path, declared, ranges), ranges[path]
    if candidates is not None:
        space.Choice(path, candidates, default=value)
        return
    if entry["scale"] == "log":
        value = value or entry["low"]  # 0 is on no logarithmic range
    register = space.Int if isinstance(field.default, int) else space.Float
    register(path, min(entry["low"], value), max(entry["high"], value), sampling=entry["scale"], default=value)


def _conditions(path: str, declared: Mapping[str, Any], ranges: Ranges) -> dict[str, list[Any]]:
    """Returns Keras Tuner's conditions of a hyperparameter: others that are searched, and their values."""
    alternatives = _alternatives(path, declared)
    possible = [one for one in alternatives if len(alternatives) == 1 or not _lacking(one, declared, ranges)]
    if len(possible) != 1:  # Keras Tuner knows no "or"
        return {}
    conditions = {}
    for other, values in possible[0].items():
        candidates = _candidates(other, declared, ranges)
        if other in ranges and candidates is not None:
            conditions[other] = [value for value in candidates if _allows(values, value)]
    return conditions


def _alternatives(path: str, declared: Mapping[str, Any]) -> Sequence[declarations.Condition]:
    """Returns the conditions of a hyperparameter, of which one has to hold."""
    return declared[path][0].metadata.get("when", ({},))


def _candidates(path: str, declared: Mapping[str, Any], ranges: Ranges) -> list[Any] | None:
    """Lists the values that a setting can have in a search; None where it has a range."""
    value = declared[path][1]
    choices = ranges[path].get("choices") if path in ranges else []
    return None if choices is None else [*choices, *([] if value in choices else [value])]


def _allows(values: Collection[Any] | None, value: Any) -> bool:
    """Tells whether a condition's values (None: any but 0) hold one."""
    return value != 0 if values is None else value in values


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
            raise UserError(f"`{pattern}` is not a hyperparameter that can be searched.{nearest(pattern, tunable)}")
        wanted |= dict.fromkeys(matches, entry)
    ranges = {path: _range(path, wanted[path], declared[path][0], config) for path in declared if path in wanted}
    idle = {path: missing for path in ranges if (missing := _missing(path, declared, ranges))}
    if "model.num_levels" in ranges and config.anchors.scales:  # they are of one number of levels
        idle["model.num_levels"] = ": it needs `anchors.scales` to be empty"
    named = sorted(idle.keys() & entries.keys())
    if named and named_count:
        raise UserError(f"`{named[0]}` cannot be searched with these settings{idle[named[0]]}.")
    return {path: entry for path, entry in ranges.items() if path not in idle}


def _range(path: str, entry: Any, field: Any, config: ExperimentConfig) -> dict[str, Any]:
    """Completes a range from the declaration and checks its values."""
    search = dict(field.metadata.get("search") or {})
    if entry is None:
        if not search:
            raise UserError(f"`{path}` is not a hyperparameter that can be searched without a range. Give it one.")
    elif isinstance(entry, list):
        search = {"choices": entry}
    elif isinstance(entry, Mapping) and set(entry) <= set(_KEYS):
        search = {"scale": "linear", **search, "choices": None, **entry}
    else:
        raise UserError(f"`{path}` needs a list of values, or some of {', '.join(_KEYS)}: got {entry!r}.")
    if search.get("choices") is not None:
        if not search["choices"]:
            raise UserError(f"`{path}` needs at least one value.")
        choices = []
        for value in search["choices"]:
            if not isinstance(value, str | int | float):
                raise UserError(f"`{path}` cannot be searched over lists: got {value!r}. Name one with --set.")
            if value == imagenet_weights.AUTO and path == "model.backbone_weights":
                raise UserError(f"`{path}` cannot be searched over auto, which is decided once. Name imagenet or none.")
            choices.append(config.replace({path: value}).flat()[path])  # 1 of a float is 1.0
        return {"choices": list(dict.fromkeys(choices))}
    try:
        low, high = (declarations.convert(path, field, search[end]) for end in ("low", "high"))
    except KeyError as error:
        raise UserError(f"`{path}` needs `low` and `high`.") from error
    for value in (low, high):
        declarations.check_value(path, field, value)
    if not isinstance(low, int | float) or isinstance(low, bool) or low > high:
        raise UserError(f"`{path}` needs numbers with `low` up to `high`: got {low!r} and {high!r}.")
    if search["scale"] not in ("linear", "log") or (search["scale"] == "log" and low <= 0):
        raise UserError(f"`{path}` needs a `scale` of linear, or log from above 0: got {search['scale']!r}.")
    return {"low": low, "high": high, "scale": search["scale"]}


def _missing(path: str, declared: Mapping[str, Any], ranges: Ranges) -> str:
    """Words what a hyperparameter needs of other ones to change anything; "" where it has that."""
    lacking = [_lacking(condition, declared, ranges) for condition in _alternatives(path, declared)]
    return "" if "" in lacking else f": it needs {' or '.join(lacking)}"


def _lacking(condition: declarations.Condition, declared: Mapping[str, Any], ranges: Ranges) -> str:
    """Words what of a condition cannot hold; "" where all can."""
    for other, values in condition.items():
        candidates = _candidates(other, declared, ranges)
        if candidates is not None and not any(_allows(values, value) for value in candidates):
            needed = "other than 0" if values is None else " or ".join(map(str, values))
            needed = "empty" if values == ((),) else needed
            return f"`{other}` to be {needed}"
    return ""
