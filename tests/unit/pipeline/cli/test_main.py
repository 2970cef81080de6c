"""The command line as a user meets it: help, mistakes in one line, exit statuses."""

import errno
import os
import pathlib
import re
import subprocess
import sys
import types

import pytest
from absl import flags

from data.errors import UserError
from data.run_directory import RunDirectory
from pipeline import configs, failures
from pipeline.cli import main as cli
from pipeline.cli import parsing, run
from pipeline.screen import display
from tests import coco_folder

ROOT = pathlib.Path(__file__).resolve().parents[4]
RUN = ["run", "--dataset=road_scenes"]


@pytest.fixture
def mistake(capfd):
    """Runs a command line that is wrong and returns its one line."""

    def check(*arguments):
        status = cli.main(arguments)
        out, err = capfd.readouterr()
        assert status == 2
        assert out == ""
        assert err.count("\n") == 1
        assert err.startswith("ssd-tuner: error: ")
        return err.removeprefix("ssd-tuner: error: ").strip()

    return check


@pytest.fixture
def command(monkeypatch):
    """Registers a command `try` whose body the test gives."""

    def register(body):
        def define_flags(flag_values):
            flags.DEFINE_string("name", None, "A name.", required=True, flag_values=flag_values)
            flags.DEFINE_enum("colour", "red", ["red", "green"], "A colour.", flag_values=flag_values)
            flags.DEFINE_integer("count", 3, "A count.", lower_bound=0, flag_values=flag_values)
            flags.DEFINE_bool("loud", False, "Loud.", flag_values=flag_values)
            flags.DEFINE_multi_string("set", None, "Sets.", flag_values=flag_values)

        module = types.SimpleNamespace(
            SUMMARY="Try.", USAGE="[flags]", EXAMPLE="ssd-tuner try", define_flags=define_flags, main=body
        )
        monkeypatch.setattr(cli, "COMMANDS", ("try", *cli.COMMANDS))
        monkeypatch.setitem(sys.modules, "pipeline.cli.try", module)

    return register


def test_the_overview_lists_every_command(capfd):
    assert cli.main(["--help"]) == 0
    text = capfd.readouterr().out
    for name in cli.COMMANDS:
        assert re.search(rf"^  {name} +\S", text, re.MULTILINE)


def test_no_command_shows_the_overview_and_fails(capfd):
    assert cli.main([]) == 2
    assert "Usage: ssd-tuner COMMAND" in capfd.readouterr().err


@pytest.mark.parametrize("name", cli.COMMANDS)
@pytest.mark.parametrize("form", [["{}", "--help"], ["help", "{}"], ["{}", "-h"], ["--help", "{}"]])
def test_each_command_has_help_with_flags_and_an_example(name, form, capfd):
    assert cli.main([part.format(name) for part in form]) == 0
    text = capfd.readouterr().out
    assert f"Usage: ssd-tuner {name} " in text
    assert re.search(r"  --\w+ +\S.*\(required\)", text, re.DOTALL) or re.search(rf"{name} (FILE|WORKDIR|\[)", text)
    assert "--verbosity" in text
    assert re.search(rf"Example:\n  ssd-tuner {name} --?\w+|Example:\n  ssd-tuner {name} '?\w+", text)
    assert "repeat this option" not in text


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_example_parses(name):
    module = cli._load(name)
    program, *words = module.EXAMPLE.split()
    command, *arguments = cli._join_group(words)
    assert (program, command) == ("ssd-tuner", name)
    parsing.parse(name, parsing.define(module), arguments)


def test_version(capfd):
    assert cli.main(["--version"]) == 0
    assert re.fullmatch(r"ssd-tuner (\d+\.\d+\.\d+|\(not installed\))\n", capfd.readouterr().out)


