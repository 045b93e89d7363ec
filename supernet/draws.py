"""Which subnets step t of a training draws: functions of (seed, t).

| draws      | what                                                                                       | source  |
|------------|--------------------------------------------------------------------------------------------|---------|
| `uniform`  | every form of a gene equally likely                                                        | GLoRA   |
| `fair`     | m draws in a row hold each of a gene's m forms once, in an order drawn for each gene       | FairNAS |
| `sandwich` | the first of the step's subnets is the largest, the second the smallest, others uniform    | BigNAS  |

FairNAS: Chu et al., arXiv 1907.01845, strict fairness; BigNAS: Yu et al., arXiv 2003.11142.
"""

from __future__ import annotations

import numpy as np

from supernet.randomness import stream
from supernet.settings import TrainingSettings
from supernet.space import Space

FORMS = 1000  # more than a gene has


def genomes(space: Space, settings: TrainingSettings, seed: int, t: int) -> list[str]:
    """The step's subnets, `settings.subnets` of them."""
    count = settings.subnets
    if settings.draws == "fair":
        return [fair(space, seed, t * count + number) for number in range(count)]
    generator = stream(seed, "forms", t)
    ends = [space.largest, space.smallest][:count] if settings.draws == "sandwich" else []
    return ends + [space.draw(generator) for _ in range(count - len(ends))]


def fair(space: Space, seed: int, number: int) -> str:
    """Draw `number` of a sequence in which every m draws hold each form of a gene of m forms once."""
    letters = [""] * len(space.genes)
    for forms in sorted({len(gene.forms) for gene in space.genes}):
        places = [place for place, gene in enumerate(space.genes) if len(gene.forms) == forms]
        block, turn = divmod(number, forms)
        orders = np.tile(np.arange(forms), (len(places), 1))
        order = stream(seed, "fair", block * FORMS + forms).permuted(orders, axis=1)  # (genes, forms)
        for place, choice in zip(places, order[:, turn], strict=True):
            letters[place] = space.genes[place].forms[choice].letter
    return "".join(letters)
