"""One search, from config to export. Each station is a function of values; this file wires them, and nothing else does.

config - inputs - pool - train, or find by recipe - search - finalists - test, once - merge - export
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from db.records import Campaign, State
from db.store import Store, open_store
from glora_search.conclusion import conclude
from glora_search.display import Display
from glora_search.enrolment import enrol, looked_up
from glora_search.inputs import Inputs, prepare
from glora_search.picture import draw
from glora_search.places import Places
from glora_search.plan import cost, expectation
from glora_search.searching import search
from glora_search.settings import CampaignSettings
from glora_search.shared_weights import recipe_of, train_or_find, watched
from supernet.numerics import Numerics, from_dict
from workers.pools import open_pool
from workers.trainer import Pool


class Paused(Exception):
    """The campaign was interrupted; what it recorded is kept, and it can be resumed."""


def run(settings: CampaignSettings, db: str, places: Places, display: Display) -> dict[str, Any]:
    """Carry a campaign to its end, from wherever it stands, and return its report.

    Raises BadInput, Infeasible or NameTaken before anything is written (a new database too is made after all that),
    and Paused when interrupted.
    """
    known = looked_up(settings, db)
    if known is not None and known.state == State.FINISHED and known.report is not None:
        return dict(known.report)
    places.require_writable()
    inputs = prepare(settings)
    with open_pool(settings.workers) as pool, open_store(db) as store:
        campaign = enrol(settings, store)
        with _in_state(store, settings.name):
            return _stations(inputs, campaign, pool, store, places, display)


def _stations(
    inputs: Inputs, campaign: Campaign, pool: Pool, store: Store, places: Places, display: Display
) -> dict[str, Any]:
    name = campaign.name
    numerics = _numerics(campaign, pool, display)
    if store.supernet(recipe_of(inputs)) is None:
        display.note(expectation(inputs, cost(inputs, numerics, pool)))
    store.set_state(name, State.TRAINING)
    trained = train_or_find(inputs, numerics, pool, store, places, display)
    probe = watched(pool, inputs.probe(numerics), display, "train linear probe")
    store.set_state(name, State.SEARCHING)
    seconds = {"training": trained.seconds, "search": search(inputs, trained, numerics, pool, store, display)}
    store.set_state(name, State.REPORTING)
    found = conclude(inputs, trained, probe, numerics, pool, store, places, display, seconds)
    completed = store.candidates(name, where="status = 'completed'")
    picture = draw(name, found, completed, store.candidates(name, front=True, order_by="params"), places.picture(name))
    found |= {"picture": str(picture) if picture else None}
    store.set_report(name, found)
    store.set_state(name, State.FINISHED)
    return found


def _numerics(campaign: Campaign, pool: Pool, display: Display) -> Numerics:
    """The campaign's own, or, at its first launch, those that a worker's probe chooses."""
    if campaign.numerics is not None:
        return from_dict(dict(campaign.numerics))
    numerics, why = pool.probe()
    display.note(f"Numerics: {why}.")
    return numerics


@contextmanager
def _in_state(store: Store, name: str) -> Iterator[None]:
    """Whatever ends the campaign early is written to its row."""
    try:
        yield
    except KeyboardInterrupt:
        store.set_state(name, State.PAUSED)
        raise Paused(name) from None
    except Exception as error:
        store.set_state(name, State.FAILED, error=str(error) or type(error).__name__)
        raise
