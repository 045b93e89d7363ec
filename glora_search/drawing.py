"""How a search draws what it has no parents for: uniformly, or as its supernet's training drew.

A supernet that was trained near a fixed method has learnt little about uniform draws: nearly all that it was taught is
said of that method and its neighbours. So with `first: trained` such a search begins with the method itself and draws
near it; under a limit that is too low for the method, with as much of it as fits. Elsewhere training drew uniformly,
and so does the search.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from glora_search.settings import CampaignSettings
from supernet.draws import near
from supernet.methods import centre_name, within
from supernet.space import Space


@dataclass(frozen=True)
class Method:
    """A fixed method of the field as a subnet."""

    name: str
    genome: str


@dataclass(frozen=True)
class Drawing:
    """Where genomes without parents come from."""

    draw: Callable[[np.random.Generator, int | None], str]  # under a limit of parameters
    fixed: tuple[str, ...] = ()  # what an evolution begins with, as far as it is under the limit


def uniform(space: Space) -> Drawing:
    """Every form of a gene as likely as the others, as far as the limit allows."""
    return Drawing(space.draw)


def drawing(space: Space, settings: CampaignSettings) -> Drawing:
    """As the settings say. Raises BadInput if the space cannot say the method that training kept to."""
    if settings.search.first != "trained" or (method := kept_near(space, settings)) is None:
        return uniform(space)
    return Drawing(partial(near, space, method.genome), (method.genome,))


def kept_near(space: Space, settings: CampaignSettings) -> Method | None:
    """The method that the supernet's training keeps near, if it keeps near one, as far as the search's limit allows.

    Raises as `drawing` does.
    """
    training = settings.training
    if training.draws != "near":
        return None
    name = centre_name(space, training.around)
    return Method(name, within(space, name, settings.search.max_parameters))
