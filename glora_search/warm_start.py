"""A search under a budget starts from everything that is known of its supernet; without one, from the beginning.

What is known grows while other campaigns run, so the start is taken once: its candidates are rows of generation 0 with
the operator `remembered`, and a replay reads them there.
"""

from __future__ import annotations

from db.records import EvaluationKey
from db.store import Store
from glora_search.settings import CampaignSettings
from supernet.errors import BadInput
from supernet.space import Space

OPERATOR = "remembered"


def require_supernet(settings: CampaignSettings, recipe: str, store: Store) -> None:
    """Raises BadInput if nothing new may be scored and there is no supernet of which anything could be known."""
    if settings.search.budget == 0 and store.supernet(recipe) is None:
        raise BadInput(_nothing("no supernet was trained from this config's recipe"))


def start(settings: CampaignSettings, space: Space, key: EvaluationKey, store: Store) -> list[str]:
    """Genomes that generation 0 begins with, best first; none without a budget, or where nothing is known.

    Raises BadInput where nothing is known and nothing new may be scored.
    """
    if settings.search.budget is None:
        return []
    progress = store.progress(settings.name)
    if progress.generation is not None:
        return [each.genome for each in store.candidates(settings.name, where=f"operator = '{OPERATOR}'")]
    limit = settings.search.max_parameters
    known = store.remembered(key.fingerprint, key.split, key.numerics)
    genomes = [genome for genome, _ in known if limit is None or space.parameters(genome) <= limit]
    if not genomes and settings.search.budget == 0:
        few = "" if not known else f"; of {len(known)} subnets none has at most {limit:,} parameters"
        raise BadInput(_nothing(f"no subnet of its supernet was scored on these validation images{few}"))
    return genomes


def _nothing(why: str) -> str:
    return f"search.budget is 0, so only what is known can be searched, but {why}. Launch without a budget first."
