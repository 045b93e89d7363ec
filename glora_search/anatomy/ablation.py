"""What one gene is worth: the candidate scored with that gene alone in another form, on the same shared weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

from db.records import EvaluationKey, Gene, Outcome, Status
from db.store import Store
from glora_search.anatomy.costs import FREE
from glora_search.anatomy.loci import form_of
from glora_search.memory import key_of, recorded
from glora_search.statistics import mcnemar
from supernet.errors import BadInput
from supernet.space import Space
from workers.evaluator import Evaluator


@dataclass(frozen=True)
class Variant:
    """A genome with one gene changed."""

    gene: str
    form: str  # that the candidate has
    instead: str
    genome: str


@dataclass(frozen=True)
class Ablated:
    """What a change of one gene did; figures on the validation split, None where the variant could not be scored."""

    gene: str
    form: str
    instead: str
    saved: int  # parameters
    accuracy: float  # of the candidate
    accuracy_without: float | None
    loss: float  # nats
    loss_without: float | None
    change: float | None  # of the loss; above 0 the gene helps
    p: float | None  # McNemar, of the answers
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def variants(genes: Sequence[Gene], genome: str, pattern: str = "*", every: bool = False) -> list[Variant]:
    """Each gene of the pattern that is not `none` set to `none`, or to `every` other form. Raises BadInput for none."""
    wanted = pattern.replace("[", "[[]")  # `[q]` is a part of a gene's name
    found = [
        Variant(gene["name"], form_of(gene, letter), form, f"{genome[:place]}{instead}{genome[place + 1 :]}")
        for place, (gene, letter) in enumerate(zip(genes, genome, strict=True))
        if form_of(gene, letter) != FREE and fnmatchcase(gene["name"], wanted)
        for instead, form in gene["alphabet"].items()
        if instead != letter and (every or form == FREE)
    ]
    if not found:
        raise BadInput(
            f"No gene of the candidate that matches {pattern!r} could be set to {FREE}. Genes have names such as "
            f"{genes[0]['name']}; a pattern is `*.A` or `blocks.3.*`, and --forms tries every other form."
        )
    return found


def inside(space: Space, varied: Sequence[Variant], pattern: str) -> list[Variant]:
    """Those whose genomes the space holds: the others stand where no step trained them. Raises BadInput for none."""
    found = [each for each in varied if space.holds(each.genome)]
    if not found:
        raise BadInput(
            f"Genes that match {pattern!r} stand together in the first of their sites, so that none of them can be set "
            f"to {FREE} alone. --forms tries their other forms."
        )
    return found


def scored(
    genomes: Iterable[str],
    name: str,
    key: EvaluationKey,
    store: Store,
    evaluator: Evaluator,
    heard: Callable[[int], None] = lambda done: None,
) -> dict[str, Outcome]:
    """Each genome's whole evaluation, or its failure. What is known is not scored again, and what is new is kept."""
    wanted = list(dict.fromkeys(genomes))
    known = store.known(name, key, wanted)
    found = {genome: outcome for genome, outcome in known.items() if outcome.correct is not None}
    todo = [genome for genome in wanted if genome not in found]
    for index, outcome in evaluator.evaluate(todo) if todo else ():
        found[todo[index]] = store.remember(key_of(key, outcome), todo[index], recorded(outcome))
        heard(len(found))
    return found


def ablated(
    varied: Sequence[Variant],
    outcomes: Mapping[str, Outcome],
    genome: str,
    parameters: Callable[[str], int],
    examples: int,
) -> list[Ablated]:
    """Against the candidate of this genome; what is missed most comes first, failures last."""
    whole = outcomes[genome]
    if whole.status != Status.COMPLETED:
        raise BadInput(f"The candidate itself could not be scored: {whole.error}")
    rows = [_row(each, whole, outcomes[each.genome], parameters(genome), parameters, examples) for each in varied]
    return sorted(rows, key=lambda row: (row.change is None, -(row.change or 0.0), row.gene))


def _row(
    variant: Variant,
    whole: Outcome,
    without: Outcome,
    size: int,
    parameters: Callable[[str], int],
    examples: int,
) -> Ablated:
    assert whole.accuracy is not None, "a completed outcome has figures"
    assert whole.loss is not None, "a completed outcome has figures"
    complete = without.loss is not None and whole.correct is not None and without.correct is not None
    return Ablated(
        gene=variant.gene,
        form=variant.form,
        instead=variant.instead,
        saved=size - parameters(variant.genome),
        accuracy=whole.accuracy,
        accuracy_without=without.accuracy,
        loss=whole.loss,
        loss_without=without.loss,
        change=None if without.loss is None else without.loss - whole.loss,
        p=mcnemar(whole.correct or b"", without.correct or b"", examples) if complete else None,
        error=without.error,
    )