def test_help_does_not_wait_for_tensorflow():
    code = (
        "import sys\n"
        "from pipeline.cli import main\n"
        "assert main.main(['run', '--help']) == 0\n"
        "sys.exit(bool({'tensorflow', 'tfx', 'keras', 'apache_beam'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--search=hyperbrand", "`--search=hyperbrand` is unknown. Did you mean `hyperband`?"),
        ("--seed=-1", "`--seed` needs a non-negative integer: got `-1`."),
    ],
)
def test_a_bad_value_before_a_required_flag_is_the_one_named(mistake, tmp_path, flag, message):
    assert mistake(*RUN, flag, f"--workdir={tmp_path}").startswith(message)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("--workdir=~/runs/demo", "--workdir=/home/me/runs/demo"),
        ("--dataset=coco:~/street", "--dataset=coco:/home/me/street"),
        ("--dataset=~", "--dataset=/home/me"),
        ("--tune=~x", "--tune=~x"),
        ("--group_by=a:~b", "--group_by=a:~b"),
        ("~/street", "~/street"),  # the shell has done that where it should be
    ],
)
def test_a_tilde_behind_a_flag_is_the_home_folder(monkeypatch, typed, meant):
    monkeypatch.setenv("HOME", "/home/me")
    assert cli._at_home(typed) == meant


@pytest.mark.parametrize(
    "arguments",
    [
        ("report", "~nobody_here/runs"),
        ("compare", "~nobody_here/a", "~nobody_here/b"),
        ("predict", "--model=~nobody_here/runs", "a.png"),
        ("data", "check", "--dataset=~nobody_here/street"),
        ("data", "check", "--dataset", "coco:~nobody_here"),
        ("data", "convert", "--dataset=road_scenes", "--format=coco", "--output=~nobody_here/x"),
        (*RUN, "--workdir=~nobody_here"),
        (*RUN, "--workdir=x", "--test_dataset=voc:~nobody_here/x"),
    ],
)
def test_the_home_folder_of_nobody_is_named(mistake, arguments):
    text = mistake(*arguments)
    assert text.endswith("there is no home folder `~nobody_here` here. Write the path in full, or ./ before it.")


def test_a_command_whose_library_is_broken_ends_in_one_line(monkeypatch, capfd):
    def broken(name):
        raise ImportError("libsomething.so: cannot open shared object file")

    monkeypatch.setattr(cli.importlib, "import_module", broken)
    assert cli.main(["predict", "--model=x", "a.png"]) in (1, 2)
    err = capfd.readouterr().err
    assert err.startswith("ssd-tuner: ")
    assert "Traceback" not in err


@pytest.fixture
def homeless(monkeypatch):
    """HOME is unset, and the user has no entry among the system's."""
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.delenv("KERAS_HOME", raising=False)


def test_a_command_works_without_any_home_folder(homeless):
    assert cli.main(["settings", "loss.l2"]) == 0


def test_a_tilde_without_any_home_folder_is_named(homeless, mistake):
    assert "there is no home folder `~` here" in mistake("data", "check", "--dataset=~/street")


def test_unknown_command(mistake):
    assert mistake("rum") == "`rum` is not a command. Did you mean `run`? See `ssd-tuner --help`."


def test_flag_before_the_command(mistake):
    assert mistake("--dataset=x", "run").startswith("the command comes first: got `--dataset=x`.")


def test_unknown_flag(mistake):
    text = mistake(*RUN, "--workdr=x")
    assert text == "`--workdr` is not a flag of `run`. Did you mean `--workdir`? See `ssd-tuner run --help`."


def test_missing_flags_are_all_named(mistake):
    assert mistake("run").startswith("`run` needs `--dataset` and `--workdir`.")


def test_a_flag_without_its_value(mistake):
    assert "--workdir" in mistake(*RUN, "--workdir")


