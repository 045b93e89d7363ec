"""A campaign's row: new, or found with the same config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from db.errors import NameTaken, NotFound
from db.records import Campaign
from db.store import Store, open_store
from glora_search.settings import CampaignSettings, difference

HARMLESS = ("count", "address", "timeout", "attempts")  # of the workers' settings


def enrol(settings: CampaignSettings, store: Store) -> Campaign:
    """The campaign of this name. Raises NameTaken with the differences if it has another config."""
    known = enrolled(settings, store)
    return known or store.create_campaign(settings.name, settings.model_dump(mode="json"), settings.seed)


def looked_up(settings: CampaignSettings, db: str) -> Campaign | None:
    """The campaign of this name in a database that may not be there, and is not created. Raises NameTaken."""
    try:
        with open_store(db, create=False) as store:
            return enrolled(settings, store)
    except NotFound:
        return None


def enrolled(settings: CampaignSettings, store: Store) -> Campaign | None:
    """The campaign of this name, or None. Raises NameTaken with the differences if it has another config."""
    try:
        known = store.campaign(settings.name)
    except NotFound:
        return None
    if lines := difference(_decisive(known.config), _decisive(settings.model_dump(mode="json"))):
        raise NameTaken(
            f"The campaign {settings.name!r} exists with another config:\n  "
            + "\n  ".join(lines)
            + "\nPass another --name, or the same settings to resume it."
        )
    return known


def _decisive(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config without what cannot change a number: how many workers, where, and how patient one is with them."""
    workers = {key: value for key, value in config["workers"].items() if key not in HARMLESS}
    return {**config, "workers": workers}
