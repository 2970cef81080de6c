"""The check at start: a broken environment is one clear line, before any library is imported."""

import ctypes
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import sys
import tempfile
import warnings

from data import errors
from models import imagenet_weights

_PYTHONS = ((3, 11), (3, 12), (3, 13))
_SMALL_IMAGE_PX = 160
_MEND = "Run `make setup` in the project folder."
# What a command imports sooner or later, by the extra of setup.py that it needs: name to import, name to install.
_LIBRARIES = {
    "": {
        "numpy": "numpy",
        "absl": "absl-py",
        "rich": "rich",
        "PIL": "pillow",
        "tensorflow": "tensorflow",
        "keras": "keras",
        "tensorflow_datasets": "tensorflow-datasets",
        "hotcoco": "hotcoco",
    },
    "pipeline": {
        "keras_tuner": "keras-tuner",
        "optuna": "optuna",
        "scipy": "scipy",
        "apache_beam": "apache-beam",
        "tfx": "tfx",
        "ml_metadata": "ml-metadata",
        "tensorflow_data_validation": "tensorflow-data-validation",
        "tensorflow_model_analysis": "tensorflow-model-analysis",
        "tensorboard": "tensorboard",
    },
    "mlflow": {"mlflow": "mlflow"},
    "ray": {"ray": "ray"},
    "kubeflow": {"kfp": "kfp"},
    "dashboard": {"optuna_dashboard": "optuna-dashboard"},
}
# Libraries with releases that need a newer C++ runtime than some systems have, and their extension module.
_NATIVE_LIBRARIES = {
    "ml_metadata": "metadata_store/pywrap/metadata_store_extension.so",
    "tensorflow_data_validation": "pywrap/tensorflow_data_validation_extension.so",
}


def check_environment(extra: str = "") -> None:
    """Checks Python, the libraries, their loadability and the choice of Keras, without importing any of them.

    Args:
        extra: of setup.py, that a command needs; "" for none.

    Raises:
        errors.UserError: something is missing or cannot work together; the text says what and the way out.
    """
    _check_python(sys.version_info[:2])
    _check_keras_settings()
    _check_libraries(extra)
    _check_keras_version()
    for name, extension in _NATIVE_LIBRARIES.items():
        if name in _LIBRARIES[extra]:
            _check_loads(name, extension)


def keep_keras_3() -> None:
    """Says in the environment that Keras 3 is meant, for this process and those that it starts.

    Importing TFX brings in tensorflow-transform, which otherwise switches legacy Keras on for both.
    """
    os.environ["TF_USE_LEGACY_KERAS"] = "0"


def ignore_current_folder() -> None:
    """Keeps the Python processes that this one starts, Beam's workers too, from importing the current folder's files.

    A user's own `data.py` or `models/` there would otherwise take the place of the kit's packages.
    """
    os.environ["PYTHONSAFEPATH"] = "1"


def leave_home_alone(*, trains: bool) -> None:
    """Gives matplotlib and Keras a folder among the system's temporary ones for what they write on being imported.

    What the user has set stays, and so do the folders that are there: matplotlib's may hold the user's `matplotlibrc`.
    Keras' home is also left where it is for a training, which may download ImageNet weights into it.

    Args:
        trains: whether this process or one that it starts may train.
    """
    home = os.path.expanduser("~")  # `Path.home` raises where a user has none, as in a container
    bases = {"XDG_CONFIG_HOME": ".config", "XDG_CACHE_HOME": ".cache"}
    own = (pathlib.Path(os.environ.get(name) or f"{home}/{base}", "matplotlib") for name, base in bases.items())
    moved = {} if any(path.exists() for path in own) else {"MPLCONFIGDIR": "matplotlib"}
    if not trains and not imagenet_weights.keras_home().exists():
        moved["KERAS_HOME"] = "keras"
    folder = pathlib.Path(tempfile.gettempdir()) / f"ssd-tuner-{os.getuid()}"
    for name in moved.keys() - os.environ.keys():
        folder.mkdir(mode=0o700, exist_ok=True)
        os.environ[name] = str(folder / moved[name])


