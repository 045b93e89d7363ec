"""A campaign's row: new, or found with the same config."""

from __future__ import annotations

from db.errors import NameTaken, NotFound
from db.records import Campaign
from db.store import Store, open_store
from glora_search.settings import CampaignSettings, difference


def enrol(settings: CampaignSettings, store: Store) -> Campaign:
    """The campaign of this name. Raises NameTaken with the differences if it has another config."""
    known = enrolled(settings, store)
    return known or store.create_campaign(settings.name, settings.model_dump(mode="json"), settings.seed)


def looked_up(settings: CampaignSettings, db: str) -> Campaign | None:
    """The same, in a database that may not be there yet and is not created."""
    try:
        with open_store(db, create=False) as store:
            return enrolled(settings, store)
    except NotFound:
        return None


def enrolled(settings: CampaignSettings, store: Store) -> Campaign | None:
    """The same, without creating one."""
    try:
        known = store.campaign(settings.name)
    except NotFound:
        return None
    if lines := difference(known.config, settings.model_dump(mode="json")):
        raise NameTaken(
            f"The campaign {settings.name!r} exists with another config:\n  "
            + "\n  ".join(lines)
            + "\nPass another --name, or the same settings to resume it."
        )
    return known
