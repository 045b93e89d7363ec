"""Hard examples are those on which the leaders lose: kept of few candidates, measured again of those never heard of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

import numpy as np
import pytest

from glora_search.difficulty import LEADERS, Difficulty
from workers.evaluator import Evaluation, Failure, Outcome, unraced

LOSSES = {  # genome -> of each of four examples, in quanta
    "a": (0, 1, 0, 0),
    "b": (0, 0, 2, 0),
    "c": (0, 3, 0, 0),
    "d": (0, 0, 0, 3),  # as good as c
    "e": (9, 0, 0, 0),
}


@dataclass
class Again:
    """An evaluator that says what it was asked for."""

    outcomes: dict[str, Outcome]
    asked: list[str] = field(default_factory=list)

    def evaluate(self, genomes: Iterable[str | None], hopeless: Any = unraced) -> Iterator[tuple[int, Outcome]]:
        for index, genome in enumerate(genomes):
            assert genome is not None, "all are known"
            self.asked.append(genome)
            yield index, self.outcomes[genome]


def evaluation(losses: tuple[int, ...], accuracy: float = 0.5) -> Evaluation:
    kept = np.array(losses, dtype=np.int64).tobytes()
    return Evaluation(accuracy, float(np.mean(losses)), 1, b"", 0.1, "w", losses=kept)


ALL: dict[str, Outcome] = {genome: evaluation(losses) for genome, losses in LOSSES.items()}


@pytest.fixture
def difficulty() -> Difficulty:
    return Difficulty(Again(ALL), "loss")


def always() -> bool:
    return True


def asked(difficulty: Difficulty) -> list[str]:
    assert isinstance(difficulty.evaluator, Again)
    return difficulty.evaluator.asked


def test_examples_come_first_on_which_the_three_best_lose_most_whoever_came_first() -> None:
    for arrival in permutations(ALL):
        difficulty = Difficulty(Again(ALL), "loss")
        for genome in arrival:
            difficulty.hear(genome, ALL[genome])
        assert set(difficulty.leading) == {"a", "b", "c", "d"}, "nobody's losses but the leaders' and their equals'"
        order = difficulty.order(["a", "b", "c", "d", "e"], always)
        assert order is not None
        assert order.tolist() == [1, 2, 0, 3], "of examples that cost the same the first comes first"
        assert asked(difficulty) == []


def test_by_accuracy_the_most_accurate_lead() -> None:
    difficulty = Difficulty(Again({}), "accuracy")
    for place, genome in enumerate("abce"):
        difficulty.hear(genome, evaluation(LOSSES[genome], accuracy=place / 10))
    assert set(difficulty.leading) == {"b", "c", "e"}


def test_a_leader_that_was_not_heard_of_is_measured_once(difficulty: Difficulty) -> None:
    difficulty.hear("b", ALL["b"])
    for _ in range(2):
        order = difficulty.order(["a", "b", "c", "d"], always)
        assert order is not None
        assert order.tolist() == [1, 2, 0, 3]
        assert asked(difficulty) == ["a", "c"]
    assert LEADERS == 3


def test_nobody_is_measured_when_the_search_is_to_stop(difficulty: Difficulty) -> None:
    assert difficulty.order(["a", "b"], lambda: False) is None
    assert asked(difficulty) == []


def test_a_leader_whose_losses_cannot_be_had_is_left_out() -> None:
    failing = Difficulty(Again(ALL | {"a": Failure("timeout", "a long story", 1.0, "w")}), "loss")
    order = failing.order(["a", "b"], always)
    assert order is not None
    assert order.tolist() == [2, 0, 1, 3]
    assert failing.order(["a"], always) is None
    assert asked(failing) == ["a", "b"]
