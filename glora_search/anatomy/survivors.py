"""The candidates that an explanation looks at: the best, the front, and the draws that a search began with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from db.records import Campaign, Candidate, Gene, Status
from db.store import Store
from glora_search.settings import raced_for, recalled
from supernet.errors import BadInput

DRAWN = ("random", "stratified")  # operators


@dataclass(frozen=True)
class Survivors:
    """What a search found, beside all that it tried."""

    name: str
    genes: tuple[Gene, ...]  # in a genome's order
    candidates: tuple[Candidate, ...]  # all that were proposed, by id
    top: tuple[Candidate, ...]  # best first
    front: tuple[Candidate, ...]  # fewest parameters first
    method: str | None = None  # the genome that the draws are near, if they are near one that is known

    @property
    def draws(self) -> tuple[Candidate, ...]:
        """Drawn at random, whatever came of them: what chance alone proposes, under the campaign's limit."""
        return tuple(each for each in self.candidates if each.operator in DRAWN)

    @property
    def groups(self) -> dict[str, tuple[Candidate, ...]]:
        return {"top": self.top, "front": self.front}


def survivors(store: Store, name: str, top: int) -> Survivors:
    """Of a campaign as it stands. Raises BadInput while there is nothing to compare."""
    campaign = store.campaign(name)
    genes, candidates = genes_of(campaign), store.candidates(name)
    scored = [each for each in candidates if each.status == Status.COMPLETED]
    ended = len(scored) + sum(each.status == Status.RACED for each in candidates)
    if len(scored) < top or ended <= top:
        raise BadInput(
            f"The campaign {name!r} has {ended} candidates that ended, {len(scored)} of them fully scored: the best "
            f"{top} cannot be told from the rest. Pass a smaller --top, or wait for more."
        )
    _require_certain(campaign, top, raced=ended - len(scored))
    best = ranked(scored, campaign.rank)
    front = store.candidates(name, front=True, order_by="params")
    return Survivors(name, genes, tuple(candidates), tuple(best[:top]), tuple(front), method_of(campaign, candidates))


def _require_certain(campaign: Campaign, top: int, raced: int) -> None:
    """Raises BadInput if better ones than some of the best so many were perhaps dropped by racing."""
    if raced and top > (certain := raced_for(recalled(campaign.config, campaign.name).search)):
        raise BadInput(
            f"Racing dropped {raced} candidates of {campaign.name!r} before they were scored: its best {certain} are "
            f"certain, its best {top} are not. Pass --top {certain}, or launch the config under another --name with "
            "--set search.racing=false, which trains nothing."
        )


def method_of(campaign: Campaign, candidates: Sequence[Candidate]) -> str | None:
    """The genome that the search drew near: what an evolution began with, or what by the report training kept near.

    None where every form was drawn alike, and in a random search until its report is written.
    """
    begun = next((each.genome for each in candidates if each.operator == "fixed"), None)
    kept = (campaign.report or {}).get("method")
    if begun or not kept or campaign.config.get("search", {}).get("first") != "trained":
        return begun
    return str(kept["genome"])


def genes_of(campaign: Campaign) -> tuple[Gene, ...]:
    """What genomes mean. Raises BadInput before the search has begun."""
    if campaign.genes is None:
        raise BadInput(
            f"The search of {campaign.name!r} has not begun: its genes are not known yet. "
            f"See how it stands with: glora-search status {campaign.name}"
        )
    return campaign.genes


def ranked(scored: Sequence[Candidate], rank: str = "accuracy") -> list[Candidate]:
    """Best first, as the search ranks: by `loss` or by `accuracy`, then by the other, then the earlier one."""

    def place(each: Candidate) -> tuple[float, float, int]:
        loss, mistakes = each.loss or 0.0, 1 - (each.accuracy or 0.0)
        return (loss, mistakes, each.id) if rank == "loss" else (mistakes, loss, each.id)

    return sorted(scored, key=place)
