"""The versions of the packages that a model's numbers depend on."""

import importlib.metadata
import platform

PACKAGES = ("ssd-tuner", "tensorflow", "keras", "keras-tuner", "tfx", "numpy", "pillow", "hotcoco")


def installed() -> dict[str, str]:
    """Returns the version of Python and of each of `PACKAGES` that is installed."""
    found = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
