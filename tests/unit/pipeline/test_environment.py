"""Each broken environment is one line that names the way out."""

import importlib.util
import os
import subprocess
import sys
import types

import pytest

from data.errors import UserError
from pipeline import environment


@pytest.fixture(autouse=True)
def _sound(monkeypatch, tmp_path):
    for name in ("TF_USE_LEGACY_KERAS", "KERAS_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))


def test_the_environment_of_the_tests_is_sound():
    environment.check_environment("pipeline")


@pytest.mark.parametrize("value", ["1", "true", "True"])
def test_legacy_keras(monkeypatch, value):
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", value)
    with pytest.raises(UserError, match=r"Keras 3. Unset it: `unset TF_USE_LEGACY_KERAS`"):
        environment.check_environment()


def test_legacy_keras_switched_off_is_fine(monkeypatch):
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "0")
    environment.check_environment()


def test_keras_3_stays_for_this_process_and_its_children(monkeypatch):
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "")
    environment.keep_keras_3()
    environment.check_environment()
    code = "import os; print(os.environ['TF_USE_LEGACY_KERAS'])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "0\n"


@pytest.mark.parametrize(
    ("cores", "image_size", "inside"),
    [(2, 128, "1"), (2, 300, None), (8, 128, None)],
    ids=["small", "large", "8 cores"],
)
def test_small_images_are_trained_with_one_thread_an_operation(monkeypatch, cores, image_size, inside):
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    environment.share_threads((64, image_size))
    assert os.environ.get("TF_NUM_INTRAOP_THREADS") == inside
    assert os.environ.get("TF_NUM_INTEROP_THREADS") == (inside and "2")


def test_threads_that_the_user_has_set_stay(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "2")
    monkeypatch.setenv("TF_NUM_INTEROP_THREADS", "3")
    environment.share_threads((128, 128))
    assert (os.environ["TF_NUM_INTRAOP_THREADS"], os.environ["TF_NUM_INTEROP_THREADS"]) == ("2", "3")


@pytest.mark.parametrize("trains", [True, False])
@pytest.mark.parametrize("has_keras", [True, False])
def test_keras_keeps_its_home_where_weights_may_lie(monkeypatch, tmp_path, trains, has_keras):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KERAS_HOME", "MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    if has_keras:
        (tmp_path / ".keras").mkdir()
    environment.leave_home_alone(trains=trains)
    assert not os.environ["MPLCONFIGDIR"].startswith(f"{tmp_path}/")
    assert ("KERAS_HOME" in os.environ) == (not trains and not has_keras)
    monkeypatch.setenv("MPLCONFIGDIR", "own")
    monkeypatch.setenv("KERAS_HOME", "own")
    environment.leave_home_alone(trains=False)
    assert (os.environ["MPLCONFIGDIR"], os.environ["KERAS_HOME"]) == ("own", "own")


@pytest.mark.parametrize(
    ("variable", "folder"), [("", ".config"), ("", ".cache"), ("XDG_CONFIG_HOME", "own"), ("XDG_CACHE_HOME", "own")]
)
def test_matplotlib_keeps_the_folder_where_a_matplotlibrc_may_lie(monkeypatch, tmp_path, variable, folder):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    if variable:
        monkeypatch.setenv(variable, str(tmp_path / folder))
    (tmp_path / folder / "matplotlib").mkdir(parents=True)
    environment.leave_home_alone(trains=True)
    assert "MPLCONFIGDIR" not in os.environ


def test_only_the_user_may_look_into_the_folder_that_stands_for_the_home(monkeypatch, tmp_path):
    for name in ("MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    environment.leave_home_alone(trains=True)
    (folder,) = tmp_path.iterdir()
    assert os.environ["MPLCONFIGDIR"] == str(folder / "matplotlib")
    assert folder.stat().st_mode & 0o777 == 0o700


def test_importing_the_kit_leaves_the_warnings_of_the_process_alone():
    code = "import warnings; before = list(warnings.filters); import data.sources, data.example_rules, numpy, PIL.Image"
    code += "; own = [one for one in warnings.filters if one not in before]; print([one for one in own if 'PIL' in"
    code += " str(one) or 'Bomb' in str(one)])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_two_processes_can_share_a_gpu_and_the_user_decides(monkeypatch):
    monkeypatch.setenv("TF_FORCE_GPU_ALLOW_GROWTH", "false")
    environment.share_gpu()
    assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "false"
    monkeypatch.delenv("TF_FORCE_GPU_ALLOW_GROWTH")
    environment.share_gpu()
    assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"


def test_another_backend(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(UserError, match="needs Keras on TensorFlow: got KERAS_BACKEND=jax"):
        environment.check_environment()


def test_another_backend_in_keras_settings_file(tmp_path):
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    with pytest.raises(UserError, match=r'"backend": "torch" in .*keras.json. Change it there'):
        environment.check_environment()


def test_the_variable_goes_before_the_file(monkeypatch, tmp_path):
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    environment.check_environment()


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_an_unreadable_settings_file_is_no_matter(tmp_path, text):
    (tmp_path / "keras.json").write_text(text)
    environment.check_environment()


@pytest.mark.parametrize("minor", [10, 14])
def test_a_python_without_a_lock_is_named(monkeypatch, minor):
    monkeypatch.setattr(sys, "version_info", (3, minor, 0, "final", 0))
    with pytest.raises(UserError, match=rf"one of Python 3\.11, 3\.12, 3\.13, .*this is Python 3\.{minor} "):
        environment.check_environment()


@pytest.mark.parametrize("minor", [11, 12, 13])
def test_a_python_with_a_lock_is_taken(monkeypatch, minor):
    monkeypatch.setattr(sys, "version_info", (3, minor, 0, "final", 0))
    environment.check_environment()


def test_missing_libraries_are_named_as_they_are_installed(monkeypatch):
    find = importlib.util.find_spec
    missing = ("tfx", "PIL")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else find(name))
    with pytest.raises(UserError, match=r"not installed in .*: pillow\. Run `make setup`"):
        environment.check_environment("pipeline")
    missing = ("tfx",)
    environment.check_environment()
    with pytest.raises(UserError, match=r"not installed in .*: tfx\. Run .* pip install 'ssd-tuner\[pipeline\]'\."):
        environment.check_environment("pipeline")


def test_keras_2(monkeypatch):
    monkeypatch.setattr(environment.importlib.metadata, "version", lambda name: "2.15.0")
    with pytest.raises(UserError, match=r"needs Keras 3: got keras 2\.15\.0"):
        environment.check_environment()


def test_a_library_that_this_system_cannot_load(monkeypatch, tmp_path):
    broken = tmp_path / environment._NATIVE_LIBRARIES["ml_metadata"]
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"not a library")
    find = importlib.util.find_spec
    spec = types.SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec if name == "ml_metadata" else find(name))
    with pytest.raises(UserError, match=r"ml-metadata .* does not load on this system .*make setup"):
        environment.check_environment("pipeline")


def test_the_check_imports_no_library():
    code = (
        "import sys\nfrom pipeline import environment\nenvironment.check_environment('pipeline')\n"
        "libraries = {name for part in environment._LIBRARIES.values() for name in part}\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & libraries))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == "[]"
