"""`ssd-tuner COMMAND`: chooses the command and turns errors into lines and exit statuses.

A command is a module `pipeline.cli.<command>` (`data check`: `data_check`, `import-config`: `import_config`) with
SUMMARY, USAGE, EXAMPLE, `define_flags(flag_values)`, `main(arguments, flag_values) -> int` and, where it needs one, the
EXTRA of setup.py. Nothing here imports TensorFlow: help and mistakes answer at once.
"""

import contextlib
import importlib
import importlib.metadata
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from typing import Any

from data import errors
from pipeline import environment, failures

COMMANDS = (
    "run",
    "plan",
    "settings",
    "lr-range",
    "ablate",
    "data check",
    "data stats",
    "data show",
    "data convert",
    "report",
    "compare",
    "evaluate",
    "predict",
    "export",
    "importance",
    "board",
    "mlflow",
    "import-config",
    "import-weights",
    "kubeflow",
)
GROUPS = ("data",)  # of commands of two words; their modules are pipeline.cli.<group>_<word>
_TO_MODULE = str.maketrans(" -", "__")
_PIPELINE = "pipeline"  # the extra with TFX and the search
_HELP = ("--help", "-h", "-help")
_CONTINUED = ("run", "lr-range", "ablate")  # where they were interrupted, when they are given again
_WITH_WEIGHTS = (*_CONTINUED, "plan", "kubeflow")  # look into Keras' home for ImageNet weights


def main(arguments: Sequence[str]) -> int:
    """Runs one command line.

    Args:
        arguments: what follows the program's name.

    Returns:
        The exit status: 0 done, 2 a user's mistake or a full disk, 130 interrupted, 1 a bug; commands may add
        others.
    """
    try:
        return _dispatch(list(arguments))
    except BrokenPipeError:  # the reader of our output has gone: `ssd-tuner --help | head -1`
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return failures.STATUS_BUG
    except (Exception, KeyboardInterrupt) as error:
        failure = failures.explain(error, continues=bool(arguments) and arguments[0] in _CONTINUED)
        message = failure.message
        if failure.status == failures.STATUS_BUG and not isinstance(error, failures.CommandFailedError):
            message += _save_traceback(error)
        kind = "" if failure.status == failures.STATUS_INTERRUPTED else "error: "
        print(f"ssd-tuner: {kind}{message}", file=sys.stderr)
        return failure.status


def entry_point() -> None:
    """Runs the process's command line and exits; the console script. SIGTERM, as Kubernetes sends it, is a Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    status = main(sys.argv[1:])
    if status == failures.STATUS_INTERRUPTED:
        # Beam's worker threads would first finish what they have; who presses Ctrl-C does not want to wait.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _at_home(argument: str) -> str:
    """Replaces the `~` of `--workdir=~/runs` or `--dataset=coco:~/street`, which shells leave to the program."""
    flag, equals, value = argument.partition("=")
    kind, colon, path = value.partition(":") if ":~" in value else ("", "", value)
    is_path = flag.startswith("--") and (path == "~" or path.startswith("~/"))
    return f"{flag}{equals}{kind}{colon}{os.path.expanduser(path)}" if is_path else argument


def version() -> str:
    """Returns the installed version."""
    try:
        return importlib.metadata.version("ssd-tuner")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def _dispatch(arguments: list[str]) -> int:
    arguments = _join_group([_at_home(argument) for argument in arguments])
    name = arguments[0] if arguments else ""
    if name == "--version":
        print(f"ssd-tuner {version()}")
        return 0
    if name in (*_HELP, "help"):
        wanted = _join_group([argument for argument in arguments[1:] if argument not in _HELP])
        print(_command_help(wanted[0]) if wanted else _overview())
        return 0
    if not name:
        print(_overview(), file=sys.stderr)
        return failures.STATUS_USER_ERROR
    module = _load(name)
    from pipeline.cli import parsing

    if _asks_for_help(arguments[1:]):
        parsing.load_plugins(arguments[1:])
        print(_command_help(name))
        return 0
    environment.check_environment(getattr(module, "EXTRA", ""))
    environment.keep_keras_3()
    environment.ignore_current_folder()
    environment.ignore_pillow_warnings()
    environment.leave_home_alone(trains=name in _WITH_WEIGHTS)
    parsing.load_plugins(arguments[1:])
    flag_values = parsing.define(module)
    positional = parsing.parse(name, flag_values, arguments[1:])
    return module.main(positional, flag_values)


def _join_group(arguments: list[str]) -> list[str]:
    """Makes one name of a group's two words: ["data", "check", ...] becomes ["data check", ...]."""
    if not arguments or arguments[0] not in GROUPS:
        return arguments
    group, words = arguments[0], [name.split()[1] for name in COMMANDS if name.startswith(f"{arguments[0]} ")]
    word = arguments[1] if len(arguments) > 1 else ""
    if word not in words:
        if word in _HELP:
            return ["--help"]
        got = f"`{group} {word}` is not a command.{errors.nearest(word, words)}" if word else ""
        listed = ", ".join(f"`{group} {one}`" for one in words)
        raise errors.UserError(f"{got} `{group}` needs one of {listed}; each has --help.".strip())
    return [f"{group} {word}", *arguments[2:]]


def _load(name: str) -> Any:
    """Imports a command's module."""
    if name.startswith("-"):
        raise errors.UserError(f"the command comes first: got `{name}`. Example: ssd-tuner run --help")
    if name not in COMMANDS:
        raise errors.UserError(f"`{name}` is not a command.{errors.nearest(name, COMMANDS)} See `ssd-tuner --help`.")
    try:
        return importlib.import_module(f"pipeline.cli.{name.translate(_TO_MODULE)}")
    except ImportError:
        environment.check_environment(_PIPELINE)  # says which library is missing, where that is the reason
        raise


def _asks_for_help(arguments: Sequence[str]) -> bool:
    before_end = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return any(argument in _HELP for argument in before_end)


def _overview() -> str:
    lines = [
        "Finds good hyperparameters for a MobileNet-SSD object detector on your images, trains it, and exports the"
        " model if it is good enough.",
        "",
    ]
    lines += ["Usage: ssd-tuner COMMAND [flags]", "", "Commands:"]
    lines += [f"  {name:<14} {_load(name).SUMMARY}" for name in COMMANDS]
    lines += [
        "",
        "Flags and an example of each: ssd-tuner COMMAND --help",
        "The version: ssd-tuner --version",
    ]
    lines += ["", "Example:", f"  {_load(COMMANDS[0]).EXAMPLE}"]
    return "\n".join(lines)


def _command_help(name: str) -> str:
    module = _load(name)
    from pipeline.cli import parsing

    return parsing.help_text(name, module)


def _save_traceback(error: BaseException) -> str:
    """Writes a traceback that no log has and returns the words that say where."""
    try:
        with tempfile.NamedTemporaryFile("w", prefix="ssd-tuner-", suffix=".log", delete=False) as file:
            traceback.print_exception(error, file=file)
    except OSError:
        return ""
    return f" The whole story: {file.name}"


if __name__ == "__main__":
    entry_point()
