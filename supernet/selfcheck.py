"""Does this worker compute what it should? Asked of every scorer before its first candidate, on a few images.

A genome that changes nothing must give the backbone's logits to the last bit, and genomes that differ must differ.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from itertools import count, islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from supernet.errors import BadInput
from supernet.randomness import stream
from supernet.space import Space

if TYPE_CHECKING:
    from supernet.evaluation import Scorer
    from supernet.trained import Trained

EXAMPLES = 2  # images looked at
PAIRS = 10  # of random genomes, until one differs


def untouched(scorer: Scorer, trained: Trained) -> Tensor:
    """(EXAMPLES, classes) logits of the frozen backbone under the trained head: ask before anything is merged."""
    head = scorer.plain.get_classifier()  # type: ignore[operator]
    state = {name: torch.tensor(array) for name, array in trained.tensors.items() if name.startswith("head.")}
    head.load_state_dict({name.removeprefix("head."): tensor for name, tensor in state.items()})
    return _forward(scorer)


def check(scorer: Scorer, base: Tensor) -> None:
    """Raises BadInput unless the all-none genome gives `base`, and two random genomes give different logits.

    What the space does not offer is not asked: a genome of `none` alone, or two genomes.
    """
    space = scorer.supernet.space
    if (none := _all_none(space)) is not None:
        _require_same(_logits(scorer, none), base)
    if space.size > 1:
        _require_different(scorer)


def _require_same(found: Tensor, base: Tensor) -> None:
    if not torch.equal(found.view(torch.int32), base.view(torch.int32)):  # bits: a backbone may give NaN
        raise BadInput(
            f"{_worker()} computes wrongly: a subnet that changes nothing must give the backbone's logits to the last "
            f"bit, but they differ by up to {float((found - base).abs().max()):.3g}. Reinstall torch and timm there, "
            "or leave that machine out."
        )


def _require_different(scorer: Scorer) -> None:
    if not any(_differ(scorer, *pair) for pair in _pairs(scorer.supernet.space)):
        raise BadInput(
            f"{_worker()} gives the same logits for different subnets, {PAIRS} times out of {PAIRS}. Either the shared "
            "weights change nothing (was training.learning_rate too small?), or it computes wrongly: reinstall torch "
            "and timm there."
        )


def _differ(scorer: Scorer, one: str, two: str) -> bool:
    return not torch.equal(_logits(scorer, one), _logits(scorer, two))


def _logits(scorer: Scorer, genome: str) -> Tensor:
    """(EXAMPLES, classes) float32."""
    scorer.merger.merge(genome)
    return _forward(scorer)


def _forward(scorer: Scorer) -> Tensor:
    """(EXAMPLES, classes) float32 of what was merged last; on a GPU by the graph that candidates replay."""
    images, numerics = scorer.images[:EXAMPLES], scorer.numerics
    return scorer.logits(images, numerics.chunk if numerics.device.type == "cuda" else EXAMPLES)


def _all_none(space: Space) -> str | None:
    """The genome that changes nothing, if every gene may be `none`."""
    if any("none" not in gene.by_name for gene in space.genes):
        return None
    return space.encode({gene.name: "none" for gene in space.genes})


def _pairs(space: Space) -> Iterator[tuple[str, str]]:
    """PAIRS pairs of different genomes; the same on every worker, and of no consequence for any result."""
    draws = (space.draw(stream(0, "probe", number)) for number in count())
    for one in islice(draws, PAIRS):
        yield one, next(two for two in draws if two != one)


def _worker() -> str:
    return f"A worker on {socket.gethostname()}"
