"""Plug-ins: modules of the user's own that register backbones, readers, strategies or metrics when they are imported.

Every process that runs the user's settings loads them again: `load` leaves their names in the environment.
"""

import hashlib
import importlib
import os
import pathlib
import sys
import traceback
from collections.abc import Sequence
from types import ModuleType

from data import source_tree
from data.errors import UserError

VARIABLE = "SSD_TUNER_PLUGINS"
_loaded: dict[str, ModuleType] = {}


def load(names: Sequence[str]) -> None:
    """Imports plug-ins, each once in a process, and has the processes that this one starts find them.

    Args:
        names: each the path of a .py file, or a module that Python finds.

    Raises:
        UserError: there is no such file or module, another module has the file's name, the module has no file, or the
            import fails.
    """
    for name in names:
        path = pathlib.Path(os.path.expanduser(name)).resolve() if name.endswith(".py") else None
        known = name if path is None else str(path)
        if known not in _loaded:
            _loaded[known] = _import(name, path)
    os.environ[VARIABLE] = os.pathsep.join(_loaded)


def load_again() -> None:
    """Imports the plug-ins of the process that started this one."""
    load(list(filter(None, os.environ.get(VARIABLE, "").split(os.pathsep))))


def digest() -> str:
    """Returns hexadecimal digits that change with the plug-ins' code; "" without plug-ins.

    What they import from beside them, or from their own package, counts; what is installed, and this package, do not.
    """
    if not _loaded:
        return ""
    return hashlib.sha256("".join(_code(module) for _, module in sorted(_loaded.items())).encode()).hexdigest()


def _code(module: ModuleType) -> str:
    """Hashes a plug-in and what it imports of the user's own."""
    file = pathlib.Path(str(module.__file__))
    parts = module.__name__.split(".")
    named = parts if file.name != "__init__.py" else [*parts, "__init__"]
    if file.with_suffix("").parts[-len(named) :] != tuple(named) or file.suffix != ".py":
        # It is compiled, or installed under another name than its file's.
        return hashlib.sha256(file.read_bytes()).hexdigest()
    root = file.parents[len(named) - 1]
    is_installed = not {"site-packages", "dist-packages"}.isdisjoint(root.parts)
    beside = {parts[0]} if is_installed else {path.stem for path in root.iterdir()} - set(source_tree.PACKAGES)
    return source_tree.digest(module.__name__, root=root, packages=beside)


def _import(name: str, path: pathlib.Path | None) -> ModuleType:
    if path is not None:
        if not path.is_file():
            raise UserError(f"`--plugin={name}`: there is no file {path}.")
        if not path.stem.isidentifier():
            raise UserError(f"`--plugin={name}`: `{path.stem}` is not the name of a Python module. Rename the file.")
        _find_in(str(path.parent))
    elif "/" in name or name.startswith("."):
        raise UserError(
            f"`--plugin={name}` is not a .py file. Give the path of a .py file, or a module name such as kit.readers."
        )
    module_name = name if path is None else path.stem
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name != module_name:
            raise _failed(name, error) from error
        raise UserError(f"`--plugin={name}`: Python finds no such module. Give the path of a .py file.") from error
    except UserError:
        raise
    except Exception as error:
        raise _failed(name, error) from error
    file = getattr(module, "__file__", None)  # what is built into Python has none
    if path is None and file is None:
        raise UserError(f"`--plugin={name}`: this module has no file of its own. Give the path of a .py file.")
    if path is not None and (file is None or pathlib.Path(file).resolve() != path):
        raise UserError(f"`--plugin={name}`: another module is called `{module_name}`, {module}. Rename the file.")
    return module


def _find_in(folder: str) -> None:
    """Lets this process and those that it starts import from a folder, after everything that is installed."""
    if folder not in sys.path:
        sys.path.append(folder)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), folder)))


def _failed(name: str, error: Exception) -> UserError:
    where = traceback.extract_tb(error.__traceback__)[-1]
    reason = f"{type(error).__name__}: {error}"
    return UserError(f"`--plugin={name}` cannot be imported: {reason} ({where.filename}, line {where.lineno}).")
