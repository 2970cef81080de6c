"""What ran a run: the command as typed again, and the machine and libraries, kept so that a report can tell."""

import datetime
import os
import platform
import shlex
from typing import Any

from absl import flags

from data import files
from data.run_directory import RunDirectory
from models.export import versions


def write(folder: RunDirectory, command: str, flag_values: flags.FlagValues) -> None:
    """Writes the command of the newest run, which `RunDirectory.invocation` becomes a copy of.

    Args:
        folder: of the run.
        command: its name, as "run".
        flag_values: parsed flags; those that were given are kept.
    """
    files.write_json(folder.newest / folder.invocation.name, describe(command, flag_values))


def describe(command: str, flag_values: flags.FlagValues) -> dict[str, Any]:
    """Says what is running.

    Args:
        command: as of `write`.
        flag_values: as of `write`.

    Returns:
        command (to be pasted into a shell), started (ISO 8601 with the time zone), system, cores, and versions by
        package.
    """
    given = [line for name in flag_values if flag_values[name].present for line in _serialized(flag_values[name])]
    return {
        "command": shlex.join(["ssd-tuner", command, *given]),
        "started": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "cores": os.cpu_count(),
        "versions": versions.installed(),
    }


def _serialized(flag: flags.Flag) -> list[str]:
    return flag.serialize().splitlines()
