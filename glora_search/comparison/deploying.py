"""What a row's subnet costs where it is used: measured on the pool, where the suite asks for it."""

from __future__ import annotations

from glora_search.comparison.family import Family
from glora_search.display import Silent
from glora_search.inputs import Inputs
from glora_search.shared_weights import watched
from supernet.deployment import Deployment, DeploymentTask
from supernet.numerics import Numerics
from supernet.trained import Trained


def deployed(
    family: Family, inputs: Inputs, trained: Trained, genome: str, numerics: Numerics, *, head_only: bool = False
) -> Deployment | None:
    """With the threads of a training; None where the suite does not ask."""
    if not family.suite.deployed:
        return None
    threads = inputs.training(numerics).numerics.in_float32()
    task = DeploymentTask(inputs.backbone, inputs.settings.space, trained, genome, threads, head_only)
    return watched(family.pool, task, Silent(), "deployment")
