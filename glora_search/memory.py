"""The search's one door to the world: propose, answer from the store what is known, have the rest scored, remember."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import takewhile
from math import isfinite

from db.records import EvaluationKey, Proposal, Status
from db.records import Outcome as Recorded
from db.store import Store
from glora_search.control import Control, Paused
from glora_search.crash_points import reached
from glora_search.difficulty import Difficulty
from glora_search.evolution import Evaluate
from glora_search.race import Race, Standing, completed, scored
from glora_search.selection import Scored
from supernet.numerics import with_chunk
from workers.evaluator import Evaluation, Evaluator, Failure, Outcome, Raced

Heard = Callable[[Proposal, Recorded], None]  # called for each outcome as it is recorded


def remembering(
    evaluator: Evaluator,
    store: Store,
    name: str,
    key: EvaluationKey,
    heard: Heard,
    control: Control,
    standing: Standing | None = None,
) -> Evaluate:
    """An `evaluate` for `evolve` that writes every outcome to the store as it arrives and has nothing scored twice,
    but for the few whose losses decide the order of the examples: after a resume these are measured once more.

    Candidates are raced from `standing` on; without, nobody is. Raises Paused once what is in flight is recorded, and
    Cancelled at once, if that was asked.
    """

    by_losses = standing is not None and standing.racing.by_losses
    difficulty = Difficulty(evaluator, standing.racing.settings.rank) if standing and by_losses else None

    def going_on() -> bool:
        control.require_not_cancelled()
        return not control.closing()

    def evaluate(generation: int, proposals: Sequence[Proposal], survivors: Sequence[Scored]) -> list[Scored | None]:
        nonlocal standing
        control.require_open()
        store.propose(name, generation, proposals)
        reached("proposed")
        known = store.known(name, key, [proposal.genome for proposal in proposals])
        outcomes: dict[int, Recorded] = {}

        def remember(proposal: Proposal, outcome: Recorded, under: EvaluationKey = key) -> None:
            reached("scored")
            kept = store.record(name, proposal.id, under, outcome)
            reached("recorded")
            outcomes[proposal.id] = kept
            heard(proposal, kept)

        for proposal in proposals:
            if proposal.genome in known:
                remember(proposal, known[proposal.genome])
        todo = [proposal for proposal in proposals if proposal.genome not in known]
        order = None
        if standing and difficulty and todo:
            leaders = [each.proposal.genome for each in standing.best]
            order = difficulty.order(leaders, going_on)
        race = Race(standing, proposals, outcomes, survivors, order)
        genomes = takewhile(lambda _: not control.closing(), race.genomes(todo))
        for index, outcome in evaluator.evaluate(genomes, lambda index: race.rule(todo[index])) if todo else ():
            if difficulty:
                difficulty.hear(todo[index].genome, outcome)
            if better(outcomes.get(todo[index].id), outcome):
                remember(todo[index], recorded(outcome), key_of(key, outcome))
            control.require_not_cancelled()
        if len(outcomes) < len(proposals):
            control.require_not_cancelled()
            raise Paused(name)
        standing = standing and standing.joined(completed(proposals, outcomes))
        return [scored(proposal, outcomes[proposal.id]) for proposal in proposals]

    return evaluate


def better(known: Recorded | None, outcome: Outcome) -> bool:
    """Whether an outcome counts: the first does, and the late success of a worker that was thought dead."""
    return known is None or (known.status == Status.FAILED and isinstance(outcome, Evaluation))


def key_of(key: EvaluationKey, outcome: Outcome) -> EvaluationKey:
    """What was measured with fewer examples a forward, for want of memory, is remembered as that.

    Its last bits may differ, so that it answers no campaign that computes with its full chunk.
    """
    smaller = outcome.chunk if isinstance(outcome, Evaluation) else None
    return key if smaller is None else replace(key, numerics=with_chunk(key.numerics, smaller))


def recorded(outcome: Outcome) -> Recorded:
    """A worker's outcome as the store keeps it."""
    match outcome:
        case Evaluation(accuracy, loss, _, _, seconds, worker) if not (isfinite(accuracy) and isfinite(loss)):
            return Recorded(Status.FAILED, seconds=seconds, worker=worker, error=f"not finite: {accuracy}, {loss}")
        case Evaluation(accuracy, loss, _, correct, seconds, worker):
            return Recorded(Status.COMPLETED, accuracy, loss, seconds, worker, correct)
        case Failure(kind, message, seconds, worker):
            return Recorded(Status.FAILED, seconds=seconds, worker=worker, error=f"{kind}: {message}")
        case Raced(seen, total, correct, _, seconds, worker):  # at best all that was not seen would be right
            bound = (correct + total - seen) / total
            return Recorded(Status.RACED, seconds=seconds, worker=worker, bound=bound, seen=seen)
