"""How many epochs of a fixed method take as long as the training and the search of ours: a ratio measured beforehand.

    epochs = (E s step + n candidate / workers) / (s fixed)                                         (1)

E being the supernet's epochs, s the steps of one, n the search's candidates, and `step`, `fixed` and `candidate`
seconds that were timed in turn (supernet/pace.py). A candidate counts in full, so that racing, which spares most of it,
is no credit of ours.
"""

from __future__ import annotations

from dataclasses import replace

from glora_search.chosen_numerics import choose_numerics
from glora_search.comparison.family import Family, in_space
from glora_search.comparison.methods import Fixed
from glora_search.comparison.recipes import alone
from glora_search.display import Silent
from glora_search.settings import CampaignSettings, candidates
from glora_search.shared_weights import watched
from supernet.numerics import Numerics
from supernet.pace import Pace, PaceTask
from supernet.schedule import steps_an_epoch


def longer_epochs(settings: CampaignSettings, pace: Pace, examples: int) -> int:
    """Equation (1), for `examples` of the training split."""
    training = settings.training
    steps = steps_an_epoch(examples, training.batch_size)
    search = candidates(settings.search) * pace.candidate / settings.workers.count
    return round((training.epochs * steps * pace.supernet + search) / (steps * pace.fixed))


def pace_of(family: Family, row: Fixed, numerics: Numerics) -> Pace:
    """Time the supernet's steps, the fixed subnet's and candidates, on the pool."""
    ours = family.inputs.training(numerics)
    inputs = in_space(family.inputs, row.space(family.settings.space))
    task = inputs.training(numerics)
    training = alone(task.training, task.training.epochs)
    genome = row.genome(inputs.space, family.settings.seed, family.allowed)
    theirs = replace(task, training=training, genome=genome)
    return watched(family.pool, PaceTask(ours, theirs, family.inputs.data.val, numerics), Silent(), "pace")


def numerics_of(family: Family) -> Numerics:
    """As a campaign would choose them."""
    found, _ = choose_numerics(family.inputs, family.pool)
    return found
