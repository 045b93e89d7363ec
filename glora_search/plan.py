"""What a campaign would do: the size of its space, what is feasible, and how long it will take on this machine."""

from __future__ import annotations

from math import log10
from typing import Any

from glora_search.display import Silent, minutes
from glora_search.inputs import Inputs
from glora_search.settings import candidates
from glora_search.shared_weights import watched
from supernet.cost import Costs, CostTask
from supernet.numerics import Numerics
from supernet.schedule import total_steps
from workers.trainer import Pool


def cost(inputs: Inputs, numerics: Numerics, pool: Pool) -> Costs:
    """Time a few steps and candidates on the pool."""
    return watched(pool, CostTask(inputs.training(numerics), inputs.data.val, numerics), Silent(), "cost probe")


def seconds(inputs: Inputs, costs: Costs) -> dict[str, float]:
    """Expected seconds of training and search, with all workers busy."""
    settings = inputs.settings
    expected = {
        "training": costs.step * total_steps(settings.training, len(inputs.data.train)),
        "search": costs.candidate * candidates(settings.search) / settings.workers.count,
    }
    if settings.refit.epochs:
        expected["refit"] = costs.step * total_steps(settings.refitting, len(inputs.train_and_val))
    return expected


def expectation(inputs: Inputs, costs: Costs) -> str:
    """The same as a sentence, said before the first step."""
    expected = seconds(inputs, costs)
    return (
        f"Here a training step takes {costs.step:.2f} s and a candidate {costs.candidate:.2f} s: expect about "
        f"{minutes(expected['training'])} of training and {minutes(expected['search'])} of search."
    )


def describe(inputs: Inputs, costs: Costs, why: str) -> dict[str, Any]:
    """The plan as plain data."""
    space, settings = inputs.space, inputs.settings
    smallest, largest = space.parameters(space.smallest), space.parameters(space.largest)
    limit = settings.search.max_parameters
    return {
        "name": settings.name,
        "backbone": settings.backbone.model,
        "image_size": settings.backbone.image_size,
        "classes": list(inputs.data.classes),
        "examples": {"train": len(inputs.data.train), "val": len(inputs.data.val)},
        "sites": len({gene.name.rpartition(".")[0] for gene in space.genes}),
        "genes": len(space.genes),
        "genomes": f"10^{log10(space.size):.1f}",
        "parameters": {"smallest": smallest, "largest": largest, "limit": limit},
        "candidates": candidates(settings.search),
        "numerics": why,
        "seconds_a_step": costs.step,
        "seconds_a_candidate": costs.candidate,
        "expected_seconds": seconds(inputs, costs),
    }
