"""Which examples a generation's races begin with: those on which the best of the generations before lose most.

    hardness_i = sum over the LEADERS best candidates so far, of their loss on example i                   (1)

A race is decided by what a candidate loses beyond them, and that is where they lose themselves, hardly ever where
nobody does. The order only decides how soon a candidate is dropped, and is a function of the generations before, so
that who is raced depends on nobody's arrival. Losses of single examples are not in the database: after a resume those
of the leaders are measured once more, which is why these are few.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from glora_search.racing import hardest_first
from workers.evaluator import Evaluation, Evaluator, Outcome

LEADERS = 3  # all ten places instead save half a percent of the examples (LOG.md)


class Difficulty:
    """What each example costs the candidates that this process has heard of, by genome."""

    def __init__(self, evaluator: Evaluator) -> None:
        """Of a task that reports each example's loss; without these there is no order."""
        self.evaluator = evaluator
        self.losses: dict[str, np.ndarray | None] = {}  # (n,) int64, in units of supernet.evaluation.QUANTUM

    def hear(self, genome: str, outcome: Outcome) -> None:
        """Remember it until the next generation begins."""
        kept = outcome.losses if isinstance(outcome, Evaluation) else None
        self.losses[genome] = None if kept is None else np.frombuffer(kept, dtype=np.int64)

    def order(self, best: Sequence[str], going_on: Callable[[], bool]) -> np.ndarray | None:
        """(n,) the examples by (1), hardest first; None if no loss is known. `best`: genomes, best first.

        What is not known of them is measured, one after the other as long as it is `going_on`.
        """
        leaders = best[:LEADERS]
        unheard = [genome for genome in leaders if genome not in self.losses]
        if unheard:
            asked = (genome for genome in unheard if going_on())
            for index, outcome in self.evaluator.evaluate(asked):
                self.hear(unheard[index], outcome)
        self.losses = {genome: self.losses.get(genome) for genome in leaders}
        known = [losses for losses in self.losses.values() if losses is not None]
        return hardest_first(np.sum(known, axis=0)) if known else None
