"""Flags of a command: parsing with one-line errors, and the text of `--help`."""

import itertools
import os
import pathlib
import re
import shutil
import textwrap
from collections.abc import Sequence
from typing import Any

from absl import flags

from data import errors, plugins
from data.run_directory import RunDirectory
from models import foreign_names
from models.hyperparameters import ExperimentConfig
from pipeline.screen import logs

_ILLEGAL = re.compile(r"flag --(?P<name>[^=]+)=(?P<value>.*?): (?P<reason>.*)", re.DOTALL)
# What absl adds to the help of enumerations and of flags that may be repeated.
_ABSL_ADDS = re.compile(r"^<[^>]*>: |;\s+repeat this option to specify a list of values$")
PLUGIN = "plugin"
_PATHS = ("dataset", "test_dataset", "workdir", "model", "output", "report", "config", "write_space")
_HOME = re.compile(r"(?:\w+:)?(?P<home>~[^/]*)")
_REQUIRED = "must have a value other than None"
_HELP_WIDTH = 100
_FLAG_COLUMN = 24


def define(module: Any) -> flags.FlagValues:
    """Makes the flags of a command module, those that all commands share included."""
    flag_values = flags.FlagValues()
    module.define_flags(flag_values)
    flags.DEFINE_multi_string(
        PLUGIN,
        None,
        "Your Python file or module that registers a backbone, reader, strategy or metric (docs/extending.md). May"
        " be given several times.",
        flag_values=flag_values,
    )
    flags.DEFINE_enum(
        "verbosity",
        "progress",
        logs.VERBOSITIES,
        "progress shows progress only; info and debug also show the libraries' log.",
        flag_values=flag_values,
    )
    return flag_values


def load_plugins(arguments: Sequence[str]) -> None:
    """Imports what `--plugin` names, before the flags are made: their choices hold what plug-ins register.

    Raises:
        errors.UserError: as `plugins.load`.
    """
    before_end = [*arguments[: arguments.index("--")]] if "--" in arguments else list(arguments)
    names = []
    for argument, following in itertools.zip_longest(before_end, before_end[1:], fillvalue=""):
        flag, equals, value = argument.partition("=")
        if flag in (f"--{PLUGIN}", f"-{PLUGIN}"):
            names.append(value if equals else following)
    plugins.load(names)


def parse(command: str, flag_values: flags.FlagValues, arguments: Sequence[str]) -> list[str]:
    """Parses the arguments of a command; flags and positional arguments may be mixed, "--" ends the flags.

    Args:
        command: its name, for the errors.
        flag_values: from `define`; gets the values.
        arguments: what follows the command's name.

    Returns:
        The positional arguments.

    Raises:
        errors.UserError: an unknown flag or value (the nearest known one is named), a missing one, one that is not
            of the flag's kind, or a path in an unknown home folder.
    """
    flag_values.set_gnu_getopt(True)
    see = f"See `ssd-tuner {command} --help`."
    try:
        positional = flag_values(["ssd-tuner", *arguments])[1:]
    except flags.UnrecognizedFlagError as error:
        hint = _hint(error.flagname, flag_values)
        raise errors.UserError(f"`--{error.flagname}` is not a flag of `{command}`.{hint} {see}") from error
    except flags.IllegalFlagValueError as error:
        text = _explain(flag_values, str(error))
        if _REQUIRED in str(error):  # parsing stops at a bad value, with later flags unread: they are not missing
            text = f"`{command}` needs {' and '.join(_missing(flag_values))}."
        raise errors.UserError(f"{text} {see}") from error
    except flags.Error as error:
        raise errors.UserError(f"{error}. {see}") from error
    for name in set(_PATHS).intersection(flag_values):
        _check_home(f"--{name}={flag_values[name].value}", flag_values[name].value)
    for argument in positional:
        _check_home(argument, argument)
    return positional


def no_arguments(command: str, arguments: Sequence[str], flag: str, flag_values: flags.FlagValues) -> None:
    """Raises `errors.UserError` where a command without positional arguments got one.

    Args:
        command: its name.
        arguments: the positional arguments.
        flag: the flag that the user probably meant.
        flag_values: from `define`.
    """
    if arguments:
        name, is_pair, value = arguments[0].partition("=")
        hint = f" Did you mean `--{flag}={arguments[0]}`?"
        if is_pair and not os.path.exists(arguments[0]):  # as Ultralytics' command line takes settings
            hint = f" Did you mean `--{name}={value}`?" if name in flag_values else _hint(name, flag_values, value)
        raise errors.UserError(f"`{command}` takes flags only: got `{arguments[0]}`.{hint}")


