"""list, status, candidates, show, diff: what the database knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from db.records import Campaign, Candidate
from db.store import Store, open_store
from glora_search.output import shown, write_rows, write_value
from supernet.errors import BadInput

if TYPE_CHECKING:
    from glora_search.settings import SearchSettings

STATUS = ("name", "state", "evaluated", "candidates", "failed", "best", "test_accuracy", "export")
CANDIDATES = ("id", "generation", "operator", "status", "params", "accuracy", "interval", "loss", "parents")


def list_campaigns(db: str, chosen: str) -> None:
    """Every campaign of the database."""
    with open_store(db, create=False) as store:
        write_rows([status_of(store, campaign) for campaign in store.campaigns()], STATUS, chosen)


def status(name: str, db: str, chosen: str) -> None:
    """One campaign: where it stands and what it found."""
    with open_store(db, create=False) as store:
        found = status_of(store, store.campaign(name))
    if chosen == "json":
        write_value(found)
        return
    shown_as = {key: _cell(value, key) for key, value in found.items()} if chosen == "table" else found
    write_rows([{"what": key, "value": value} for key, value in shown_as.items()], ("what", "value"), chosen)


def status_of(store: Store, campaign: Campaign) -> dict[str, Any]:
    """A campaign as plain data; what is not known yet is null."""
    from glora_search.settings import recalled  # pydantic, which the others do without

    try:
        search = recalled(campaign.config, campaign.name).search
    except BadInput:  # the config of a version with other settings
        search = None
    progress, report = store.progress(campaign.name, campaign.rank), campaign.report or {}
    evaluated = progress.completed + progress.failed + progress.raced
    return {
        "name": campaign.name,
        "state": str(campaign.state),
        "evaluated": evaluated,
        "candidates": _planned(store, campaign, search, evaluated + progress.proposed) if search else None,
        "raced": progress.raced,
        "failed": progress.failed,
        "generation": progress.generation,
        "best": progress.best.accuracy if progress.best else None,
        "best_id": progress.best.id if progress.best else None,
        "test_accuracy": report.get("test_accuracy"),
        "test_interval": report.get("test_interval"),
        "export": report.get("export"),
        "baselines": report.get("baselines"),
        "fingerprint": campaign.fingerprint,
        "error": campaign.error,
        "created_at": campaign.created_at.isoformat(),
        "updated_at": campaign.updated_at.isoformat(),
    }


def _planned(store: Store, campaign: Campaign, search: SearchSettings, there: int) -> int:
    """How many candidates the search will have, of which so many are there."""
    from glora_search.settings import candidates

    begun = store.candidates(campaign.name, where="operator = 'remembered'") if search.budget is not None else []
    return max(there, len(begun) + candidates(search, begun=bool(begun)))


def candidates(
    name: str, where: str | None, order_by: str | None, front: bool, limit: int | None, db: str, chosen: str
) -> None:
    """The campaign's candidates, filtered and ordered."""
    with open_store(db, create=False) as store:
        found = store.candidates(name, where, order_by, front, limit)
        examples = (store.campaign(name).report or {}).get("val_examples")
    rows = [candidate.as_dict() | _interval(candidate, examples) for candidate in found]
    write_rows(rows, CANDIDATES, chosen, every=[*(field.name for field in fields(Candidate)), "interval"])


def _interval(candidate: Candidate, examples: int | None) -> dict[str, Any]:
    """The 95% interval of a candidate's accuracy, which the report's number of validation examples gives."""
    if examples is None or candidate.accuracy is None:
        return {"interval": None}
    from glora_search.statistics import wilson  # numpy, which a list does without

    return {"interval": [round(bound, 4) for bound in wilson(candidate.accuracy, examples)]}


def show(name: str, candidate_id: int, db: str, chosen: str) -> None:
    """One candidate: its figures, and its forms by layer."""
    with open_store(db, create=False) as store:
        campaign, candidate = store.campaign(name), store.candidate(name, candidate_id)
    forms = forms_of(campaign, candidate)
    known = candidate.as_dict() | _interval(candidate, (campaign.report or {}).get("val_examples"))
    if chosen == "json":
        write_value(known | {"forms": forms})
        return
    facts = [{"what": key, "value": _cell(value, key)} for key, value in known.items()]
    if chosen == "table":
        write_rows(facts, ("what", "value"), chosen, title=f"{name}, candidate {candidate.id}")
    by_site = _by_site(forms)
    genes = list(dict.fromkeys(gene for row in by_site.values() for gene in row))
    rows = [{"site": site} | row for site, row in by_site.items()]
    write_rows(rows, ("site", *genes), chosen, title="forms")
    if chosen == "table":
        counts = {gene: Counter(row[gene] for row in by_site.values() if gene in row) for gene in genes}
        totals = [{"gene": gene} | dict(counter) for gene, counter in counts.items()]
        names = list(dict.fromkeys(form for counter in counts.values() for form in counter))
        write_rows(totals, ("gene", *names), chosen, title="how often each form was chosen")


def diff(name: str, one: int, other: int, db: str, chosen: str) -> None:
    """Two candidates side by side: figures, then the genes that differ."""
    with open_store(db, create=False) as store:
        campaign = store.campaign(name)
        left, right = store.candidate(name, one), store.candidate(name, other)
    mine, theirs = forms_of(campaign, left), forms_of(campaign, right)
    figures = ("params", "accuracy", "loss", "generation", "operator")
    rows = [{"what": what, str(one): getattr(left, what), str(other): getattr(right, what)} for what in figures]
    rows += [
        {"what": gene, str(one): mine[gene], str(other): theirs[gene]} for gene in mine if mine[gene] != theirs[gene]
    ]
    write_rows(rows, ("what", str(one), str(other)), chosen, title=f"{len(rows) - len(figures)} genes differ")


def forms_of(campaign: Campaign, candidate: Candidate) -> dict[str, str]:
    """Gene -> form, from the alphabets that the campaign keeps."""
    if campaign.genes is None:
        raise BadInput(f"The search of {campaign.name!r} has not begun: its genes are not known yet.")
    pairs = zip(campaign.genes, candidate.genome, strict=True)
    return {gene["name"]: gene["alphabet"][letter] for gene, letter in pairs}


def _by_site(forms: Mapping[str, str]) -> dict[str, dict[str, str]]:
    sites: dict[str, dict[str, str]] = {}
    for name, form in forms.items():
        site, _, gene = name.rpartition(".")
        sites.setdefault(site, {})[gene] = form
    return sites


def _cell(value: Any, name: str) -> str:
    """A nested value, such as the baselines, on lines of its own."""
    if isinstance(value, Mapping):
        return "\n".join(f"{key}: {_inline(inner)}" for key, inner in value.items())
    return shown(value, name)


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {shown(inner)}" for key, inner in value.items())
    return shown(value)