@pytest.mark.parametrize(
    ("flag", "text"),
    [
        ("--profile=maybe", "`--profile` needs true or false: got `maybe`."),
        ("--search=hyperbnd", "`--search=hyperbnd` is unknown. Did you mean `hyperband`?"),
        ("--preset=zzz", "`--preset=zzz` is unknown. Known: quick"),
        ("--seed=abc", "`--seed` needs a non-negative integer: got `abc`."),
        ("--second_objective=latncy", "`--second_objective=latncy` is unknown. Did you mean `latency`?"),
        ("--max_latency_ms=0", "`max_latency_ms` must be positive: got 0.0."),
        ("--max_trials=0", "`--max_trials` needs a positive integer: got `0`."),
        ("--parallel_trials=0", "`--parallel_trials` needs a positive integer: got `0`."),
        ("--parallel_trials=9999", "`parallel_trials=9999` needs a"),
        ("--min_map=2", "`--min_map` needs a number in the range [0, 1]: got `2`."),
        ("--max_p_worse=2", "`--max_p_worse` needs a number in the range [0, 1]: got `2`."),
        ("--objective=AP5", "`--objective=AP5` is unknown. Did you mean `AP50`?"),
        ("--set=optimizer.leaning_rate=1", "Did you mean `optimizer.learning_rate`?"),
        ("--set=optimizer.learning_rate", "SETTING=VALUE"),
        ("--set=model.backbone_weights=/nowhere.h5", "`model.backbone_weights`: no file /nowhere.h5. Give `none`,"),
        ("--tune=loss.l3", "Did you mean `loss.l2`?"),
        ("--classes=person,bycicle", "Did you mean `bicycle`?"),
        ("--dataset=road_scene", "Did you mean `road_scenes`?"),
        ("--dataset=coco:/nowhere", "/nowhere"),
        ("--config=nowhere.json", "`--config=nowhere.json` cannot be read: No such file or directory."),
        ("--verbosity=loud", "`--verbosity=loud` is unknown."),
        ("--ray=ray://head:10001", "`--ray=ray://head:10001` needs HOST:PORT of the cluster's head"),
        ("--ray=localhost:1", "`--ray=localhost:1`: no Ray cluster answers there"),
        ("--beam_args=--job_endpoint=localhost:1", "has no effect without a runner"),
    ],
)
def test_a_bad_value_of_run_is_one_line_and_leaves_no_folder(mistake, tmp_path, flag, text):
    assert text in mistake(*RUN, f"--workdir={tmp_path / 'demo'}", flag)
    assert list(tmp_path.iterdir()) == []


def test_a_gpu_that_was_asked_for_and_is_not_there_is_one_line_and_leaves_no_folder(mistake, tmp_path, monkeypatch):
    monkeypatch.setattr("tuner_fn.devices.FOLDER", tmp_path)  # in the place of /dev
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    text = mistake(*RUN, f"--workdir={tmp_path / 'demo'}", "--parallel_trials=2")
    assert text.startswith("CUDA_VISIBLE_DEVICES=0,1 asks for a GPU, and this machine has none (no /dev/nvidia0).")
    assert list(tmp_path.iterdir()) == []


