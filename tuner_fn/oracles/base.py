"""What the kit's strategies share: reproducible proposals, no configuration twice, budgets, and a said end."""

import abc
import copy
import dataclasses
import json
from collections.abc import Iterable, Sequence
from typing import Any

import keras_tuner
import numpy as np

from data.errors import UserError
from tuner_fn.early_stopping import STOPPED
from tuner_fn.oracles.configuration import INHERITED, REJECTED, SPENT, Configuration, Proposal, curve, end_of
from tuner_fn.oracles.pinned import PinnedSettings
from tuner_fn.oracles.saved import SavedOracle
from tuner_fn.oracles.space import Space

_KIND = "model.backbone"  # weights of another one are of no use: `benchmarks/inheritance.py`
MOST_REJECTED = 100  # of them in a row end a search, which spends no epoch on them
UNBOUNDED_TRIALS = 9_999  # where only epochs or the user end a search; TFX's Tuner needs a number
_DIGITS = 9  # of a gene, in [0, 1], that tell values apart
_DRAWS = 100  # before a finite space is gone through one by one


class Exhausted(Exception):
    """Says, in its text, why there is nothing left to propose."""


class SeededOracle(SavedOracle, abc.ABC):
    """Base of the kit's strategies.

    The first trial has the space's defaults, which are what the user has without a search. Where `max_epochs_total` has
    room for two whole trainings it is a whole one: it is what others have to beat, and its curve shows after how many
    epochs scores tell configurations apart. A proposal depends on the space, the seed, the number of
    trials before it and their results alone, so a reloaded search continues as if it had not been interrupted. No
    configuration is tried twice; one that continues names the trial that it continues in `tuner/trial_id`. A failed
    trial counts as a result. The score that a trial had when it was stopped early counts as its last one.

    Attributes:
        end_reason: why the search ended, "" before that.
        was_extended: whether the trials before a reload were drawn from another space.
        pinned: settings that new configurations no longer vary.
        rungs: epochs at which a configuration's training may end, ascending; the last is `max_epochs`.
        donors: trials whose weights are at hand: a new configuration starts with those of the nearest one, which it
            carries in `tuner/inherited`. None by default.
        epochs_in_time: how many epochs there is time for; None where unknown. It does not end the search.
    """

    def __init__(
        self,
        *,
        objective: keras_tuner.Objective,
        hyperparameters: keras_tuner.HyperParameters,
        max_epochs: int,
        seed: int,
        max_trials: int | None = None,
        max_epochs_total: int | None = None,
        prune_after: int | None = None,
    ) -> None:
        """Creates the oracle.

        Args:
            objective: one metric, maximised or minimised.
            hyperparameters: the space; nothing is added to it later.
            max_epochs: of one configuration, at least 1.
            seed: of the draws; every integer counts, 0 and negative ones too.
            max_trials: ends the search, at least 1; a continued trial counts again. None for no limit.
            max_epochs_total: ends the search when so many epochs were given out, at least 1; the last trial is cut to
                fit. None for no limit.
            prune_after: configurations with a score after which settings are pinned, as `PinnedSettings.after`.

        Raises:
            UserError: a number below 1, several metrics as the objective, or an empty space.
        """
        if not hyperparameters.space:
            raise UserError(
                "`hyperparameters` is empty, so there is nothing to search. Declare at least one there, for example"
                ' with `hyperparameters.Float("rate", 1e-3, 1.0)`; those that a model declares are not added.'
            )
        if isinstance(objective, list | tuple):
            raise UserError("`objective` must be one metric: got several. Let training report what should count.")
        counts = {"max_trials": max_trials, "max_epochs_total": max_epochs_total, "prune_after": prune_after}
        for name, number in counts.items():
            if number is not None:
                check_range(name, number, 1)
        check_range("max_epochs", max_epochs, 1)
        super().__init__(
            objective=objective,
            hyperparameters=hyperparameters,
            max_trials=max_trials or UNBOUNDED_TRIALS,
            seed=seed,
            allow_new_entries=False,
            tune_new_entries=False,
            max_consecutive_failed_trials=UNBOUNDED_TRIALS,
        )
        self.seed = self._seed_state = seed  # Keras Tuner's constructor replaces 0 by a random one
        self.max_epochs, self.max_epochs_total = max_epochs, max_epochs_total
        self.rungs = [max_epochs]
        self.space = Space(self.hyperparameters)
        self.end_reason = ""
        self.was_extended = False
        self.donors: frozenset[str] = frozenset()
        self.epochs_in_time: int | None = None
        self.configurations: list[Configuration] = []
        self._tried: set[bytes] = set()  # keys of their genes
        self._counted: set[str] = set()  # trials whose results are in `configurations`
        self._index: dict[str, int] = {}  # {trial: its configuration}
        self._retired: list[str] = []  # trials that none continues from
        self.pinned = PinnedSettings(prune_after)

    @abc.abstractmethod
    def propose(self, rng: np.random.Generator) -> Proposal:
        """Chooses what to train next from `configurations`.

        Args:
            rng: generator of this proposal alone.

        Raises:
            Exhausted: there is nothing to try; where trials are running it is asked again after them.
        """

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Proposes a trial, as `keras_tuner.Oracle.populate_space`."""
        self._gather()
        last = [self.trials[one].hyperparameters.values for one in self.start_order[-MOST_REJECTED:]]
        if len(last) == MOST_REJECTED and all(REJECTED in values for values in last):
            return self._stop(f"the last {MOST_REJECTED} configurations exceed a limit")
        left = self._epochs_left()
        if left is not None and left <= 0:
            return self._stop(f"the budget of {self.max_epochs_total} epochs is spent")
        try:
            own = [self.seed] if self.seed >= 0 else [-self.seed, 1]  # numpy takes no negative ones
            rng = np.random.default_rng([own[0], len(self.trials), *own[1:]])
            start = None if self.trials else Proposal(self.space.defaults(), self.start_epochs())
            decided = self._decided()
            proposal = start or self._with_pinned(self.propose(rng), rng)
        except Exhausted as reason:
            if not self.ongoing_trials:
                return self._stop(str(reason))
            self._undo(decided)  # how often a worker asked in vain must not matter
            return {"status": "IDLE"}
        before = 0 if proposal.known is None else self.configurations[proposal.known].epochs
        epochs = proposal.epochs if left is None else min(proposal.epochs, before + left)
        if proposal.known is None:
            known = self._add(trial_id, proposal.values)
            donor = self._nearest_donor(known.genes)
            parent = {} if donor is None else {INHERITED: donor}
        else:
            known = self.configurations[proposal.known]
            parent = {"tuner/trial_id": known.trial_id}
            self._index[trial_id] = proposal.known
        known.trial_id, known.epochs, known.state = trial_id, epochs, "running"
        about = {"tuner/epochs": epochs, "tuner/initial_epoch": before, **parent}
        return {"status": "RUNNING", "values": self.space.completed(known.values) | about}

    def first_epochs(self) -> int:
        """Returns how long a new configuration is trained first."""
        return self.rungs[0]

    def rungs_after(self, ended: Sequence[str]) -> list[int]:
        """Lists the rungs as they were when these trials had ended: a trial that is continued keeps its own."""
        del ended
        return self.rungs

    def start_epochs(self) -> int:
        """Returns how long the first trial is."""
        has_room = self.max_epochs_total is not None and self.max_epochs_total >= 2 * self.max_epochs
        return self.max_epochs if has_room else self.first_epochs()

    def has_budget(self) -> bool:
        """Tells whether a number of trials or of epochs ends the search."""
        return self.max_trials < UNBOUNDED_TRIALS or self.max_epochs_total is not None

    def set_budget(self, epochs: int) -> None:
        """Ends the search after so many epochs, as `max_epochs_total` of the constructor does."""
        self.max_epochs_total = epochs

    def start_alone(self, epochs: int) -> None:
        """Ends the search with its first trial, of so many epochs."""
        self.max_epochs = self.max_epochs_total = epochs
        self.rungs = [epochs]

    def _with_pinned(self, proposal: Proposal, rng: np.random.Generator) -> Proposal:
        """Gives a new configuration the values that are pinned; where that was tried, another one is drawn."""
        self.pinned.look(self.space, self.configurations, self.seed)
        if proposal.values is None or not self.pinned.values:
            return proposal
        values = self.pinned.apply(self.space, proposal.values)
        for _ in range(_DRAWS):
            if len(self.not_tried(self.space.genes(values)[None])):
                return dataclasses.replace(proposal, values=values)
            values = self.pinned.draw(self.space, rng)
        raise Exhausted("all configurations with the pinned settings were tried")

    def planned_trials(self) -> int | None:
        """Counts the most trials that the search starts if none fails or is stopped; None where nothing limits them.

        Those that were rejected are among them, which spend no epoch.
        """
        limits = [self.max_trials] if self.max_trials < UNBOUNDED_TRIALS else []
        if self.max_epochs_total is not None:
            total = self.max_epochs_total + self._epochs_saved()
            rejected = sum(REJECTED in trial.hyperparameters.values for trial in self.trials.values())
            limits.append(rejected + max(-(-total * n // epochs) for n, epochs in enumerate(self.rungs, 1)))
        return min(limits, default=None)

    def planned_epochs(self) -> int | None:
        """Counts the most epochs that the search trains if no trial fails; None where nothing limits them."""
        limits = [] if self.max_epochs_total is None else [self.max_epochs_total]
        if self.max_trials < UNBOUNDED_TRIALS:
            most = max(self.max_trials * epochs // n for n, epochs in enumerate(self.rungs, 1))
            limits.append(most - self._epochs_saved())
        return min(limits, default=None)

    def resumable(self) -> list[str]:
        """Lists the trials that a later one may continue from, the least promising first."""
        trained = self.trained() if len(self.rungs) > 1 else []
        return [one for one in trained if self.configurations[self._index[one]].epochs < self.rungs[-1]]

    def trained(self) -> list[str]:
        """Lists the last trials of the configurations that are trained so far, the least promising first."""
        self._gather()
        paused = [one for one in self.configurations if one.state == "paused"]
        return [one.trial_id for one in sorted(paused, key=lambda one: one.best)]

    def retire(self, trial_id: str) -> bool:
        """Gives a resumable trial up, so that its training state is not needed; False where that cannot be."""
        self._retired.append(trial_id)
        self.configurations[self._index[trial_id]].state = "retired"
        return True

    def epochs_given(self, trial_ids: Iterable[str]) -> int:
        """Counts the epochs that trials were given, beyond those of the trials that they continue from.

        One that was stopped early or failed has had those up to there. One whose file was damaged may have had all that
        a configuration can have.
        """
        given = [self.trials[trial_id].hyperparameters.values for trial_id in trial_ids]
        given = [values for values in given if REJECTED not in values]
        ends = [end_of(values, self.max_epochs) for values in given]
        return sum(ends) - sum(values.get("tuner/initial_epoch", 0) for values in given)

    def create_trial(self, tuner_id: str) -> keras_tuner.engine.trial.Trial:
        """Gives a worker its trial, as `keras_tuner.Oracle.create_trial`; says why where there is none."""
        trial = super().create_trial(tuner_id)
        if trial.status == "RUNNING":
            self.end_reason = ""  # one that failed gave its epochs back after another worker had found none
        if trial.status == "STOPPED" and not self.end_reason:
            self.end_reason = self._trials_done()
        return trial

    def unseen(self, rng: np.random.Generator, count: int = 1) -> np.ndarray:
        """Draws `count` or fewer different configurations that were not tried.

        Returns:
            Genes [N, P], N at least 1.

        Raises:
            Exhausted: all were tried.
        """
        fresh = self.not_tried(self.space.sample(rng, count))
        for _ in range(_DRAWS):
            if len(fresh):
                return fresh
            fresh = self.not_tried(self.space.sample(rng, count))
        left = self.not_tried(np.array(list(self.space.all()))) if self.space.size else fresh
        if not len(left):
            raise Exhausted(self._exhausted())
        return left[rng.permutation(len(left))[:count]]

    def not_tried(self, genes: np.ndarray) -> np.ndarray:
        """Keeps of configurations [N, P] each that was not tried, once."""
        fresh = {_key(row): row for row in genes if _key(row) not in self._tried}
        return np.array(list(fresh.values())).reshape(-1, genes.shape[1])

    def finished(self) -> list[int]:
        """Lists the configurations whose last trial has ended, by index, in the order of their ends."""
        ended = {trial_id: position for position, trial_id in enumerate(self.end_order)}
        done = [index for index, one in enumerate(self.configurations) if one.state != "running"]
        return sorted(done, key=lambda index: ended[self.configurations[index].trial_id])

    def _nearest_donor(self, genes: np.ndarray) -> str | None:
        """Finds the donor of the nearest configuration to genes [P]; of equally near ones the best, then the first."""
        kind = self.space.values(genes).get(_KIND)
        known = [one for one in self.configurations if one.trial_id in self.donors]
        donors = [one for one in known if self.space.values(one.genes).get(_KIND) == kind]
        if not donors:
            return None
        features = self.space.features(np.stack([genes, *(one.genes for one in donors)]))
        distances = np.linalg.norm(features[1:] - features[0], axis=1).round(9)  # rounding parts no equals
        return min(zip(distances, donors, strict=True), key=lambda pair: (pair[0], -pair[1].best))[1].trial_id

    def _gather(self) -> None:
        """Brings `configurations` up to date; after a reload from the beginning."""
        for trial_id in self.start_order:
            if trial_id in self._counted:
                continue
            trial = self.trials[trial_id]
            values = trial.hyperparameters.values
            if "tuner/epochs" not in values:  # its file was damaged
                self._counted.add(trial_id)
                continue
            if trial_id not in self._index:
                parent = values.get("tuner/trial_id")
                if parent not in self._index:
                    self._add(trial_id, {name: one for name, one in values.items() if not name.startswith("tuner/")})
                else:
                    self._index[trial_id] = self._index[parent]
                known = self.configurations[self._index[trial_id]]
                known.trial_id, known.epochs, known.state = trial_id, values["tuner/epochs"], "running"
            if trial.status in ("COMPLETED", "FAILED", "INVALID", "STOPPED") and trial_id in self.end_order:
                self._counted.add(trial_id)
                known = self.configurations[self._index[trial_id]]
                known.curve.update(curve(trial, self.objective))
                known.state = "paused" if trial.status == "COMPLETED" and known.curve else "failed"
                if trial_id in self._retired:
                    known.state = "retired"

    def _add(self, trial_id: str, values: dict[str, Any]) -> Configuration:
        """Notes a new configuration; the genes come from the values, to the last bit as after a reload.

        What the space got after its trial was started had the declared default.
        """
        genes = self.space.genes(self.space.completed(values))
        self.configurations.append(Configuration(values, genes, {}, trial_id, 0, "running"))
        self._tried.add(_key(genes))
        self._index[trial_id] = len(self.configurations) - 1
        return self.configurations[-1]

    def _epochs_saved(self) -> int:
        """Counts the epochs that trials were not trained because they were stopped early or failed."""
        values = [trial.hyperparameters.values for trial in self.trials.values()]
        return sum(one["tuner/epochs"] - end_of(one) for one in values if STOPPED in one or SPENT in one)

    def _epochs_left(self) -> int | None:
        if self.max_epochs_total is None:
            return None
        return self.max_epochs_total - self.epochs_given(self.trials)

    def _trials_done(self) -> str:
        several = f"the {self.max_trials} trials asked for are done"
        return several if self.max_trials > 1 else "the one trial asked for is done"

    def _exhausted(self) -> str:
        return f"all {len(self.configurations)} configurations of the space were tried"

    def _stop(self, reason: str) -> dict[str, Any]:
        self.end_reason = reason
        return {"status": "STOPPED"}

    def _compute_values_hash(self, values: dict[str, Any]) -> str:
        """Hashes a configuration; Keras Tuner's own entries and ours are not part of it."""
        return super()._compute_values_hash({k: v for k, v in values.items() if not k.startswith("tuner/")})

    def _decided(self) -> dict[str, Any]:
        """Returns what proposals decide for later ones; `_undo` restores it."""
        return {"pinned": copy.deepcopy(self.pinned.to_state())}

    def _undo(self, decided: dict[str, Any]) -> None:
        self.pinned.restore(decided["pinned"])

    def get_state(self) -> dict[str, Any]:
        """Adds the trials given up and the settings pinned to Keras Tuner's state."""
        return super().get_state() | {"retired": self._retired, "pinned": self.pinned.to_state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores `get_state`'s result; what was gathered is gathered anew from the trials.

        The space stays the constructor's, which may hold more than the saved one.
        """
        space = self.hyperparameters
        super().set_state(state)
        self.was_extended = json.dumps(space.get_config()) != json.dumps(self.hyperparameters.get_config())
        self.hyperparameters = space
        self._retired = state["retired"]
        self.pinned.restore(state["pinned"])
        self.configurations, self._tried, self._counted, self._index = [], set(), set(), {}
        self.space = Space(self.hyperparameters)


def check_range(name: str, value: float, low: int, high: int | None = None) -> None:
    """Checks an option.

    Raises:
        UserError: the value is below `low` or above `high`.
    """
    if value < low or (high is not None and value > high):
        allowed = f"at least {low}" if high is None else f"from {low} to {high}"
        raise UserError(f"`{name}` must be {allowed}: got {value}.")


def _key(genes: np.ndarray) -> bytes:
    """Tells configurations [P] apart; values and back, a gene changes in its last digits."""
    return (np.round(genes, _DIGITS) + 0.0).tobytes()
