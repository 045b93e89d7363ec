"""The final report: the choice beside its baselines, and the test sets, opened once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean
from typing import Any

from db.records import Candidate
from glora_search.drawing import Method
from glora_search.statistics import wilson
from supernet.data import Split
from supernet.errors import BadInput
from supernet.evaluation import ScoringTask
from supernet.randomness import stream
from supernet.space import Space
from workers.evaluator import Evaluation, Failure, Outcome
from workers.trainer import Pool

PATIENCE = 10.0  # times workers.timeout that float32 may take, for as many examples as a candidate has
CANDIDATE = 200  # examples
RANDOM_DRAWS = 5  # random subnets whose mean stands for one


@dataclass(frozen=True)
class Row:
    """One line of the report; figures in float32, accuracies in [0, 1]."""

    params: float  # a mean over draws for `random_subnet`
    val_accuracy: float
    val_loss: float
    test_accuracy: float


def score_all(pool: Pool, task: ScoringTask, genomes: Sequence[str]) -> list[Evaluation]:
    """Every genome's evaluation, in order. Raises BadInput with the first failure."""
    distinct = list(dict.fromkeys(genomes))
    found = score_most(pool, task, distinct, distinct)
    return [found[genome] for genome in genomes]


def score_most(
    pool: Pool, task: ScoringTask, genomes: Sequence[str], required: Collection[str]
) -> dict[str, Evaluation]:
    """The evaluation of each genome that has one. Raises BadInput with the first failure of one that is required."""
    found: dict[str, Evaluation] = {}
    with pool.evaluator(task, PATIENCE * max(1.0, len(task.split) / CANDIDATE)) as evaluator:
        for index, outcome in evaluator.evaluate(genomes):
            if isinstance(outcome, Evaluation):
                found[genomes[index]] = outcome
            elif genomes[index] in required:
                raise BadInput(f"A subnet of the final report could not be scored: {_why(outcome)}")
    return found


def _why(outcome: Outcome) -> str:
    """The failure in a line."""
    return (outcome.message.strip().splitlines() or [outcome.kind])[-1] if isinstance(outcome, Failure) else "raced"


def baseline_genomes(space: Space, seed: int, limit: int | None, method: Method | None = None) -> dict[str, list[str]]:
    """The subnets of each row: random ones under the campaign's limit, the largest, and the fixed method itself."""
    draws = [space.draw(stream(seed, "baseline", number), limit) for number in range(RANDOM_DRAWS)]
    found = {"random_subnet": draws, "largest_subnet": [space.largest]}
    return found if method is None or method.genome == space.largest else found | {method.name: [method.genome]}


def rows(
    subnets: Mapping[str, Sequence[str]], val: Mapping[str, Evaluation], test: Mapping[str, Evaluation]
) -> dict[str, Row]:
    """The means of each row's subnets that could be scored; no row where none could."""

    def row(genomes: Sequence[str]) -> Row:
        return Row(
            params=mean(val[genome].parameters for genome in genomes),
            val_accuracy=mean(val[genome].accuracy for genome in genomes),
            val_loss=mean(val[genome].loss for genome in genomes),
            test_accuracy=mean(test[genome].accuracy for genome in genomes),
        )

    scored = {name: [genome for genome in genomes if genome in test] for name, genomes in subnets.items()}
    return {name: row(genomes) for name, genomes in scored.items() if genomes}


def summary(
    candidate: Candidate,
    table: Mapping[str, Row],
    tests: Mapping[str, tuple[float, Split]],
    export: str,
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """The report as plain data, for the store and for `--format json`."""
    accuracy, split = next(iter(tests.values()))
    return {
        "chosen": candidate.id,
        "genome": candidate.genome,
        "params": candidate.params,
        "val_accuracy": table["searched"].val_accuracy,
        "val_loss": table["searched"].val_loss,
        "test_accuracy": accuracy,
        "test_examples": len(split),
        "test_interval": list(wilson(accuracy, len(split))),
        "tests": {name: {"accuracy": found, "examples": len(part)} for name, (found, part) in tests.items()},
        "baselines": {name: asdict(row) for name, row in table.items() if name != "searched"},
        "export": export,
        "seconds": dict(seconds),
    }
