"""The search station: run the evolution against the pool, with the store as its memory."""

from __future__ import annotations

import time

from db.records import EvaluationKey, Gene, Outcome, Proposal, Status
from db.store import Store
from glora_search.control import Control
from glora_search.crash_points import reached
from glora_search.display import Display
from glora_search.drawing import drawing, kept_near
from glora_search.evolution import evolve
from glora_search.inputs import Inputs
from glora_search.memory import remembering
from glora_search.race import Racing, Standing
from glora_search.settings import CampaignSettings, candidates, lag_of
from glora_search.warm_start import start
from supernet.errors import BadInput
from supernet.evaluation import ScoringTask
from supernet.numerics import Numerics
from supernet.spaces import alphabets
from supernet.trained import Trained
from workers.trainer import Pool


def search(
    inputs: Inputs,
    trained: Trained,
    numerics: Numerics,
    pool: Pool,
    store: Store,
    display: Display,
    control: Control,
) -> float:
    """Seconds that the evolution took, to its end or to the generation in which it was asked to stop.

    Those of earlier runs count as what their candidates took.

    Raises BadInput if a whole first generation fails; Paused or Cancelled if that was asked.
    """
    settings, split = inputs.settings, inputs.data.val
    key = EvaluationKey(trained.fingerprint, split.key(), numerics.key())
    genes = [Gene(name=name, alphabet=alphabet) for name, alphabet in alphabets(inputs.space)]
    store.begin_search(settings.name, genes, trained.fingerprint, split.key(), numerics.as_dict())
    reached("search-begun")
    known, before = start(settings, inputs.space, key, store), _spent(settings, store)
    begin = time.perf_counter()
    racing = _racing(inputs, len(split), numerics.chunk)
    losses = racing is not None and racing.racing.by_losses
    task = ScoringTask(inputs.backbone, settings.space, trained, split, numerics, losses=losses)
    total = len(known) + candidates(settings.search, begun=bool(known))
    with pool.evaluator(task) as evaluator, display.bar("search", total) as advance:
        tally = Tally()

        def heard(proposal: Proposal, outcome: Outcome) -> None:
            tally.hear(outcome)
            advance(tally.done, tally.text())

        evaluate = remembering(evaluator, store, settings.name, key, heard, control, racing)
        draws = drawing(inputs.space, settings)
        for generation in evolve(inputs.space, settings.search, settings.seed, evaluate, known, draws):
            reached("selected")
            tally.generation = generation.number + 1
            if not generation.survivors:
                raise BadInput(
                    f"Every candidate of generation {generation.number} failed; the first: {last_line(tally.error)}. "
                    f"Once it is mended: glora-search retry {settings.name}"
                )
            if control.stopping() and generation.number >= (store.progress(settings.name).generation or 0):
                display.note(f"Stopping after generation {generation.number}, as was asked.")
                break
    return before + time.perf_counter() - begin


def _spent(settings: CampaignSettings, store: Store) -> float:
    """Seconds of the candidates that this campaign evaluated already; what was known is answered in less than that."""
    ended = ((each.seconds or 0.0, each.created_at, each.finished_at) for each in store.candidates(settings.name))
    own = (seconds for seconds, since, until in ended if until and (until - since).total_seconds() >= seconds)
    return sum(own) / settings.workers.count


def _racing(inputs: Inputs, examples: int, chunk: int) -> Standing | None:
    """Before anything is known; None where nobody is raced, as of a split that is looked at in one chunk."""
    settings, method = inputs.settings, kept_near(inputs.space, inputs.settings)
    if not settings.search.racing or examples <= chunk:
        return None
    return Standing(Racing(settings.search, examples, lag_of(settings), method.genome if method else None))


def last_line(error: str) -> str:
    """What a traceback comes down to."""
    return (error.strip().splitlines() or ["no message"])[-1]


class Tally:
    """Counts what was heard, for the progress bar."""

    def __init__(self) -> None:
        self.done = self.failed = self.raced = self.generation = 0
        self.best = 0.0
        self.error = ""

    def hear(self, outcome: Outcome) -> None:
        self.done += 1
        self.best = max(self.best, outcome.accuracy or 0.0)
        self.raced += outcome.status == Status.RACED
        if outcome.status == Status.FAILED:
            self.failed += 1
            self.error = self.error or (outcome.error or "")

    def text(self) -> str:
        raced = f", {self.raced} raced" if self.raced else ""
        failures = f", {self.failed} failed" if self.failed else ""
        return f"generation {self.generation}, best {self.best:.2%}{raced}{failures}"