def run_directory(command: str, arguments: Sequence[str], example: str) -> RunDirectory:
    """Takes the one run directory that a command needs.

    Args:
        command: its name.
        arguments: what follows the flags.
        example: of a call.

    Raises:
        UserError: there is none or more than one, or it is not a folder.
    """
    if len(arguments) != 1:
        raise errors.UserError(f"`{command}` needs one run directory: got {len(arguments)}. Example: {example}")
    root = pathlib.Path(arguments[0]).expanduser()
    if not root.is_dir():
        raise errors.UserError(f"`{root}` is not a folder. Name the --workdir of a run. Example: {example}")
    return RunDirectory(root)


def help_text(command: str, module: Any) -> str:
    """Writes the text of `ssd-tuner COMMAND --help`: summary, usage, flags with defaults, an example."""
    flag_values = define(module)
    lines = [module.SUMMARY, "", f"Usage: ssd-tuner {command} {module.USAGE}", "", "Flags:"]
    for flag in sorted((flag_values[name] for name in flag_values), key=lambda flag: not _is_required(flag)):
        lines += _flag_lines(flag)
    return "\n".join([*lines, "", "Example:", f"  {module.EXAMPLE}"])


def _flag_lines(flag: flags.Flag) -> list[str]:
    head = f"  --{flag.name}"
    body = _ABSL_ADDS.sub("", flag.help)
    choices = getattr(flag.parser, "enum_values", None)
    if choices:
        body += f" One of: {', '.join(choices)}."
    if _is_required(flag):
        body += " (required)"
    elif flag.default is not None:
        body += f" (default: {_default(flag)})"
    width = min(_HELP_WIDTH, shutil.get_terminal_size((_HELP_WIDTH, 24)).columns)
    indent = " " * _FLAG_COLUMN
    if len(head) < _FLAG_COLUMN:
        return textwrap.wrap(
            body,
            width,
            initial_indent=f"{head:<{_FLAG_COLUMN}}",
            subsequent_indent=indent,
            break_long_words=False,
        )
    return [head, *textwrap.wrap(body, width, initial_indent=indent, subsequent_indent=indent)]


def _default(flag: flags.Flag) -> str:
    return flag.default if isinstance(flag.default, str) else flag.default_as_str.strip("'")


def _is_required(flag: flags.Flag) -> bool:
    return any(_REQUIRED in validator.message for validator in flag.validators)


def _check_home(shown: str, path: str | None) -> None:
    """Raises `errors.UserError` where a path begins with a home folder that this machine does not know."""
    found = _HOME.match(path or "")
    if found and os.path.expanduser(found["home"]) == found["home"]:
        raise errors.UserError(
            f"`{shown}`: there is no home folder `{found['home']}` here. Write the path in full, or ./ before it."
        )


def _hint(name: str, flag_values: flags.FlagValues, value: str = "...") -> str:
    """Words the flag that was probably meant by a name that is none of a command's flags."""
    found = foreign_names.flag_hint(name, list(flag_values), list(ExperimentConfig().flat()), value)
    return found or errors.nearest(name, flag_values, prefix="--")


def _missing(flag_values: flags.FlagValues) -> list[str]:
    return [
        f"`--{name}`" for name in flag_values if flag_values[name].value is None and _is_required(flag_values[name])
    ]


def _explain(flag_values: flags.FlagValues, text: str) -> str:
    match = _ILLEGAL.fullmatch(text)
    if match is None:
        return text
    name, value = match["name"], match["value"]
    parser = flag_values[name].parser
    choices = getattr(parser, "enum_values", None)
    if choices:
        return f"`--{name}={value}` is unknown.{errors.nearest(value, choices)}"
    if isinstance(parser, flags.BooleanParser):
        return f"`--{name}` needs true or false: got `{value}`."
    if parser.syntactic_help:
        return f"`--{name}` needs {parser.syntactic_help}: got `{value}`."
    return f"`--{name}={value}`: {match['reason'].rstrip('.')}."
