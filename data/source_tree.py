"""Follows imports from module to module without running one: which code another depends on, and what it computes."""

import ast
import functools
import hashlib
import pathlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeGuard

PACKAGES = ("data", "models", "tuner_fn", "pipeline")
ROOT = pathlib.Path(__file__).resolve().parents[1]


def digest(
    *modules: str,
    ignore: Collection[str] = (),
    root: pathlib.Path = ROOT,
    packages: Collection[str] = PACKAGES,
) -> str:
    """Hashes modules and all modules of some packages that they import, directly or not.

    What counts is the syntax tree: comments, docstrings and formatting do not. Neither do texts that are only said:
    sentences in a `raise`, `help=`, and the `text=` of a progress event. Imports inside functions count, and so does
    a dotted name in a string ("tuner_fn.tuner.tuner_fn"), which is how registries and TFX name code; imports for type
    checkers alone do not. Of a file that this Python cannot parse, every byte counts, and no import.

    Args:
        *modules: dotted names, as "models.training.train".
        ignore: modules that cannot change a result, as those that only display; neither they nor what only
            they import counts.
        root: the folder that holds the packages.
        packages: names of the top-level packages and modules to follow.

    Returns:
        64 hexadecimal digits.

    Raises:
        ValueError: a module of `modules` does not exist.
    """
    tree = _Tree(root, frozenset(packages))
    for module in modules:
        if tree.file(module) is None:
            raise ValueError(f"`modules` must exist below {root}: got {module!r}. Check the dotted name.")
    found = hashlib.sha256()
    for module in sorted(dependencies(*modules, ignore=ignore, root=root, packages=packages)):
        found.update(f"{module}\n{tree.parsed(module).code}\n".encode())
    return found.hexdigest()


def dependencies(
    *modules: str,
    ignore: Collection[str] = (),
    root: pathlib.Path = ROOT,
    packages: Collection[str] = PACKAGES,
) -> set[str]:
    """Lists the modules that `digest` hashes, the given ones included; the arguments are the same."""
    tree = _Tree(root, frozenset(packages))
    found: set[str] = set()
    waiting = [name for module in modules for name in _with_parents(module)]
    while waiting:
        module = waiting.pop()
        if module in found or module in ignore or tree.file(module) is None:
            continue
        found.add(module)
        waiting.extend(tree.parsed(module).imports)
    return found


class _Parsed(NamedTuple):
    """What counts of a module's code, as text, and the modules that it imports."""

    code: str
    imports: Sequence[str] = ()


class _Tree:
    """The packages below a folder."""

    def __init__(self, root: pathlib.Path, packages: frozenset[str]) -> None:
        self._root = root
        self._packages = packages

    def file(self, module: str) -> pathlib.Path | None:
        """Returns a module's file; None where the name is not a module (but a class or another package)."""
        if not all(part.isidentifier() for part in module.split(".")):
            return None
        base = self._root.joinpath(*module.split("."))
        for path in (base / "__init__.py", base.with_suffix(".py")):
            if path.is_file():
                return path
        return None

    def parsed(self, module: str) -> _Parsed:
        """Returns what counts of a module's code, and what it imports."""
        path = self.file(module)
        return _parse(path, path.stat().st_mtime_ns, path.stat().st_size, module, self._packages)


@functools.cache
def _parse(path: pathlib.Path, mtime_ns: int, size_bytes: int, module: str, packages: frozenset[str]) -> _Parsed:
    content = path.read_bytes()
    try:
        tree = ast.parse(content, filename=str(path))
    except (SyntaxError, ValueError):  # a plug-in may try to import a file of another Python, and go on without it
        return _Parsed(hashlib.sha256(content).hexdigest())
    _strip_texts(tree)
    names = _imported_names(tree, module if path.name == "__init__.py" else module.rpartition(".")[0])
    ours = (name for name in names if name.partition(".")[0] in packages)
    return _Parsed(ast.dump(tree), sorted({parent for name in ours for parent in _with_parents(name)}))


def _with_parents(name: str) -> list[str]:
    """Returns "a", "a.b", "a.b.c" for "a.b.c": importing the last runs the others."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]


def _strip_texts(tree: ast.Module) -> None:
    """Removes docstrings, and empties the sentences that are only said."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
        for said in _said(node):
            _empty_sentences(said)


def _said(node: ast.AST) -> Iterable[ast.AST]:
    """Returns what of a node is only there to be read."""
    if isinstance(node, ast.Raise) and node.exc is not None:
        return [node.exc]
    if not isinstance(node, ast.Call):
        return []
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    texts = {"help", "text"} if name == "emit" else {"help"}
    return [keyword.value for keyword in node.keywords if keyword.arg in texts]


def _empty_sentences(said: ast.AST) -> None:
    """Empties strings of several words; a single one may be a key that decides something, as the kind of an error."""
    for node in ast.walk(said):
        if isinstance(node, ast.JoinedStr) and any(map(_is_sentence, node.values)):
            node.values = []
        elif _is_sentence(node):
            node.value = ""


def _is_sentence(node: ast.AST) -> TypeGuard[ast.Constant]:
    return isinstance(node, ast.Constant) and " " in str(node.value)


def _imported_names(node: ast.AST, package: str) -> Iterator[str]:
    """Yields every dotted name below a node that may be a module."""
    if isinstance(node, ast.If) and _is_type_checking(node.test):
        children: list[ast.AST] = list(node.orelse)
    else:
        children = list(ast.iter_child_nodes(node))
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from _from_names(node, package)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
        yield node.value
    for child in children:
        yield from _imported_names(child, package)


def _from_names(node: ast.ImportFrom, package: str) -> Iterator[str]:
    base = node.module or ""
    if node.level:
        parts = package.split(".")
        base = ".".join(filter(None, [*parts[: len(parts) - node.level + 1], base]))
    yield base
    yield from (f"{base}.{alias.name}" for alias in node.names)


def _is_type_checking(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", None)
    return name == "TYPE_CHECKING"
