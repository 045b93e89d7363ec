"""A searched method's row: a campaign of its own, which trains, searches, chooses and opens the test set by itself."""

from __future__ import annotations

from contextlib import nullcontext

from db.records import Campaign
from db.store import open_store
from glora_search.campaign import run
from glora_search.comparison.deploying import deployed
from glora_search.comparison.family import Family
from glora_search.comparison.methods import Searched
from glora_search.comparison.outcome import Outcome, Scores
from glora_search.comparison.recipes import campaign_of
from glora_search.reopening import reopened
from supernet.deployment import Deployment
from supernet.numerics import Numerics, from_dict


def searched(family: Family, method: str, row: Searched) -> Outcome:
    """Carry the campaign to its end, from wherever it stands. Raises what `campaign.run` raises."""
    settings = row.settings(campaign_of(family.settings, method, family.settings.seed, family.limit, family.suite.kind))
    family.display.note(f"Campaign {settings.name}")
    found = run(settings, family.db, family.places, family.display, lambda _: nullcontext(family.pool))
    with open_store(family.db, create=False) as store:
        campaign, candidates = store.campaign(settings.name), store.candidates(settings.name)
    assert campaign.numerics is not None, "a finished campaign has computed"
    numerics = from_dict(dict(campaign.numerics))
    scored = sum(candidate.seconds or 0.0 for candidate in candidates) / settings.workers.count
    return Outcome(
        method,
        settings.seed,
        found["genome"],
        found["params"],
        family.examples(found["test_examples"]),
        family.splits(found["test_split"]),
        dict(campaign.numerics),
        Scores(
            settings.training.epochs,
            found["val_accuracy"],
            found["test_accuracy"],
            found["test_correct"],
            found["seconds"]["training"],
        ),
        # a search that was interrupted, or answered from what another has scored, took less in its last run
        search_seconds=max(found["seconds"]["search"], scored),
        candidates=len(candidates),
        limit=settings.search.max_parameters,
        deployment=_deployed(family, campaign, found["genome"], numerics),
        test_images=family.images(family.open_test()),  # which the campaign has opened
    )


def _deployed(family: Family, campaign: Campaign, genome: str, numerics: Numerics) -> Deployment | None:
    """Of the subnet that the campaign chose, with the supernet's weights."""
    if not family.suite.deployed:
        return None
    inputs, trained = reopened(campaign, family.places)
    return deployed(family, inputs, trained, genome, numerics)
