"""A hash of the code that a pipeline component depends on.

TFX runs a component again when one of its settings changes, but knows nothing of the modules behind a dotted
path. With this hash among the settings, an edit drops the caches of the components that depend on it, and of
no others.
"""

import hashlib
import pathlib
from collections.abc import Collection

from data import plugins, source_tree

# What only says something, and the list of all strategies.
_NOT_COMPUTING = ("data.errors", "data.progress", "models.foreign_names", "tuner_fn.oracles", "tuner_fn.strategies")


def source_hash(*modules: str, ignore: Collection[str] = (), root: pathlib.Path = source_tree.ROOT) -> str:
    """Hashes modules and all modules of our packages that they import, and the user's plug-ins.

    Args:
        *modules: dotted names, as "models.training.train".
        ignore: as in `source_tree.digest`, which says what counts.
        root: the folder that holds the packages.

    Returns:
        64 hexadecimal digits.

    Raises:
        ValueError: a module of `modules` does not exist.
    """
    ours = source_tree.digest(*modules, ignore=ignore, root=root)
    return hashlib.sha256(f"{plugins.digest()}\n{ours}".encode()).hexdigest()


def trials_hash(strategy: str, *, root: pathlib.Path = source_tree.ROOT) -> str:
    """Hashes the code that the trials of a search depend on.

    What trains, what chooses configurations and what turns their values into settings counts; a report, the text of
    an error or another strategy changes no trial.

    Args:
        strategy: module of the strategy's oracle; a plug-in's counts as every plug-in does.
        root: the folder that holds the packages.
    """
    return source_hash(*trials_code(strategy), ignore=_NOT_COMPUTING, root=root)


def trials_code(strategy: str) -> tuple[str, ...]:
    """Names the modules that `trials_hash` starts from."""
    own = (strategy,) if strategy.partition(".")[0] in source_tree.PACKAGES else ()
    return ("models.training.train", "tuner_fn.search_space", "tuner_fn.early_stopping", *own)
