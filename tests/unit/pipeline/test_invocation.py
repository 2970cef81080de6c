"""The command that a report shows can be pasted into a shell."""

import json
import shlex

from data.run_directory import RunDirectory
from pipeline import invocation
from pipeline.cli import parsing, run

ARGUMENTS = ["--dataset=coco:my photos", "--workdir=runs/a", "--set=model.alpha=0.5", "--set=loss.l2=0", "--seed", "3"]


def test_the_command_is_the_same_again(tmp_path):
    flag_values = parsing.define(run)
    parsing.parse("run", flag_values, ARGUMENTS)
    folder = RunDirectory(tmp_path)
    invocation.write(folder, "run", flag_values)
    written = json.loads((folder.newest / folder.invocation.name).read_text())
    program, command, *arguments = shlex.split(written["command"])
    assert (program, command) == ("ssd-tuner", "run")
    assert "--dataset=coco:my photos" in arguments
    again = parsing.define(run)
    assert parsing.parse("run", again, arguments) == []
    assert {name: again[name].value for name in again} == {name: flag_values[name].value for name in flag_values}
    assert len(arguments) == len(ARGUMENTS) - 1  # nothing that was not given
    assert {"Python", "tensorflow", "numpy"} <= written["versions"].keys()
