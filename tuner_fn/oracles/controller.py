"""A recurrent controller, trained by policy gradients, writes configurations one parameter after the other."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras_tuner.engine.hyperparameters import Float, Int

from tuner_fn.oracles.base import SeededOracle, check_range
from tuner_fn.oracles.configuration import Proposal
from tuner_fn.oracles.space import num_values

INACTIVE = -1  # in the place of a choice
_TRIES, _HEAT = 50, 1.1  # to write a configuration that was not tried; each at a higher temperature
_UNITS = 24  # of the recurrent layer
_BASELINE_DECAY = 0.9  # of the moving averages of rewards and their squared distances
_ADAM = (0.9, 0.99)  # decays of the moving averages of gradients and their squares


class ControllerOracle(SeededOracle):
    """Reinforces what the controller wrote where the score was above a moving average of scores.

    The controller chooses among the values of a parameter, of a range among `bins` equal parts, within which the value
    is drawn. Its weights follow from the seed and the finished trials in their order, so they are learned again after a
    reload. What is running teaches it nothing. A failed trial has the worst score so far. Only a budget or a finite
    space ends the search.

    Source: Zoph and Le 2017 (arXiv:1611.01578), section 3.2, with one tanh layer in the place of the LSTM and an
    entropy bonus.
    """

    def __init__(
        self, *, bins: int = 8, learning_rate: float = 0.02, entropy_weight: float = 0.1, **settings: Any
    ) -> None:
        """Creates the oracle.

        Args:
            bins: parts of a range with more values, at least 2.
            learning_rate: of Adam, a step a trial, at least 0.
            entropy_weight: of the entropy bonus, in standard deviations of the score per nat, at least 0.
            **settings: of `SeededOracle`.

        Raises:
            UserError: a number out of its range.
        """
        super().__init__(**settings)
        check_range("bins", bins, 2)
        check_range("learning_rate", learning_rate, 0)
        check_range("entropy_weight", entropy_weight, 0)
        self.learning_rate, self.entropy_weight = learning_rate, entropy_weight
        counts = [num_values(parameter) or bins for parameter in self.space.parameters]
        ranges = [isinstance(parameter, Float | Int) for parameter in self.space.parameters]
        self._sizes = [min(bins, count) if one else count for count, one in zip(counts, ranges, strict=True)]
        self._forget()

    def propose(self, rng: np.random.Generator) -> Proposal:
        """Learns from what has finished and writes a configuration; `SeededOracle.propose`."""
        self._learn()
        for tried in range(_TRIES):
            genes = self.not_tried(self._write(rng, _HEAT**tried)[None])
            if len(genes):
                return Proposal(self.space.values(genes[0]), self.max_epochs)
        return Proposal(self.space.values(self.unseen(rng)[0]), self.max_epochs)

    def _write(self, rng: np.random.Generator, temperature: float) -> np.ndarray:
        """Draws the genes [P] of a configuration; the higher the temperature, the more evenly."""
        genes = np.full(len(self._sizes), 0.5)
        before = self._policy.start
        for index, size in enumerate(self._sizes):
            if self.space.active(genes[None])[0, index]:
                state, probabilities = self._policy.step(before, index)
                odds = probabilities ** (1.0 / temperature)
                choice = int(rng.choice(size, p=odds / odds.sum()))
                genes[index] = (choice + rng.random()) / size
                before = self._policy.read(state, index, choice)
        return self.space.genes(self.space.values(self.space.canonical(genes[None])[0]))

    def _learn(self) -> None:
        """Makes one step for each configuration that has finished since the last call."""
        for index in self.finished()[self._learned :]:
            one = self.configurations[index]
            self._learned += 1
            reward = one.best_until(self.max_epochs)
            self._worst = min(self._worst, reward if reward > -np.inf else np.inf)
            reward = max(reward, self._worst)
            if np.isfinite(reward):
                self._step(self._choices(one.genes), reward)

    def _step(self, choices: Sequence[int], reward: float) -> None:
        """Follows the gradient of one configuration's reward (Adam)."""
        if self._baseline is None:
            self._baseline = reward
        advantage = reward - self._baseline
        self._baseline += (1.0 - _BASELINE_DECAY) * advantage
        self._spread += (1.0 - _BASELINE_DECAY) * (advantage**2 - self._spread)
        self._steps += 1
        spread = np.sqrt(self._spread / (1.0 - _BASELINE_DECAY**self._steps))
        _, gradient = self._policy.loss(choices, advantage / max(spread, 1e-12), self.entropy_weight)
        self._mean += (1.0 - _ADAM[0]) * (gradient - self._mean)
        self._square += (1.0 - _ADAM[1]) * (gradient**2 - self._square)
        mean = self._mean / (1.0 - _ADAM[0] ** self._steps)
        square = self._square / (1.0 - _ADAM[1] ** self._steps)
        self._policy.weights -= self.learning_rate * mean / (np.sqrt(square) + 1e-8)

    def _choices(self, genes: np.ndarray) -> list[int]:
        """Finds what the controller writes for a configuration's genes [P]."""
        active = self.space.active(genes[None])[0]
        chosen = (min(int(gene * size), size - 1) for gene, size in zip(genes, self._sizes, strict=True))
        return [choice if counts else INACTIVE for choice, counts in zip(chosen, active, strict=True)]

    def _forget(self) -> None:
        """Makes a controller that has learned nothing."""
        self._policy = Policy(self._sizes, np.random.default_rng([self.seed & 0xFFFFFFFF, len(self._sizes)]))
        self._mean, self._square = np.zeros_like(self._policy.weights), np.zeros_like(self._policy.weights)
        self._baseline, self._spread, self._worst = None, 0.0, np.inf
        self._learned = self._steps = 0

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores `get_state`'s result; the controller learns anew from the trials."""
        super().set_state(state)
        self._forget()


