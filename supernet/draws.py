"""Which subnets step t of a training draws: functions of (seed, t).

| draws      | what                                                                                       | source  |
|------------|--------------------------------------------------------------------------------------------|---------|
| `uniform`  | every form of a gene equally likely                                                        | GLoRA   |
| `fair`     | m draws in a row hold each of a gene's m forms once, in an order drawn for each gene       | FairNAS |
| `near`     | as (1) below, around a fixed method                                                        |         |
| `sandwich` | the first of the step's subnets is the largest, the second the smallest, others uniform    | BigNAS  |

`near` draws the method `around` itself in the first `method_first` of the steps and in the last `method_last`. Between
them it draws k uniformly from [0, 1] for each subnet; each of its genes then takes the form that the method has there
with probability k, and else any of its forms, each equally likely:

    P(form) = E k [form is the method's] + (1 - E k) / forms                                     (1)

So these steps range from the method itself to uniform draws, and the numbers that the method uses get most of the
training: a form that is drawn in one step of four learns at a quarter of the speed. They come after the first because
what the others learn beside a method that fits already is what they add to it, and before the last because the small
steps at the end of the schedule then undo what sharing cost the method. The lengths of chains (chains.py) are drawn as
forms are, in each of these ways.

FairNAS: Chu et al., arXiv 1907.01845, strict fairness; BigNAS: Yu et al., arXiv 2003.11142.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from supernet.methods import centre
from supernet.randomness import stream
from supernet.settings import TrainingSettings
from supernet.space import Space

FORMS = 1000  # more than a gene has, or a chain lengths


def genomes(space: Space, settings: TrainingSettings, seed: int, t: int, steps: int) -> list[str]:
    """The subnets of step t of so many, `settings.subnets` of them."""
    count = settings.subnets
    if settings.draws == "fair":
        return [fair(space, seed, t * count + number) for number in range(count)]
    generator = stream(seed, "forms", t)
    if settings.draws == "near":
        method = centre(space, settings.around)
        if t < settings.method_first * steps or t >= (1 - settings.method_last) * steps:
            return [method] * count
        return [near(space, method, generator) for _ in range(count)]
    ends = [space.largest, space.smallest][:count] if settings.draws == "sandwich" else []
    return ends + [space.draw(generator) for _ in range(count - len(ends))]


def drawn(space: Space, settings: TrainingSettings, generator: np.random.Generator) -> str:
    """One genome as the training draws those that are not the method itself: near it, or else uniformly."""
    return near(space, centre(space, settings.around), generator) if settings.draws == "near" else space.draw(generator)


def near(space: Space, method: str, generator: np.random.Generator, limit: int | None = None) -> str:
    """One genome by equation (1) around the genome of a method, repaired under the limit."""
    chances = generator.random(len(space.genes))
    k = generator.random()
    other = space.draw(generator)
    genome = space.mixed(method, other, chances < k, generator.random(len(space.chains)) < k)
    return genome if limit is None else space.repair(genome, limit, generator)


def fair(space: Space, seed: int, number: int) -> str:
    """Draw `number` of a sequence in which every m draws hold each form of a gene of m forms once.

    So they do each of m lengths of a chain; a gene of it that stands has the form whose turn it is.
    """
    counts = [len(forms) for forms in space.standing] + [len(chain.lengths) for chain in space.chains]
    turns = _turns(counts, seed, number)
    letters = [forms[turn].letter for forms, turn in zip(space.standing, turns, strict=False)]
    lengths = zip(space.chains, turns[len(letters) :], strict=True)
    return space.cut(letters, [chain.lengths[turn] for chain, turn in lengths])


def _turns(counts: Sequence[int], seed: int, number: int) -> list[int]:
    """For each of these counts m a number below m, each of them once in m draws, in an order drawn for each."""
    turns = [0] * len(counts)
    for count in sorted(set(counts)):
        places = [place for place, each in enumerate(counts) if each == count]
        block, turn = divmod(number, count)
        orders = np.tile(np.arange(count), (len(places), 1))
        order = stream(seed, "fair", block * FORMS + count).permuted(orders, axis=1)  # (places, count)
        for place, choice in zip(places, order[:, turn], strict=True):
            turns[place] = int(choice)
    return turns
