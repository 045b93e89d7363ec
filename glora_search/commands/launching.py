"""launch, resume, plan."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from db.errors import NameTaken, StoreError
from db.records import State
from db.store import open_store
from glora_search.campaign import run
from glora_search.chosen_numerics import choose_numerics
from glora_search.commands.again import options
from glora_search.commands.summary import show_summary
from glora_search.control import Cancelled, Paused
from glora_search.display import terminal
from glora_search.exits import INTERRUPTED, leave, terminate_as_interrupt
from glora_search.inputs import prepare, require_trainable
from glora_search.output import write_value
from glora_search.places import Places
from glora_search.plan import cost, describe
from glora_search.settings import CampaignSettings, read_config, recalled
from workers.pools import open_pool


def launch(config: Path, name: str | None, overrides: Sequence[str], db: str, runs: Path, chosen: str) -> None:
    """Carry the campaign of a config file to its end; again with the same config, go on where it stands."""
    _carry(read_config(config, overrides, name), db, runs, chosen)


def resume(name: str, db: str, runs: Path, chosen: str) -> None:
    """Go on with a campaign under the config that the database keeps."""
    with open_store(db, create=False) as store:
        settings = recalled(store.campaign(name).config, name)
    _carry(settings, db, runs, chosen)


def plan(config: Path, name: str | None, overrides: Sequence[str]) -> None:
    """Print what a campaign would do and take; change nothing."""
    inputs = prepare(read_config(config, overrides, name))
    require_trainable(inputs.settings.training, len(inputs.data.train))
    with open_pool(inputs.settings.workers) as pool:
        numerics, why = choose_numerics(inputs, pool)
        write_value(describe(inputs, cost(inputs, numerics, pool), why))


def _carry(settings: CampaignSettings, db: str, runs: Path, chosen: str) -> None:
    terminate_as_interrupt()
    display = terminal(sys.stderr)
    again = f"glora-search resume {settings.name}{options(db, runs)}"
    try:
        report = run(settings, db, Places(runs), display)
    except Paused as paused:
        kept = "Paused; what was recorded is kept."
        mended = f"{paused.reason}\n{kept} Once that is mended, go on with:" if paused.reason else f"{kept} Go on with:"
        leave(f"{mended}\n  {again}", INTERRUPTED)
    except Cancelled:
        leave(f"Cancelled; what was recorded is kept. Should it go on after all:\n  {again}", INTERRUPTED)
    except KeyboardInterrupt:  # before the campaign ran, or after it
        if _state(db, settings.name) is None:
            raise
        leave(f"Interrupted; what was recorded is kept. Go on with:\n  {again}", INTERRUPTED)
    except NameTaken:  # another campaign's failure is not this one's
        raise
    except Exception:
        if _state(db, settings.name) == State.FAILED:  # what failed before it ran left nothing to resume
            display.note(f"The campaign stopped early; what was recorded is kept. Once mended, go on with:\n  {again}")
        raise
    show_summary(settings.name, report, chosen, options(db, runs))


def _state(db: str, name: str) -> State | None:
    """How the campaign stands, if it got as far as its row."""
    try:
        with open_store(db, create=False) as store:
            return store.campaign(name).state
    except StoreError:
        return None
