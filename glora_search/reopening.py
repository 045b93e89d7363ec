"""A stored campaign's inputs and supernet, loaded again: for what is done with its candidates afterwards."""

from __future__ import annotations

from db.records import Campaign, Candidate, Status
from db.store import Store
from glora_search.inputs import Inputs, prepare
from glora_search.places import Places
from glora_search.settings import recalled
from glora_search.shared_weights import recipe_of
from supernet.checkpoint import load_trained
from supernet.errors import BadInput, Corrupt
from supernet.trained import Trained


def reopened(campaign: Campaign, places: Places) -> tuple[Inputs, Trained]:
    """Raises Missing if data, weights or supernet are gone, Corrupt if it is not the one that was searched."""
    inputs = prepare(recalled(campaign.config, campaign.name))
    trained, _ = load_trained(places.supernet(recipe_of(inputs)))
    if trained.fingerprint != campaign.fingerprint:
        raise Corrupt(
            f"The supernet of {campaign.name} was trained anew since its candidates were scored: launch it again."
        )
    return inputs, trained


def scored_candidate(store: Store, campaign: Campaign, number: int | None) -> Candidate:
    """The candidate of this id, or the chosen one. Raises NotFound; BadInput if it has no figures."""
    candidate = store.candidate(campaign.name, _chosen(store, campaign) if number is None else number)
    if candidate.status != Status.COMPLETED:
        raise BadInput(f"Candidate {candidate.id} of {campaign.name} is {candidate.status}: only scored ones will do.")
    return candidate


def _chosen(store: Store, campaign: Campaign) -> int:
    """The report's choice, or the best so far."""
    if campaign.report is not None:
        return int(campaign.report["chosen"])
    best = store.progress(campaign.name, campaign.rank).best
    if best is None or best.status != Status.COMPLETED:
        raise BadInput(f"The campaign {campaign.name!r} has no scored candidate yet.")
    return best.id