def test_a_node_that_cannot_train_is_one_line_before_anything_starts(mistake, tmp_path, monkeypatch):
    asked = []

    def check_nodes(folder):
        asked.append(folder)
        raise UserError("Ray's node n does not see it.")

    monkeypatch.setattr("tuner_fn.ray_connection.join", lambda *wanted: None)
    monkeypatch.setattr("tuner_fn.ray_connection.check_nodes", check_nodes)
    text = mistake(*RUN, f"--workdir={tmp_path / 'demo'}", "--ray=auto", "--plan=off")
    assert text == "Ray's node n does not see it."
    assert asked == [tmp_path / "demo"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flag", ["--trial_gpus=0.5", "--trial_cpus=4"])
def test_what_only_ray_reserves_is_not_ignored_without_it(mistake, tmp_path, flag):
    text = mistake(*RUN, f"--workdir={tmp_path / 'demo'}", flag)
    assert text.startswith(f"`{flag}` is what Ray reserves for a trial, and has no effect without --ray.")
    assert list(tmp_path.iterdir()) == []


def test_a_side_of_a_square_beside_a_rectangle_is_not_settled_in_silence(mistake, tmp_path):
    sizes = [f"--set=input.{name}={value}" for name, value in [("image_size", 320), ("image_height", 256)]]
    text = mistake(*RUN, f"--workdir={tmp_path / 'demo'}", *sizes, "--set=input.image_width=320")
    assert "`--set=input.image_size` has no effect beside `input.image_height` and `input.image_width`" in text


def test_too_few_images_to_divide_are_one_line_and_leave_no_folder(mistake, tmp_path):
    root = coco_folder.write(tmp_path / "set", train=coco_folder.table(1))
    text = mistake("run", f"--dataset=coco:{root}", f"--workdir={tmp_path / 'run'}")
    assert text == (
        f"Dataset `coco:{root}` has no split val and no split test; it has train (1 images). To be divided, train"
        " needs 3 usable images. Add images, or the splits."
    )
    assert not (tmp_path / "run").exists()


def test_a_positional_argument_of_run(mistake, tmp_path):
    text = mistake("run", "road_scenes", "--dataset=x", f"--workdir={tmp_path}")
    assert text == "`run` takes flags only: got `road_scenes`. Did you mean `--dataset=road_scenes`?"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "`kubeflow` needs an action: compile."),
        (["compil"], "`compil` is not an action of `kubeflow`. Did you mean `compile`?"),
        (["compile", "more"], "takes flags only: got `more`"),
        (["compile", "--output=pipeline.txt"], "ends in .yaml or .yml: got `pipeline.txt`"),
        (["compile", "--pipeline_root=/mnt/artifacts"], "`--pipeline_root=/mnt/artifacts` is not a place"),
        (["compile", "--pipeline_root=https://x/y"], "Give one of minio://BUCKET/PATH, s3://BUCKET/PATH, gs://BUCKET"),
        (["compile", "--workdir=/other/x"], "`--workdir=/other/x` lies on no volume"),
        (["compile", "--workdir=gs://bucket/x"], "`--workdir=gs://bucket/x` is a URI"),
        (["compile", "--dataset=coco:/data/street"], "the containers do not see `/data/street`"),
        (["compile", "--dataset=coco:/data/street"], "for example --dataset=coco:/mnt/street"),
        (["compile", "--dataset=street"], "the containers do not see `street`"),
        (["compile", "--test_dataset=/data/night"], "`--test_dataset=/data/night`: the containers do not see"),
        (["compile", "--volume=claim"], "`--volume=claim` needs CLAIM:FOLDER"),
        (["compile", "--volume=claim:/minio/x"], "`/minio` is the container's or KFP's own"),
        (["compile", "--volume=claim:/mnt"], "`/mnt` is taken by the claim `runs`"),
        (["compile", "--memory=16 GB"], "`--memory=16 GB` is not a quantity"),
        (["compile", "--cpu=0"], "`--cpu=0` is not a quantity"),
        (["compile", "--toleration=gpu:NoSchedul"], "Did you mean `NoSchedule`?"),
        (["compile", "--beam_args=--runner=DataflowRunner"], "Beam's workers elsewhere do not see"),
        (["compile", "--beam_args=runner=DataflowRunner"], "for example --beam_args=--runner=DataflowRunner"),
        (["compile", "--ray=auto"], "`--ray=auto`: a step's pod is no node of a Ray cluster"),
        (["compile", "--trial_gpus=0.5"], "`--trial_gpus=0.5` is what Ray reserves for a trial, and has no effect"),
        (["compile", "--parallel_trials=4", "--gpus=1"], "the Tuner's pod gets --gpus=1"),
        (["compile", "--dataset=coco:/mnt/street"], "there is no `/mnt/street` here"),
        (["compile", "--dataset=coco:/mnt/street"], "name it with --dataset_here=coco:PATH"),
        (["compile", "--test_dataset=/mnt/night"], "name it with --test_dataset_here=PATH"),
        (["compile", "--dataset=tfds:voc,data_dir=/home/me/x"], "the containers do not see `/home/me/x`"),
        (["compile", "--node_selector=gpu"], "`--node_selector=gpu` needs LABEL=VALUE"),
        (["compile", "--secret_env=mlflow"], "`--secret_env=mlflow` needs SECRET:KEY=VARIABLE"),
    ],
)
def test_mistakes_of_kubeflow(mistake, arguments, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    needed = [
        "--dataset=road_scenes",
        "--preset=quick",
        "--workdir=/mnt/x",
        "--volume=runs:/mnt",
        "--pipeline_root=minio://x/y",
        "--image=x",
    ]
    assert text in mistake("kubeflow", *arguments[:1], *needed, *arguments[1:])
    assert not list(tmp_path.iterdir())


def test_kubeflow_compile_does_not_choose_the_preset_by_the_machine_that_compiles(mistake):
    needed = [
        "--dataset=road_scenes",
        "--workdir=/mnt/x",
        "--volume=runs:/mnt",
        "--pipeline_root=s3://x/y",
        "--image=x",
    ]
    assert "needs `--preset`, since the machine that compiles" in mistake("kubeflow", "compile", *needed)


def test_a_run_directory_is_no_uri(mistake, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "`--workdir=gs://bucket/run` is a URI" in mistake(*RUN, "--workdir=gs://bucket/run")
    assert not list(tmp_path.iterdir())


def test_a_broken_environment_is_one_line(mistake, monkeypatch, tmp_path):
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    assert mistake(*RUN, f"--workdir={tmp_path}").startswith("TF_USE_LEGACY_KERAS=1 mixes Keras 2")


def test_flags_and_positional_arguments_may_be_mixed(command):
    seen = {}

    def body(arguments, flag_values):
        seen.update(arguments=arguments, name=flag_values.name, loud=flag_values.loud, sets=flag_values["set"].value)
        return 7

    command(body)
    status = cli.main(["try", "a.jpg", "--name", "x", "b.jpg", "--loud", "--set=a=1", "--set=b=2", "--", "--help"])
    assert status == 7
    expected = {"arguments": ["a.jpg", "b.jpg", "--help"], "name": "x", "loud": True, "sets": ["a=1", "b=2"]}
    assert seen == expected


def _raises(error):
    def body(arguments, flag_values):
        raise error

    return body


def _raises_inside(error):
    def body(arguments, flag_values):
        with display.open_display():
            print("chatter before")
            raise error

    return body


@pytest.mark.parametrize("place", [_raises, _raises_inside])
@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (UserError("the folder is missing. Make it."), 2, "error: the folder is missing. Make it."),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "error: the disk is full"),
        (KeyboardInterrupt(), 130, "ssd-tuner: interrupted"),
    ],
)
def test_errors_that_are_no_bugs(command, capfd, place, error, status, text):
    command(place(error))
    assert cli.main(["try", "--name=x"]) == status
    out, err = capfd.readouterr()
    assert text in err
    assert err.count("\n") == 1
    assert out == ""


