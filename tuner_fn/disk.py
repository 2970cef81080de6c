"""Deletes a search's training states: those that no later trial can need, and more where there is a limit."""

import pathlib
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

import keras_tuner

from tuner_fn.oracles.base import SeededOracle


def free(
    oracle: SeededOracle,
    rows: Sequence[Mapping[str, Any]],
    state_of: Callable[[str], pathlib.Path],
    *,
    finalists: Sequence[str],
    inherit: bool,
    max_bytes: float | None,
) -> None:
    """Deletes training states.

    Everything follows from the trials and the files, so that a search that was killed decides the same.

    Args:
        oracle: of the search.
        rows: of the leaderboard without the finalists' means.
        state_of: finds a trial's file, which need not exist.
        finalists: trials from one of which the final model continues, so that it is not trained anew.
        inherit: whether new configurations start with the weights of trained ones, whose states are kept for it.
        max_bytes: that the states may take; above it the least promising ones are given up. None for no limit.

    Raises:
        FatalError: those that are needed exceed the limit.
    """
    running = [row for row in rows if row["trial"] not in oracle.end_order]
    finalists = [trial_id for trial_id in finalists if trial_id in oracle.end_order]
    spared = {row[name] for row in running for name in ("parent", "inherited")}
    spared |= {row["trial"] for row in rows if row["rank"] == 1}  # to be exported
    kept = spared | {*finalists, *oracle.resumable(), *(oracle.trained() if inherit else ())}
    states = {row["trial"]: state_of(row["trial"]) for row in rows}
    for trial_id in states.keys() - kept - {row["trial"] for row in running}:
        states[trial_id].unlink(missing_ok=True)
    if max_bytes is not None:
        ended = {trial_id: states[trial_id] for trial_id in states.keys() & kept}
        _heed_limit(oracle, ended, spared, finalists, max_bytes)


def find_donors(oracle: SeededOracle, state_of: Callable[[str], pathlib.Path]) -> None:
    """Tells an oracle which trials' weights are at hand, by what it is about to propose.

    Args:
        oracle: of the search.
        state_of: as of `free`.
    """
    oracle.donors = frozenset(one for one in oracle.trained() if state_of(one).exists())


def _heed_limit(
    oracle: SeededOracle,
    states: Mapping[str, pathlib.Path],
    spared: Set[str],
    finalists: Sequence[str],
    max_bytes: float,
) -> None:
    """Gives up states until the rest keeps the limit.

    First those of mere donors go, the least promising first, then those of trials that may continue, and the finalists'
    last.

    Args:
        oracle: of the search.
        states: {trial: its file} of the trials that have ended.
        spared: trials among them whose files stay.
        finalists: as of `free`.
        max_bytes: the limit.

    Raises:
        FatalError: there is no other to give up.
    """
    sizes = {trial_id: state.stat().st_size for trial_id, state in states.items() if state.exists()}
    resumable = oracle.resumable()
    donors = [one for one in oracle.trained() if one in sizes and one not in resumable]
    given_up = []
    others = [trial_id for trial_id in [*donors, *resumable] if trial_id not in finalists]
    for trial_id in [*others, *finalists]:
        if sum(sizes.values()) <= max_bytes:
            break
        if trial_id in spared or (trial_id in resumable and not oracle.retire(trial_id)):
            continue
        sizes.pop(trial_id, None)
        given_up.append(trial_id)
    oracle.save()  # before what it says is done
    for trial_id in given_up:
        states[trial_id].unlink(missing_ok=True)
    if sum(sizes.values()) > max_bytes:
        raise keras_tuner.errors.FatalError(
            f"The training states that later trials need take {sum(sizes.values()) / 1e9:.3g} GB, more than "
            f"--max_disk_gb={max_bytes / 1e9:g}. Raise it; the search continues where it stopped."
        )
