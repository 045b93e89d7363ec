"""The best candidates of a search, measured again in float32: what the choice is made from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from db.records import Candidate
from db.store import Store
from glora_search.ranking import Rank, place
from glora_search.report import score_all
from glora_search.settings import CampaignSettings
from supernet.evaluation import QUANTUM, ScoringTask
from supernet.views import views
from workers.evaluator import Evaluation
from workers.trainer import Pool

ALTERED = ("shift",)  # how views are, where training alters nothing


@dataclass(frozen=True, eq=False)
class Finalist:
    """A candidate and its float32 measurements on the validation split."""

    candidate: Candidate
    score: Evaluation  # on the images themselves
    quanta: np.ndarray  # (n,) int64, each image's loss in units of QUANTUM, summed over `looks`
    looks: int  # at each image: itself, and its views

    @property
    def loss(self) -> float:
        """Mean over the images and their views, in nats; without views that of `score`."""
        return int(self.quanta.sum()) * QUANTUM / (len(self.quanta) * self.looks)


def leading(candidates: list[Candidate], rank: Rank, count: int) -> list[Candidate]:
    """The best of completed candidates, best first."""

    def places(found: Candidate) -> tuple[float, float, int]:
        assert found.accuracy is not None, "a completed candidate has figures"
        assert found.loss is not None, "a completed candidate has figures"
        return place(rank, found.accuracy, found.loss, found.id)

    return sorted(candidates, key=places)[:count]


def measured(
    task: ScoringTask, pool: Pool, store: Store, settings: CampaignSettings, method: str | None = None
) -> list[Finalist]:
    """The search's best, scored on the task's split, which is recorded, and on as many views of it as are asked for.

    The candidate whose genome is `method` is among them, if the search has scored it.
    """
    name, search = settings.name, settings.search
    completed = store.candidates(name, where="status = 'completed'")
    best = leading(completed, search.rank, search.finalists)
    best += [each for each in completed if each.genome == method and each not in best]
    genomes, task = [each.genome for each in best], replace(task, losses=True)
    scores = score_all(pool, task, genomes)
    for candidate, score in zip(best, scores, strict=True):
        store.score_float32(name, candidate.id, score.accuracy, score.loss)
    quanta = [_quanta(score) for score in scores]
    if search.views:
        kinds = settings.training.augmentation or ALTERED
        altered = replace(task, split=views(task.split, kinds, search.views, settings.seed))
        of_views = (_quanta(score).reshape(search.views, -1) for score in score_all(pool, altered, genomes))
        quanta = [own + more.sum(axis=0) for own, more in zip(quanta, of_views, strict=True)]
    return [Finalist(*each, 1 + search.views) for each in zip(best, scores, quanta, strict=True)]


def _quanta(score: Evaluation) -> np.ndarray:
    """(n,) int64 losses in units of QUANTUM."""
    assert score.losses is not None, "the task asks for each example's loss"
    return np.frombuffer(score.losses, dtype=np.int64)
