"""Settings that a search no longer varies, because its trials show that they have little or no effect."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tuner_fn.oracles.configuration import Configuration
from tuner_fn.oracles.space import Space


class PinnedSettings:
    """Decides which settings are pinned, and keeps the decision: a search that is reloaded does not decide anew.

    Attributes:
        after: configurations with a score before the first look; the next ones are at twice as many as the one before.
            None: nothing is ever pinned.
        values: {setting: value} of what is pinned; grows from look to look.
    """

    def __init__(self, after: int | None) -> None:
        """Pins nothing yet."""
        self.after, self.values = after, dict[str, Any]()
        self._looked_at = 0  # configurations at the last look

    def look(self, space: Space, configurations: Sequence[Configuration], seed: int) -> None:
        """Pins what the configurations show, where it is time for a look.

        Args:
            space: of the search.
            configurations: all so far.
            seed: of the forests.
        """
        scored = [one for one in configurations if one.curve and one.state != "running"]
        if self.after is None or len(scored) < max(self.after, 2 * self._looked_at):
            return
        from tuner_fn.studies import pruning  # scikit-learn is for those who ask for it

        self.values |= pruning.pins(space, scored, seed)
        self._looked_at = len(scored)

    def apply(self, space: Space, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a configuration's active values with those that are pinned."""
        return space.completed({**values, **self.values})

    def draw(self, space: Space, rng: np.random.Generator) -> dict[str, Any]:
        """Draws the active values of a configuration, those that are pinned among them."""
        return self.apply(space, space.values(space.sample(rng, 1)[0]))

    def to_state(self) -> dict[str, Any]:
        """Returns JSON values; `restore` inverts."""
        return {"values": self.values, "looked_at": self._looked_at}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes over `to_state`'s result."""
        self.values, self._looked_at = dict(state["values"]), state["looked_at"]
