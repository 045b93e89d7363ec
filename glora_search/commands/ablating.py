"""ablate: what each gene of a candidate is worth."""

from __future__ import annotations

import sys
from pathlib import Path

from db.records import EvaluationKey
from db.store import open_store
from glora_search.anatomy.ablation import Ablated, ablated, inside, scored, variants
from glora_search.anatomy.deviations import SIGNIFICANT, holm
from glora_search.anatomy.survivors import genes_of
from glora_search.display import terminal
from glora_search.output import write_rows
from glora_search.places import Places
from glora_search.reopening import reopened, scored_candidate
from supernet.evaluation import ScoringTask
from supernet.numerics import from_dict
from workers.pools import open_pool

COLUMNS = ("gene", "form", "instead", "saved", "accuracy_without", "loss_without", "change", "p")


def ablate(name: str, candidate_id: int | None, pattern: str, every: bool, db: str, runs: Path, chosen: str) -> None:
    """Score a candidate without each of its genes, as the campaign scored it; the campaign stays as it is."""
    display = terminal(sys.stderr)
    with open_store(db, create=False) as store:
        campaign = store.campaign(name)
        genes = genes_of(campaign)
        candidate = scored_candidate(store, campaign, candidate_id)
        varied = variants(genes, candidate.genome, pattern, every)
        inputs, trained = reopened(campaign, Places(runs))
        varied = inside(inputs.space, varied, pattern)
        split, numerics = inputs.data.val, from_dict(dict(campaign.numerics or {}))
        task = ScoringTask(inputs.backbone, inputs.settings.space, trained, split, numerics)
        key = EvaluationKey(trained.fingerprint, split.key(), numerics.key())
        genomes = [candidate.genome, *(each.genome for each in varied)]
        with (
            open_pool(inputs.settings.workers) as pool,
            pool.evaluator(task) as evaluator,
            display.bar("ablate", len(genomes)) as advance,
        ):
            outcomes = scored(genomes, name, key, store, evaluator, lambda done: advance(done, ""))
    found = ablated(varied, outcomes, candidate.genome, inputs.space.parameters, len(split))
    title = f"{name}, candidate {candidate.id}: accuracy {found[0].accuracy:.4f}, loss {found[0].loss:.4f} as it is"
    write_rows([each.as_dict() for each in found], COLUMNS, chosen, title)
    if chosen == "table":
        print(_said(found, len(split)))


def _said(found: list[Ablated], examples: int) -> str:
    """What the table comes down to."""
    p = [each.p for each in found if each.p is not None]
    certain = sum(each < SIGNIFICANT for each in holm(p))
    helping = sum((each.change or 0.0) > 0 for each in found)
    return (
        f"Of {len(found)} changes {helping} raise the loss. The answers to {examples:,} validation images change "
        f"significantly (McNemar p < {SIGNIFICANT} after Holm's correction) with {certain} of them."
    )
