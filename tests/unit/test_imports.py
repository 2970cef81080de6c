"""Layers import one way, heavy libraries stay in their rooms, and the command line starts without them."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LAYERS = ("data", "models", "tuner_fn", "pipeline")
WINGS_OF_MODELS = ("od_api", "training", "export", "evaluation", "network")  # the uppermost first


def modules(package):
    return sorted((ROOT / package).rglob("*.py"))


def imported(path):
    """Yields every dotted name that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def relative(path):
    return path.relative_to(ROOT).as_posix()


def breaches(packages, forbidden, allowed=()):
    """Lists "file: name" of the imports of `packages` that start with a forbidden name."""
    return [
        f"{relative(path)}: {name}"
        for package in packages
        for path in modules(package)
        for name in imported(path)
        if name not in allowed and any(name == each or name.startswith(f"{each}.") for each in forbidden)
    ]


@pytest.mark.parametrize("package", LAYERS)
def test_a_layer_imports_only_itself_and_those_below(package):
    above = LAYERS[LAYERS.index(package) + 1 :]
    assert modules(package)
    assert breaches([package], above) == []


@pytest.mark.parametrize("package", LAYERS)
def test_imports_are_absolute(package):
    relative_imports = [
        relative(path)
        for path in modules(package)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative_imports == []


@pytest.mark.parametrize("wing", WINGS_OF_MODELS)
def test_a_wing_of_models_imports_only_itself_and_those_below(wing):
    above = [f"models.{other}" for other in WINGS_OF_MODELS[: WINGS_OF_MODELS.index(wing)]]
    assert modules(f"models/{wing}")
    assert breaches([f"models/{wing}"], above) == []


def test_tfx_stays_in_pipeline():
    forbidden = ("tfx", "tensorflow_model_analysis", "tensorflow_data_validation", "ml_metadata")
    below = ("data", "models", "tuner_fn")
    # What TFX's Tuner component expects its tuner_fn to return.
    allowed = [
        name
        for path in modules("tuner_fn")
        for name in imported(path)
        if name.startswith("tfx.") and name.endswith(".TunerFnResult")
    ]
    assert len(allowed) <= 1
    assert breaches(below, forbidden, allowed) == []


def test_the_slow_entry_point_of_tfx_is_not_imported():
    assert breaches(LAYERS, ("tfx.v1",)) == []


def test_keras_tuner_stays_in_tuner_fn():
    assert breaches(("data", "models", "pipeline"), ("keras_tuner",)) == []


def test_input_pipelines_stay_in_data():
    uses = [
        f"{relative(path)}:{node.lineno}"
        for package in ("models", "tuner_fn", "pipeline")
        for path in modules(package)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr == "data"
        and isinstance(node.value, ast.Name)
        and node.value.id in ("tf", "tensorflow")
    ]
    assert uses == []


def test_the_command_line_starts_without_heavy_libraries():
    heavy = {"tensorflow", "keras", "tfx", "tensorflow_model_analysis", "apache_beam", "keras_tuner", "kfp"}
    code = (
        "import sys\n"
        "from pipeline.cli import main\n"
        "assert main.main(['run', '--help']) == 0\n"
        "assert main.main(['--help']) == 0\n"
        "print('loaded:', ' '.join(sys.modules))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    loaded = result.stdout.rpartition("loaded:")[2].split()
    assert heavy.isdisjoint(loaded)


def test_runs_are_compared_without_tensorflow():
    """Its import takes longer than the comparison."""
    code = "import sys\nfrom pipeline.report import comparison, rendering\nprint('loaded:', ' '.join(sys.modules))\n"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert {"tensorflow", "keras"}.isdisjoint(result.stdout.rpartition("loaded:")[2].split())