def ignore_pillow_warnings() -> None:
    """Drops this process's warnings of large images, whose size the kit checks, and of metadata, which do not matter.

    Filters are the whole process's, and images are checked in several threads: a command sets them once, an import
    never does.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")


def share_threads(size: tuple[int, int]) -> None:
    """Chooses TensorFlow's threads for training small images on two cores; call it before TensorFlow does anything.

    Operations on small maps are too short to be split among threads: one thread an operation and two operations at a
    time take a fifth less time at 128 px. At 300 px that takes longer, and other numbers of cores were not measured, so
    TensorFlow's own choice stays there. What the user has set in the environment stays, too.

    Args:
        size: height and width of the detector's input, in px.
    """
    if os.cpu_count() == 2 and max(size) <= _SMALL_IMAGE_PX:
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
        os.environ.setdefault("TF_NUM_INTEROP_THREADS", "2")


def share_gpu() -> None:
    """Lets TensorFlow take a GPU's memory as it needs it, in this process and in the one that trains trials.

    By default the first of them to use the GPU, were it for a summary, would take all of its memory.
    """
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")


def _check_python(version: tuple[int, int]) -> None:
    if version not in _PYTHONS:
        known = ", ".join(f"{major}.{minor}" for major, minor in _PYTHONS)
        raise errors.UserError(
            f"ssd-tuner needs one of Python {known}, which its libraries were locked for: this is "
            f"Python {version[0]}.{version[1]} ({sys.executable}). Use .venv/bin/ssd-tuner (`make setup`)."
        )


def _check_keras_settings() -> None:
    legacy = os.environ.get("TF_USE_LEGACY_KERAS", "")
    if legacy.lower() in ("1", "true"):
        raise errors.UserError(
            f"TF_USE_LEGACY_KERAS={legacy} mixes Keras 2 (tf_keras) into TensorFlow. "
            "ssd-tuner needs Keras 3. Unset it: `unset TF_USE_LEGACY_KERAS`."
        )
    backend = os.environ.get("KERAS_BACKEND")
    if backend:
        origin, mend = f"KERAS_BACKEND={backend}", "Unset it: `unset KERAS_BACKEND`."
    else:
        settings = imagenet_weights.keras_home() / "keras.json"
        backend = _configured_backend(settings)
        origin, mend = f'"backend": "{backend}" in {settings}', 'Change it there to "tensorflow".'
    if backend and backend != "tensorflow":
        raise errors.UserError(f"ssd-tuner needs Keras on TensorFlow: got {origin}. {mend}")


def _configured_backend(settings: pathlib.Path) -> str | None:
    try:
        return json.loads(settings.read_text(encoding="utf-8")).get("backend")
    except (OSError, ValueError, AttributeError):
        return None  # Keras ignores a file that it cannot read, too.


def _check_libraries(extra: str) -> None:
    for part in dict.fromkeys(("", extra)):
        missing = [package for name, package in _LIBRARIES[part].items() if importlib.util.find_spec(name) is None]
        if missing:
            install = f" Or install the extra: pip install 'ssd-tuner[{part}]'." if part else ""
            raise errors.UserError(f"not installed in {sys.prefix}: {', '.join(missing)}. {_MEND}{install}")


def _check_keras_version() -> None:
    version = importlib.metadata.version("keras")
    if not version.startswith("3."):
        raise errors.UserError(f"ssd-tuner needs Keras 3: got keras {version} in {sys.prefix}. {_MEND}")


def _check_loads(name: str, extension: str) -> None:
    """Opens a library's extension module as the import will; takes milliseconds and runs no Python code."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        return
    path = pathlib.Path(spec.origin).parent / extension
    if not path.is_file():
        return  # other systems name it otherwise, and only these Linux wheels are known not to load
    try:
        ctypes.CDLL(str(path))
    except OSError as error:
        package = _LIBRARIES["pipeline"][name]
        raise errors.UserError(
            f"{package} {importlib.metadata.version(package)} does not load on this system ({error}). "
            f"{_MEND} This installs the release for this system."
        ) from error