@pytest.mark.parametrize("place", [_raises, _raises_inside])
def test_a_bug_is_one_line_and_the_traceback_is_in_the_log(command, capfd, place):
    command(place(TypeError("None has no length")))
    assert cli.main(["try", "--name=x"]) == failures.STATUS_BUG
    err = capfd.readouterr().err
    assert err.startswith("ssd-tuner: error: TypeError: None has no length The whole story: /")
    assert "Traceback" not in err
    log = pathlib.Path(err.splitlines()[0].rpartition(" ")[2])
    assert "TypeError: None has no length" in log.read_text()
    assert "in body" in log.read_text()
    log.unlink()


def test_ctrl_c_ends_the_process_at_once_whatever_its_threads_do():
    code = (
        "import threading, time\n"
        "from pipeline.cli import main\n"
        "def busy(arguments):\n"
        "    threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "    raise KeyboardInterrupt\n"
        "main._dispatch = busy\n"
        "main.entry_point()\n"
    )
    result = subprocess.run([sys.executable, "-c", code, "run"], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert result.returncode == 130
    assert result.stderr == "ssd-tuner: interrupted; the same command continues where this one stopped.\n"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_only_what_continues_says_so_when_it_is_interrupted(name, monkeypatch, capfd):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_dispatch", interrupted)
    assert cli.main([*name.split(), "--help"]) == 130
    more = "; the same command continues where this one stopped" if name in ("run", "lr-range", "ablate") else ""
    assert capfd.readouterr().err == f"ssd-tuner: interrupted{more}.\n"


@pytest.mark.parametrize("before", ["", "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"])  # as `nohup` and `&` have it
def test_sigterm_ends_the_process_as_ctrl_c_does(before):
    code = (
        f"import os, signal, time\n{before}"
        "from pipeline.cli import main\n"
        "def busy(arguments):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(60)\n"
        "main._dispatch = busy\n"
        "main.entry_point()\n"
    )
    result = subprocess.run([sys.executable, "-c", code, "run"], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert result.returncode == 130
    assert result.stderr == "ssd-tuner: interrupted; the same command continues where this one stopped.\n"


@pytest.mark.parametrize(
    "arguments", [("run", "--help"), ("data", "check", "--dataset=road_scenes:train=2,val=1,test=1,size=64x64")]
)
def test_a_reader_that_goes_away_gets_no_traceback(arguments):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "pipeline.cli.main", *arguments]
    result = subprocess.run(command, cwd=ROOT, stdout=write, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(write)
    assert "Traceback" not in result.stderr
    assert "SystemExit" not in result.stderr


@pytest.mark.parametrize(
    ("objective", "final"),
    [
        ("AP50", "mAP@.5 0.600 on val after 9 epochs, 0.550 on test"),
        ("AP", "mAP@[.5:.95] 0.250 on val after 9 epochs, 0.200 on test"),
    ],
)
@pytest.mark.parametrize("replaced", [True, False])
def test_the_end_says_what_the_search_found_and_whether_it_was_taken(tmp_path, objective, final, replaced):
    rows = [
        {"trial": "0002", "rank": 1, "hyperparameters": {"rate": 0.2, "head": "ssd"}},
        {"trial": "0000", "rank": 2, "hyperparameters": {"rate": 0.1, "head": "ssd"}},
    ]
    numbers = {"gain": 0.0312, "low": -0.004, "high": 0.066, "confidence": 0.93, "replaced": replaced, "seeds": 2}
    result = types.SimpleNamespace(
        leaderboard=rows,
        decision={"start": "0000", "challenger": "0002", **numbers},
        objective=objective,
        final_val={"AP": 0.25, "AP50": 0.6, "epoch": 9.0},
        metrics={"AP": 0.2, "AP50": 0.55},
        blessed=True,
        reasons=["good"],
        pushed_model=None,
        pareto={},
    )
    facts = run._facts(result, RunDirectory(tmp_path))
    assert facts["search's best"] == "rate 0.1 -> 0.2"
    assert facts["its gain"].startswith(
        "+0.0312 on val (-0.0040 to +0.0660, 90 %; 2 seeds each), better with probability 0.93: "
    )
    assert facts["its gain"].endswith(": taken" if replaced else "the settings that the search began with were kept")
    assert facts["final model"] == final


def settings_of(*arguments):
    flag_values = parsing.define(run)
    parsing.parse("run", flag_values, [*RUN[1:], "--workdir=demo", *arguments])
    return configs.RunConfig.from_flags({**run.experiment_values(flag_values), "workdir": "demo"})


@pytest.mark.parametrize(
    ("arguments", "objective", "min_map"),
    [
        ((), "AP50", 0.1),
        (("--objective=AP",), "AP", 0.05),
        (("--objective=AP", "--min_map=0.2"), "AP", 0.2),
        (("--min_map=0",), "AP50", 0.0),
        (("--min_map50=0.3",), "AP50", 0.3),
    ],
)
def test_search_and_threshold_have_one_objective(arguments, objective, min_map):
    config = settings_of(*arguments)
    assert (config.search.objective, config.min_map) == (objective, min_map)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--objective=AP", "--min_map50=0.3"), "`--min_map50` is for --objective=AP50: with --objective=AP give"),
        (("--min_map=0.2", "--min_map50=0.3"), "`--min_map50` is an older name of `--min_map`: give one of them."),
    ],
)
def test_the_older_name_of_the_threshold_is_never_taken_for_another_metric(mistake, tmp_path, arguments, text):
    assert text in mistake(*RUN, f"--workdir={tmp_path / 'demo'}", *arguments)
