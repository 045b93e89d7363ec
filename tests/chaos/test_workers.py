"""The experiments with workers, small; and each once more with something broken, which it must find."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chaos import workers
from chaos.figures import Figure, unmet
from chaos.stub import EXAMPLES, When, answer
from supernet.evaluation import QUANTUM

pytestmark = [pytest.mark.usefixtures("ray_session"), pytest.mark.timeout(180)]

Experiment = Callable[..., list[Figure]]

SMALL: list[tuple[Experiment, dict[str, Any], dict[str, Any]]] = [  # experiment, sizes, what breaks it
    (workers.deaths, {"evaluations": 24, "kills": 2, "workers": 2}, {"gives_up": True}),
    (workers.hangs, {"candidates": 8, "one_in": 8, "seconds": 0.05, "timeout": 2.0}, {"forgets": True}),
    (workers.out_of_memory, {"candidates": 20}, {"halves": False}),
    (workers.false_death, {"candidates": 4, "timeout": 2.0}, {"looks_again": False}),
    (workers.one_result_for_any_number_of_workers, {"candidates": 40, "workers": (2,)}, {"confuses": True}),
]
NAMES = [experiment.__name__ for experiment, _, _ in SMALL]
CHEAP = {"out_of_memory", "one_result_for_any_number_of_workers"}  # what the others find, tests/workers has small


@pytest.mark.parametrize(
    ("experiment", "sizes", "broken"),
    [
        pytest.param(*case, id=name, marks=[] if name in CHEAP else pytest.mark.experiment)
        for name, case in zip(NAMES, SMALL, strict=True)
    ],
)
def test_it_finds_what_it_must_find(
    experiment: Experiment, sizes: dict[str, Any], broken: dict[str, Any], tmp_path: Path
) -> None:
    assert unmet(experiment(tmp_path, **sizes), timed=False) == []


@pytest.mark.experiment
@pytest.mark.parametrize(("experiment", "sizes", "broken"), SMALL, ids=NAMES)
def test_it_finds_what_is_broken(
    experiment: Experiment, sizes: dict[str, Any], broken: dict[str, Any], tmp_path: Path
) -> None:
    assert unmet(experiment(tmp_path, **sizes, **broken), timed=False) != []


# ---- the stand-in


def test_the_stand_in_answers_what_adds_up() -> None:
    import numpy as np

    found = [answer(f"genome {number}") for number in range(200)]
    assert len({each.accuracy for each in found}) == 16, "many ties"
    assert len({each.loss for each in found}) == 8
    for each in found:
        bits = np.unpackbits(np.frombuffer(each.correct, np.uint8))
        assert each.complete
        assert each.accuracy == bits.sum() / EXAMPLES == each.partial.correct / EXAMPLES


def test_the_stand_in_is_raced_as_a_subnet_is() -> None:
    asked: list[int] = []
    whole = answer("genome", When(lambda partial: bool(asked.append(partial.seen))), chunk=64)
    assert whole == answer("genome")
    assert asked == [64, 128, 192]
    dropped = answer("genome", When(lambda partial: partial.seen >= 128), chunk=64)
    assert not dropped.complete
    assert (dropped.partial.seen, dropped.partial.total) == (128, EXAMPLES)
    assert dropped.correct == whole.correct[:16] + bytes(9), "nothing is right that was not looked at"
    assert dropped.accuracy == dropped.partial.correct / 128
    assert dropped.loss == dropped.partial.loss * QUANTUM / 128
    assert dropped.losses is not None
    assert whole.losses is not None
    assert dropped.losses == whole.losses[: 8 * 128] + bytes(8 * 72), "nor is anything lost on it"
