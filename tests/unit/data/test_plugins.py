"""Plug-ins: loaded once, found by the processes that follow, and each mistake in one line."""

import os
import subprocess
import sys

import pytest

from data import plugins
from data.errors import UserError


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    """Forgets what a test loads."""
    modules = set(sys.modules)
    monkeypatch.setattr(plugins, "_loaded", {})
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in (plugins.VARIABLE, "PYTHONPATH"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    yield
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_file_is_imported_once_and_again_in_a_process_that_follows(tmp_path) -> None:
    (tmp_path / "helper_of_mine.py").write_text("WORD = 'found'\n")
    name = write(tmp_path / "mine_1.py", "import helper_of_mine\nprint('imported', helper_of_mine.WORD)\n")
    plugins.load([name, name])
    code = "from data import plugins; plugins.load_again(); plugins.load_again()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "imported found\n"


def test_the_digest_changes_with_the_files_and_is_empty_without(tmp_path, monkeypatch) -> None:
    assert plugins.digest() == ""
    digests = set()
    for number in range(2):
        monkeypatch.setattr(plugins, "_loaded", {})
        path = tmp_path / "mine_2.py"
        write(path, f"NUMBER = {number}\n")
        sys.modules.pop("mine_2", None)
        plugins.load([str(path)])
        assert plugins.digest() == plugins.digest()
        digests.add(plugins.digest())
    assert len(digests) == 2


@pytest.mark.parametrize("how", ["package", "module of a package", "file"])
@pytest.mark.parametrize("place", ["", "site-packages"])
def test_the_digest_changes_with_what_a_plug_in_imports_of_its_own(tmp_path, monkeypatch, how, place) -> None:
    folder = tmp_path / place
    (folder / "kit_of_mine").mkdir(parents=True)
    (folder / "kit_of_mine" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(folder)
    if how == "file":
        name, helper = write(folder / "mine_3.py", "def build():\n    import net_of_mine\n"), folder / "net_of_mine.py"
    else:
        name, helper = "kit_of_mine.readers", folder / "kit_of_mine" / "net.py"
        write(folder / "kit_of_mine" / "readers.py", "from kit_of_mine import net\n")
    if how == "package":
        name = "kit_of_mine"
        write(folder / "kit_of_mine" / "__init__.py", "from . import readers\n")
    write(helper, "WIDTH = 1\n")
    write(folder / "unrelated_of_mine.py", "VALUE = 1\n")
    plugins.load([name])
    before = plugins.digest()
    write(folder / "unrelated_of_mine.py", "VALUE = 23\n")
    assert plugins.digest() == before
    write(helper, "WIDTH = 23\n")
    is_counted = how != "file" or not place  # what lies beside an installed module is of others
    assert (plugins.digest() != before) is is_counted


def test_a_plug_in_may_go_on_without_a_module_of_another_python(tmp_path) -> None:
    write(tmp_path / "old_of_mine.py", "print 'old'\n")
    name = write(tmp_path / "mine_5.py", "try:\n    import old_of_mine\nexcept SyntaxError:\n    old_of_mine = None\n")
    plugins.load([name])
    before = plugins.digest()
    write(tmp_path / "old_of_mine.py", "WIDTH = 1\n")
    assert plugins.digest() != before


def test_the_digest_leaves_out_this_package_beside_a_plug_in(tmp_path) -> None:
    name = write(tmp_path / "mine_4.py", "from data import errors\n")
    (tmp_path / "data").mkdir()
    write(tmp_path / "data" / "errors.py", "VALUE = 1\n")
    plugins.load([name])
    before = plugins.digest()
    write(tmp_path / "data" / "errors.py", "VALUE = 23\n")
    assert plugins.digest() == before


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("absent.py", None, "there is no file"),
        ("my-kit.py", "", "`my-kit` is not the name of a Python module. Rename the file."),
        ("json.py", "", "another module is called `json`.*Rename the file."),
        ("time.py", "", "another module is called `time`.*Rename the file."),
        ("broken_of_mine.py", "x = 1\nraise KeyError('y')\n", r"KeyError: 'y' \(.*broken_of_mine.py, line 2\)"),
        ("needy_of_mine.py", "import not_there_at_all\n", "No module named 'not_there_at_all'.*line 1"),
        ("taken_of_mine.py", "from data import sources\n\nsources.register(sources.READERS['coco'])\n", "'coco'"),
    ],
)
def test_each_mistake_names_the_plug_in_and_the_place(tmp_path, file, text, message) -> None:
    if text is not None:
        write(tmp_path / file, text)
    with pytest.raises(UserError, match=f"(?s)--plugin=.*{message}"):
        plugins.load([str(tmp_path / file)])


@pytest.mark.parametrize("name", ["./kit", "folder/kit", "~/kit", ".kit"])
def test_a_path_without_the_ending_is_told_what_to_give(name) -> None:
    with pytest.raises(
        UserError, match=f"`--plugin={name}` is not a .py file. Give the path of a .py file, or a module"
    ):
        plugins.load([name])


@pytest.mark.parametrize("name", ["time", "empty_of_mine"])
def test_a_module_without_a_file_is_refused(name, tmp_path, monkeypatch) -> None:
    (tmp_path / "empty_of_mine").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=f"`--plugin={name}`: this module has no file of its own"):
        plugins.load([name])


def test_a_file_of_an_unknown_user_is_not_there() -> None:
    with pytest.raises(UserError, match="`--plugin=~no_such_user_/mine.py`: there is no file"):
        plugins.load(["~no_such_user_/mine.py"])


def test_a_module_that_python_does_not_find_is_named() -> None:
    with pytest.raises(UserError, match="`--plugin=no_such_kit`: Python finds no such module. Give the path"):
        plugins.load(["no_such_kit"])
