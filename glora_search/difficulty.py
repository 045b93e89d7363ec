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
from glora_search.ranking import Key, Rank, key
from workers.evaluator import Evaluation, Evaluator, Outcome

LEADERS = 3  # all ten places instead save half a percent of the examples (LOG.md)
MOST = 5_000  # examples of a split whose losses travel: of more, enough are wrong for somebody to order them by that


class Difficulty:
    """What each example costs the best candidates that this process has heard of."""

    def __init__(self, evaluator: Evaluator, rank: Rank) -> None:
        """`evaluator`: of a task that reports each example's loss; without these there is no order."""
        self.evaluator, self.rank = evaluator, rank
        self.heard: set[str] = set()  # genomes
        self.leading: dict[str, tuple[Key, np.ndarray]] = {}  # genome -> (n,) int64 losses, in evaluation.QUANTUM

    def hear(self, genome: str, outcome: Outcome) -> None:
        """Keep the losses of what none of LEADERS others is better than."""
        self.heard.add(genome)
        if isinstance(outcome, Evaluation) and outcome.losses is not None:
            found = key(self.rank, outcome.accuracy, outcome.loss)
            self.leading[genome] = found, np.frombuffer(outcome.losses, dtype=np.int64)
            *_, last = sorted((other for other, _ in self.leading.values()), reverse=True)[:LEADERS]
            self.leading = {name: kept for name, kept in self.leading.items() if kept[0] >= last}

    def order(self, best: Sequence[str], going_on: Callable[[], bool]) -> np.ndarray | None:
        """(n,) the examples by (1), hardest first; None if no loss is known. `best`: genomes, best first.

        What was not heard of them is measured now, as long as it is `going_on`.
        """
        leaders = best[:LEADERS]
        if unheard := [genome for genome in leaders if genome not in self.heard]:
            asked = (genome for genome in unheard if going_on())
            for index, outcome in self.evaluator.evaluate(asked):
                self.hear(unheard[index], outcome)
                going_on()  # it may raise
        known = [self.leading[genome][1] for genome in leaders if genome in self.leading]
        return hardest_first(np.sum(known, axis=0)) if known else None
