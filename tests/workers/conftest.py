"""The pools that pass the contract: in process, and three actors on parts of pretended GPUs; one where asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from supernet.evaluation import Measurement, Scorer, ScoringTask
from workers.local import LocalPool
from workers.pool import RayPool
from workers.settings import WorkerSettings
from workers.trainer import Pool

POOLS: dict[str, dict[str, Any]] = {
    "local": {"backend": "local"},
    "ray, one worker": {"count": 1},
    "ray, three workers on parts of GPUs": {"count": 3, "gpus_per_worker": 0.5},
}


COSTLY = {"ray, one worker"}  # of the same kind as those of the dispatcher's own tests


@pytest.fixture(
    scope="package",
    params=[pytest.param(name, marks=[pytest.mark.experiment] if name in COSTLY else []) for name in POOLS],
)
def pool(request: pytest.FixtureRequest) -> Iterator[Pool]:
    settings = WorkerSettings(threads=1, **POOLS[request.param])
    if settings.backend == "local":
        yield LocalPool(settings)
        return
    request.getfixturevalue("ray_session")
    ray_pool = RayPool(settings)
    yield ray_pool
    ray_pool.close()


@pytest.fixture(scope="package")
def scorer(scoring: ScoringTask) -> Scorer:
    return Scorer(scoring)


@pytest.fixture(scope="package")
def genomes(scorer: Scorer) -> list[str]:
    import numpy as np

    return [scorer.supernet.space.draw(np.random.default_rng(seed)) for seed in range(6)]


@pytest.fixture(scope="package")
def expected(scorer: Scorer, genomes: list[str]) -> list[Measurement]:
    """What the workers must find, computed here without any."""
    return [scorer.score(genome) for genome in genomes]


@pytest.fixture(scope="session")
def without_numbers(scoring: ScoringTask) -> Callable[[str], ScoringTask]:
    """The task, with one support not a number."""
    from supernet.trained import Trained

    def without_numbers(name: str) -> ScoringTask:
        array = scoring.trained.tensors[name] * float("nan")
        return replace(scoring, trained=Trained({**scoring.trained.tensors, name: array}, 0.0))

    return without_numbers
