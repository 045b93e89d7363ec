"""How a campaign computes: as one before it on the same supernet and images did, else as a worker's probes choose.

Numerics are part of every evaluation's key, so a campaign that computes as another did starts from all that one found.
"""

from __future__ import annotations

from dataclasses import replace

from db.records import Campaign
from db.store import Store
from glora_search.display import Silent
from glora_search.inputs import Inputs
from glora_search.shared_weights import recipe_of, watched
from supernet.numerics import Numerics, from_dict, gpus_left_idle, probe
from supernet.speed import SpeedTask
from workers.threads import threads_per_worker
from workers.trainer import Pool

Choice = tuple[Numerics, str]  # and a sentence that says why


def choose_numerics(inputs: Inputs, pool: Pool) -> Choice:
    """What a worker offers, refined by timing the backbone on one."""
    offered, why = pool.probe()
    task = SpeedTask(inputs.backbone, offered, len(inputs.data.val), inputs.settings.search.racing)
    found = watched(pool, task, Silent(), "speed probe")
    workers = inputs.settings.workers
    idle = gpus_left_idle(workers.gpus_per_worker) if workers.address is None else ""  # of a cluster's it knows nothing
    return found.numerics, f"{why}; {found.why}{idle}"


def earlier_numerics(inputs: Inputs, store: Store) -> Choice | None:
    """Those of the latest campaign that raced or did not as this one does, on CPUs of this machine; else none.

    Of a cluster's machines, or of the GPU that a worker will hold, this process knows nothing.
    """
    settings, workers = inputs.settings, inputs.settings.workers
    trained = store.supernet(recipe_of(inputs))
    if trained is None or workers.address is not None or workers.gpus_per_worker:
        return None
    here, _ = probe(threads_per_worker(workers))
    like = trained.fingerprint, inputs.data.val.key(), settings.search.racing
    for campaign in reversed(store.campaigns()):
        if campaign.numerics is None or (campaign.fingerprint, campaign.split, _raced(campaign)) != like:
            continue
        found = from_dict(dict(campaign.numerics))
        chosen = replace(here, attention=found.attention, chunk=found.chunk)
        if found in (chosen, replace(chosen, kernels="timm")):  # which all processes have
            ways = f"{found.precision}, {found.attention} attention, {found.chunk} examples a forward"
            return found, f"{ways}, as in campaign {campaign.name} on the same supernet"
    return None


def _raced(campaign: Campaign) -> bool:
    """Whether its candidates were; those of a version without racing were not."""
    return bool(campaign.config["search"].get("racing", False))
