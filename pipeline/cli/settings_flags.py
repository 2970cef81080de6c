"""The flags that say which settings a command works with, as `ssd-tuner run` would take them."""

from absl import flags

from models.hyperparameters import ExperimentConfig
from pipeline import configs
from tuner_fn import presets


def define_flags(flag_values: flags.FlagValues) -> None:
    """Adds `--preset`, `--set` and `--seed`."""
    flags.DEFINE_enum(
        "preset",
        None,
        list(presets.PRESETS),
        "Settings to start from. By default those that `ssd-tuner run` uses for the dataset on this machine.",
        flag_values=flag_values,
    )
    flags.DEFINE_multi_string(
        "set",
        None,
        "Change a setting, for example --set=input.image_size=512. May be given several times.",
        flag_values=flag_values,
    )
    flags.DEFINE_integer("seed", 0, "Seed of all random draws.", lower_bound=0, flag_values=flag_values)


def preset_name(flag_values: flags.FlagValues) -> str:
    """Returns the name of the preset: the user's, or `ssd-tuner run`'s for the dataset of `--dataset`."""
    return flag_values["preset"].value or configs.default_preset(flag_values["dataset"].value)


def experiment(flag_values: flags.FlagValues) -> ExperimentConfig:
    """Builds the settings.

    Raises:
        UserError: a setting is unknown or out of its range.
    """
    preset = presets.get_preset(preset_name(flag_values))
    return presets.experiment(
        preset, configs.parse_overrides(flag_values["set"].value or ()), flag_values["seed"].value
    )
