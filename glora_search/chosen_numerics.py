"""How a campaign computes: as one before it on the same supernet and images did, else as a worker's probes choose.

Numerics are part of every evaluation's key, so a campaign that computes as another did starts from all that one found.
"""

from __future__ import annotations

from db.store import Store
from glora_search.display import Silent
from glora_search.inputs import Inputs
from glora_search.shared_weights import recipe_of, watched
from supernet.numerics import Numerics, device_kind, from_dict
from supernet.speed import SpeedTask
from workers.threads import threads_per_worker
from workers.trainer import Pool

Choice = tuple[Numerics, str]  # and a sentence that says why


def choose_numerics(inputs: Inputs, pool: Pool) -> Choice:
    """What a worker offers, refined by timing the backbone on one."""
    offered, why = pool.probe()
    task = SpeedTask(inputs.backbone, offered, len(inputs.data.val), inputs.settings.search.racing)
    found = watched(pool, task, Silent(), "speed probe")
    return found.numerics, f"{why}; {found.why}"


def earlier_numerics(inputs: Inputs, store: Store) -> Choice | None:
    """Those of the latest campaign that workers like this one's searched; none on a cluster, whose machines differ."""
    settings, trained = inputs.settings.workers, store.supernet(recipe_of(inputs))
    if trained is None or settings.address is not None:
        return None
    here = device_kind(gpu=settings.gpus_per_worker > 0), threads_per_worker(settings)
    searched = trained.fingerprint, inputs.data.val.key()
    for campaign in reversed(store.campaigns()):
        if campaign.numerics is not None and (campaign.fingerprint, campaign.split) == searched:
            found = from_dict(dict(campaign.numerics))
            if (found.device_kind, found.threads_per_worker) == here:
                ways = f"{found.precision}, {found.attention} attention, {found.chunk} examples a forward"
                return found, f"{ways}, as in campaign {campaign.name} on the same supernet"
    return None
