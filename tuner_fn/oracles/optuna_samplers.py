"""Optuna's samplers as search strategies. Only this module needs Optuna."""

import importlib.util
import inspect
import json
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
from keras_tuner.engine.hyperparameters import Boolean, Choice, Int

from data.errors import UserError, nearest
from tuner_fn.oracles.base import SeededOracle
from tuner_fn.oracles.configuration import Configuration, Proposal
from tuner_fn.oracles.space import num_values

_NEEDS = {"gp": "torch", "cmaes": "cmaes"}  # packages that Optuna does not bring
_TRIES = 10  # to be given a configuration that was not tried


class OptunaOracle(SeededOracle):
    """Trains what a sampler of Optuna asks for, always to the last epoch.

    For every proposal the study is built anew from the trials, and a new sampler gets its own seed: what samplers
    remember they keep in the study's attributes, which are part of this oracle's state. A failed trial is told with the
    worst score of all, a running one as running: TPE takes it for a bad one (from Optuna 5 on), the Gaussian process
    for one that it knows without its score, the others leave it out. Only a budget or a finite space ends the search.

    Source: Akiba et al. 2019 (arXiv:1907.10902); https://optuna.readthedocs.io for the samplers.
    """

    def __init__(self, sampler: str, /, *, sampler_options: Mapping[str, Any] | None = None, **settings: Any) -> None:
        """Creates the oracle.

        Args:
            sampler: one of `samplers`, "tpe" for example.
            sampler_options: of the sampler's class, `{"multivariate": True}` for example.
            **settings: of `SeededOracle`.

        Raises:
            UserError: an unknown sampler, option, or one whose package is not installed.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        if sampler not in samplers():
            known = [f"optuna:{name}" for name in samplers()]
            raise UserError(f"Unknown search `optuna:{sampler}`.{nearest(f'optuna:{sampler}', known)}")
        package = _NEEDS.get(sampler)
        if package is not None and importlib.util.find_spec(package) is None:
            raise UserError(f"The search `optuna:{sampler}` needs a package that is missing: pip install {package}")
        super().__init__(**settings)
        self.sampler, self._options = sampler, dict(sampler_options or {})
        taken = inspect.signature(samplers()[sampler].__init__).parameters
        for option in self._options:
            if option not in taken:
                raise UserError(f"`{option}` is not an option of Optuna's sampler `{sampler}`.{nearest(option, taken)}")
        self._make_sampler(0)  # so that wrong values of options are found now
        self._study_attributes: dict[str, Any] = {}
        self._attributes: dict[str, dict[str, Any]] = {}  # by the number of the trial
        self._distributions = [_distribution(parameter) for parameter in self.space.parameters]

    def propose(self, rng: np.random.Generator) -> Proposal:
        """Asks the sampler; `SeededOracle.propose`."""
        storage = optuna.storages.InMemoryStorage()
        study = optuna.create_study(
            storage=storage,
            sampler=self._make_sampler(int(rng.integers(2**31))),
            direction="maximize",
            study_name="search",
        )
        number = storage.get_study_id_from_name("search")
        for name, attribute in self._study_attributes.items():
            storage.set_study_system_attr(number, name, attribute)
        study.add_trials(self._told())
        for _ in range(_TRIES):
            asked = study.ask()
            genes = self._suggest(asked)
            attributes = study.get_trials(deepcopy=False)[-1].system_attrs
            if len(self.not_tried(genes[None])):
                break
            study.tell(asked, state=optuna.trial.TrialState.FAIL)
        else:
            genes, attributes = self.unseen(rng)[0], {}
        self._study_attributes = json.loads(json.dumps(storage.get_study_system_attrs(number)))  # as after a reload
        self._attributes[str(len(self.trials))] = json.loads(json.dumps(attributes))
        return Proposal(self.space.values(genes), self.max_epochs)

    def _make_sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        options = {"seed": seed, **self._options}
        if self.sampler == "qmc":  # one sequence in the whole search; the seed must shift it
            options |= {"seed": self.seed & 0xFFFFFFFF, "independent_sampler": optuna.samplers.RandomSampler(seed)}
            options = {"scramble": True, **options}
        sampler = samplers()[self.sampler]
        known = inspect.signature(sampler.__init__).parameters
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return sampler(**{name: one for name, one in options.items() if name in known})

    def _told(self) -> list[optuna.trial.FrozenTrial]:
        """Makes Optuna's trials from the configurations."""
        worst = min((score for one in self.configurations for score in one.curve.values()), default=None)
        states = optuna.trial.TrialState
        told = []
        for one in self.configurations:
            attributes = self._attributes.get(str(int(one.trial_id)), {})
            score = worst if one.state == "failed" else one.best if one.state == "paused" else None
            state = states.RUNNING if one.state == "running" else states.FAIL if score is None else states.COMPLETE
            params, distributions = self._params(one)
            told.append(
                optuna.trial.create_trial(
                    state=state, value=score, params=params, distributions=distributions, system_attrs=attributes
                )
            )
        return told

    def _params(self, configuration: Configuration) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns {parameter's number: value} of Optuna's, and the distributions."""
        active = self.space.active(configuration.genes[None])[0]
        params, distributions = {}, {}
        for index, (gene, distribution) in enumerate(zip(configuration.genes, self._distributions, strict=True)):
            if active[index] and distribution is not None:
                is_range = isinstance(distribution, optuna.distributions.FloatDistribution)
                params[str(index)] = float(gene) if is_range else int(gene * num_values(self.space.parameters[index]))
                distributions[str(index)] = distribution
        return params, distributions

    def _suggest(self, trial: optuna.Trial) -> np.ndarray:
        """Lets the sampler choose the active parameters; returns canonical genes [P]."""
        genes = np.full(len(self.space.parameters), 0.5)
        for index, distribution in enumerate(self._distributions):
            if distribution is None or not self.space.active(genes[None])[0, index]:
                continue
            if isinstance(distribution, optuna.distributions.FloatDistribution):
                genes[index] = trial.suggest_float(str(index), distribution.low, distribution.high)
                continue
            if isinstance(distribution, optuna.distributions.IntDistribution):
                chosen = trial.suggest_int(str(index), distribution.low, distribution.high)
            else:
                chosen = trial.suggest_categorical(str(index), distribution.choices)
            genes[index] = (chosen + 0.5) / num_values(self.space.parameters[index])
        return self.space.genes(self.space.values(genes))

    def get_state(self) -> dict[str, Any]:
        """Adds what samplers remember to Keras Tuner's state."""
        attributes = {"study": self._study_attributes, "trials": self._attributes}
        return super().get_state() | {"optuna": attributes}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores `get_state`'s result; what a sampler remembers does not fit another space."""
        super().set_state(state)
        if not self.was_extended:
            self._study_attributes, self._attributes = state["optuna"]["study"], state["optuna"]["trials"]


def samplers() -> dict[str, type[optuna.samplers.BaseSampler]]:
    """Finds the samplers that need nothing but a seed; the exhaustive one, which ends studies itself, is `grid`."""
    found = {}
    for name in optuna.samplers.__all__:
        one = getattr(optuna.samplers, name)
        if inspect.isclass(one) and not inspect.isabstract(one):
            parameters = list(inspect.signature(one.__init__).parameters.values())[1:]
            needed = [parameter for parameter in parameters if parameter.default is inspect.Parameter.empty]
            if "seed" in inspect.signature(one.__init__).parameters and not needed and name != "BruteForceSampler":
                found[name.removesuffix("Sampler").lower()] = one
    return found


def _distribution(parameter: Any) -> optuna.distributions.BaseDistribution | None:
    """Makes Optuna's distribution of a parameter: of its values' numbers, or of the genes of a range without steps."""
    count = num_values(parameter)
    if count == 1:
        return None
    if count is None or (isinstance(parameter, Int) and parameter.step is None):
        return optuna.distributions.FloatDistribution(0.0, 1.0)
    if isinstance(parameter, Boolean) or (isinstance(parameter, Choice) and not parameter.ordered):
        return optuna.distributions.CategoricalDistribution(range(count))
    return optuna.distributions.IntDistribution(0, count - 1)
