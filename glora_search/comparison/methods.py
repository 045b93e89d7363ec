"""The rows of a comparison as a table: the name of a method, and how its subnet comes about.

| kind       | its subnet                                                                               |
|------------|------------------------------------------------------------------------------------------|
| `Probed`   | the backbone as it is, with a head of its own                                            |
| `Fixed`    | one genome, known beforehand, trained alone                                              |
| `Searched` | chosen by a campaign of its own                                                          |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from glora_search.comparison.recipes import at_random, reference, unchanged, whole
from glora_search.settings import CampaignSettings
from supernet.methods import SCALED_LORA, fixed_genome, within
from supernet.randomness import stream
from supernet.settings import SpaceSettings
from supernet.space import Space

OURS, LIMIT = "ours", "lora"  # what the others are compared with, and whose size nobody's search may exceed
DRAWS = 101  # of which the one of median size is `mean_size`


@dataclass(frozen=True)
class Probed:
    """Linear probes of several learning rates, of which validation keeps one."""


@dataclass(frozen=True)
class Fixed:
    """A genome of a space, which may differ from the one that is searched."""

    genome: Callable[[Space, int, int | None], str]  # (space, seed, parameters that ours may have)
    space: Callable[[SpaceSettings], SpaceSettings]
    rate: float = 1.0  # of the config's learning rates
    source: str = ""  # of another rate


@dataclass(frozen=True)
class Searched:
    """A campaign whose settings differ from the config's."""

    settings: Callable[[CampaignSettings], CampaignSettings]


def named(method: str, space: Space, seed: int, limit: int | None = None) -> str:
    """A fixed method's genome, for any seed and whatever ours may have."""
    return fixed_genome(space, method)


def fitting(method: str, space: Space, seed: int, limit: int | None = None) -> str:
    """What of a fixed method fits under ours' limit."""
    return within(space, method, limit)


def of_mean_size(space: Space, seed: int, limit: int | None = None) -> str:
    """Of DRAWS uniform draws the one of median size."""
    draws = [space.draw(stream(seed, "baseline", number)) for number in range(DRAWS)]
    return sorted(draws, key=space.parameters)[DRAWS // 2]


def as_searched(space: SpaceSettings) -> SpaceSettings:
    """The space that is searched."""
    return space


Method = Probed | Fixed | Searched

METHODS: Mapping[str, Method] = {
    "linear_probe": Probed(),
    "bias_of_linears": Fixed(partial(named, "bias_of_linears"), whole),
    "lora": Fixed(partial(named, LIMIT), whole),
    "ssf": Fixed(partial(named, "ssf"), whole),
    "largest": Fixed(partial(named, "largest"), as_searched),
    "mean_size": Fixed(of_mean_size, as_searched),
    "random": Searched(at_random),
    "paper": Searched(reference),
    OURS: Searched(unchanged),
}

# rows that come when they are named: what the search begins with, to tell what the search itself is worth
ASKED: Mapping[str, Method] = {SCALED_LORA: Fixed(partial(fitting, SCALED_LORA), whole)}