class Policy:
    """Probabilities of each parameter's choices, given those before it.

    The recurrent layer's state before parameter p is tanh(a_p); a_0 is learned, a_(p+1) = tanh(a_p) R + E(choice).

    Attributes:
        weights: float64 [N], all of them.
    """

    def __init__(self, sizes: Sequence[int], rng: np.random.Generator) -> None:
        """Draws small weights for parameters with so many choices each; all choices are about equally probable."""
        self._ends = np.cumsum([0, *sizes])
        total = self._ends[-1]
        self._shapes = ((_UNITS,), (_UNITS, _UNITS), (total, _UNITS), (_UNITS, total), (total,))
        self.weights = rng.normal(0.0, 0.1, sum(int(np.prod(shape)) for shape in self._shapes))

    @property
    def start(self) -> np.ndarray:
        """The input [U] of the first parameter."""
        return self._split(self.weights)[0]

    def step(self, before: np.ndarray, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the state [U] of parameter `index` and its choices' probabilities, from its input [U]."""
        *_, output, bias = self._split(self.weights)
        state = np.tanh(before)
        logits = state @ output[:, self._part(index)] + bias[self._part(index)]
        odds = np.exp(logits - logits.max())
        return state, odds / odds.sum()

    def read(self, state: np.ndarray, index: int, choice: int) -> np.ndarray:
        """Returns the input [U] of the following parameter, from the state [U] and the choice of parameter `index`."""
        _, recurrent, embedding, *_ = self._split(self.weights)
        return state @ recurrent + embedding[self._ends[index] + choice]

    def loss(self, choices: Sequence[int], advantage: float, entropy_weight: float) -> tuple[float, np.ndarray]:
        """Computes REINFORCE's loss of one configuration and its gradient.

        Args:
            choices: of each parameter; `INACTIVE` for none.
            advantage: of its reward over the baseline.
            entropy_weight: of the choices' entropies, which are rewarded.

        Returns:
            -advantage log p(choices) - entropy_weight (sum of entropies), and float64 [N].

        Source: Williams 1992, eq. 11; Zoph and Le 2017, section 3.2.
        """
        trace, before = [], self.start
        for index, choice in enumerate(choices):
            if choice != INACTIVE:
                state, probabilities = self.step(before, index)
                trace.append((index, choice, state, probabilities))
                before = self.read(state, index, choice)
        _, recurrent, _, output, _ = self._split(self.weights)
        gradient, loss = np.zeros_like(self.weights), 0.0
        by_start, by_recurrent, by_embedding, by_output, by_bias = self._split(gradient)
        by_input = np.zeros(_UNITS)  # of the following parameter
        for index, choice, state, probabilities in reversed(trace):
            logs = np.log(np.maximum(probabilities, 1e-300))
            entropy = -probabilities @ logs
            loss -= advantage * logs[choice] + entropy_weight * entropy
            by_logits = advantage * probabilities + entropy_weight * probabilities * (logs + entropy)
            by_logits[choice] -= advantage
            by_output[:, self._part(index)] += np.outer(state, by_logits)
            by_bias[self._part(index)] += by_logits
            by_recurrent += np.outer(state, by_input)
            by_embedding[self._ends[index] + choice] += by_input
            by_state = output[:, self._part(index)] @ by_logits + recurrent @ by_input
            by_input = by_state * (1.0 - state * state)
        by_start += by_input
        return loss, gradient

    def _part(self, index: int) -> slice:
        return slice(self._ends[index], self._ends[index + 1])

    def _split(self, flat: np.ndarray) -> list[np.ndarray]:
        """Views of a vector [N]: a_0, R, E, output, bias."""
        ends = np.cumsum([np.prod(shape) for shape in self._shapes])
        return [part.reshape(shape) for part, shape in zip(np.split(flat, ends[:-1]), self._shapes, strict=True)]
