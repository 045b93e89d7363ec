"""One search, from config to export. Each station is a function of values; this file wires them, and nothing else does.

config - inputs - pool - train, or find by recipe - search - finalists - test, once - merge - export
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

from db.errors import LeaseLost, StoreError
from db.records import Campaign, State
from db.store import Store, open_store
from glora_search.chosen_numerics import choose_numerics, earlier_numerics
from glora_search.conclusion import conclude
from glora_search.control import Cancelled, Control, Paused
from glora_search.crash_points import reached
from glora_search.display import Display
from glora_search.driving import Clock, driving, utc
from glora_search.enrolment import enrol, keep_export, looked_up, require_its_supernet
from glora_search.inputs import Inputs, prepare, require_trainable, untrained
from glora_search.interrupts import interrupts
from glora_search.picture import draw
from glora_search.places import Places
from glora_search.plan import cost, expectation
from glora_search.searching import search
from glora_search.settings import CampaignSettings
from glora_search.shared_weights import recipe_of, train_or_find, watched
from glora_search.trouble import trouble
from glora_search.warm_start import require_supernet
from supernet.numerics import Numerics, from_dict
from supernet.trained import Trained
from workers.pools import open_pool
from workers.settings import WorkerSettings
from workers.trainer import Pool

Pools = Callable[[WorkerSettings], AbstractContextManager[Pool]]


def run(
    settings: CampaignSettings,
    db: str,
    places: Places,
    display: Display,
    pools: Pools = open_pool,
    clock: Clock = utc,
) -> dict[str, Any]:
    """Carry a campaign to its end, from wherever it stands, and return its report.

    Raises BadInput, Infeasible or NameTaken before anything is written (a new database too is made after all that);
    Held if another driver runs it; Paused when interrupted, asked to pause, or stopped by a disk or a
    database that cannot be written (its `reason`); Cancelled when asked to.
    """
    known = looked_up(settings, db)
    if known is not None and known.state == State.FINISHED and known.report is not None:
        return dict(known.report)
    places.require_writable()
    places.require_export(settings.name, settings.export.to)
    inputs = prepare(settings)
    if known is None:
        require_trainable(settings.training, len(inputs.data.train))
    with pools(settings.workers) as pool, open_store(db) as store:
        require_supernet(settings, recipe_of(inputs), store)
        campaign = enrol(settings, store)
        require_its_supernet(campaign, recipe_of(inputs), store)
        reached("enrolled")
        with driving(store, settings.name, clock) as fenced, _in_state(fenced, settings.name):
            for done in ("pause", "cancel"):  # asked of an earlier run; a stop holds until the report is made
                fenced.clear_request(settings.name, only=done)
            fenced.set_state(settings.name, State.TRAINING)
            keep_export(settings, campaign, fenced)
            reached("leased")
            control = Control(fenced, settings.name)
            with interrupts(control, display):
                return _stations(inputs, campaign, pool, fenced, places, display, control)


def _stations(
    inputs: Inputs,
    campaign: Campaign,
    pool: Pool,
    store: Store,
    places: Places,
    display: Display,
    control: Control,
) -> dict[str, Any]:
    name = campaign.name
    numerics = _numerics(inputs, campaign, pool, store, display)
    reached("probed")
    probe, trains = None, store.supernet(recipe_of(inputs)) is None
    if trains:
        display.note(expectation(inputs, cost(inputs, numerics, pool)))
        if warning := untrained(inputs.settings.training, len(inputs.data.train)):
            display.note(warning)
    trained = train_or_find(inputs, numerics, pool, store, places, display, control)
    if trains:  # the pool has a worker for training now, else one for scoring
        probe = _linear_probe(inputs, numerics, pool, display, control)
    store.set_state(name, State.SEARCHING)
    searching = search(inputs, trained, numerics, pool, store, display, control)
    seconds = {"training": trained.seconds, "search": searching}
    store.set_state(name, State.REPORTING)
    if probe is None:
        probe = _linear_probe(inputs, numerics, pool, display, control)
    found = conclude(inputs, trained, probe, numerics, pool, store, places, display, seconds, control)
    found |= {"picture": _picture(name, found, store, places, display)}
    store.set_report(name, found)
    reached("finished")
    store.clear_request(name)
    return found


def _linear_probe(inputs: Inputs, numerics: Numerics, pool: Pool, display: Display, control: Control) -> Trained:
    """Of the report. Raises Paused or Cancelled if that was asked."""
    probe = watched(pool, inputs.probe(numerics), display, "train linear probe", control)
    reached("probe-trained")
    return probe


def _picture(name: str, found: dict[str, Any], store: Store, places: Places, display: Display) -> str | None:
    """Drawn if it can be: what goes wrong with fonts or disks must not cost a campaign its report."""
    ended = store.candidates(name, where="status = 'completed' or status = 'raced'")
    front = store.candidates(name, front=True, order_by="params")
    try:
        picture = draw(name, found, ended, front, places.picture(name))
    except Exception as error:
        display.note(f"The picture could not be drawn: {error}")
        return None
    return str(picture) if picture else None


def _numerics(inputs: Inputs, campaign: Campaign, pool: Pool, store: Store, display: Display) -> Numerics:
    """The campaign's own, or, at its first launch, those of one before it or of a worker's probes: they stay."""
    if campaign.numerics is not None:
        return from_dict(dict(campaign.numerics))
    numerics, why = earlier_numerics(inputs, store) or choose_numerics(inputs, pool)
    display.note(f"Numerics: {why}.")
    return from_dict(store.keep_numerics(campaign.name, numerics.as_dict()))


@contextmanager
def _in_state(store: Store, name: str) -> Iterator[None]:
    """Whatever ends the campaign early is written to its row, if the store still takes it."""

    def stands(state: State, error: str | None = None) -> None:
        with suppress(StoreError):  # a store that is gone must not hide why the campaign ended
            store.set_state(name, state, error)

    try:
        yield
    except (KeyboardInterrupt, Paused):
        stands(State.PAUSED)
        raise Paused(name) from None
    except Cancelled:
        stands(State.CANCELLED)
        raise
    except LeaseLost:
        raise  # another driver has the campaign, and with it the right to say how it stands
    except Exception as error:
        if reason := trouble(error):
            stands(State.PAUSED, reason)
            raise Paused(name, reason) from error
        stands(State.FAILED, str(error) or type(error).__name__)
        raise
