"""A campaign's row: new, or found with the same config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from db.errors import NameTaken, NotFound
from db.records import Campaign
from db.store import Store, open_store
from glora_search.settings import CampaignSettings, difference, recalled
from supernet.errors import BadInput

# What cannot change a number: how many workers, where, how patient one is with them, and whom racing spares the bother.
HARMLESS = {"workers": ("count", "address", "timeout", "attempts"), "search": ("racing", "lag")}
UNTIL_REPORTED = {"export": ("to",)}  # nor is anything exported before


def enrol(settings: CampaignSettings, store: Store) -> Campaign:
    """The campaign of this name. Raises NameTaken with the differences if it has another config."""
    known = enrolled(settings, store)
    return known or store.create_campaign(settings.name, settings.model_dump(mode="json"), settings.seed)


def keep_export(settings: CampaignSettings, campaign: Campaign, store: Store) -> None:
    """Remember where the export goes, if that is elsewhere now: for `resume`, and for a launch after the end."""
    export = settings.export.model_dump(mode="json")
    if campaign.config.get("export") != export:
        store.set_config(campaign.name, {**campaign.config, "export": export})


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
    free = HARMLESS if known.report else HARMLESS | UNTIL_REPORTED
    if lines := difference(_decisive(recalled(known.config, known.name), free), _decisive(settings, free)):
        raise NameTaken(
            f"The campaign {settings.name!r} exists with another config:\n  "
            + "\n  ".join(lines)
            + f"\nPass another --name, or the same settings to resume it, as `glora-search resume {known.name}` does."
        )
    return known


def require_its_supernet(campaign: Campaign, recipe: str, store: Store) -> None:
    """Raises BadInput if the campaign began to search a supernet that this version would train anew."""
    if campaign.fingerprint is not None and store.supernet(recipe) is None:
        raise BadInput(
            f"The campaign {campaign.name!r} searched a supernet that another version of glora-search trained; this "
            "version would train another one. Finish it with that version, or launch under another --name."
        )


def differences(before: CampaignSettings, after: CampaignSettings) -> list[str]:
    """`a.b: old -> new` for each setting that could change a number and differs."""
    return difference(_decisive(before), _decisive(after))


def _decisive(settings: CampaignSettings, free: Mapping[str, Sequence[str]] = HARMLESS) -> dict[str, Any]:
    """The config without what may differ."""
    config = settings.model_dump(mode="json")
    return config | {
        section: {key: value for key, value in config[section].items() if key not in keys}
        for section, keys in free.items()
    }
