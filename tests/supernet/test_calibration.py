"""Temperature scaling: the least loss over subnets, in the head, and no answer changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from supernet.calibration import SUBNETS, TEMPERATURES, Calibrated, CalibrationTask, answers, best_of, tempered
from supernet.draws import drawn
from supernet.evaluation import ScoringTask
from supernet.randomness import stream
from supernet.settings import TrainingSettings

NEAR = TrainingSettings(draws="near")


def calibrated(scoring: ScoringTask, training: TrainingSettings = NEAR, seed: int = 0) -> Calibrated:
    *_, last = CalibrationTask(scoring, training, seed).run()
    assert isinstance(last, Calibrated)
    return last


@pytest.fixture(scope="module")
def found(scoring: ScoringTask) -> Calibrated:
    return calibrated(scoring)


def test_the_temperature_has_the_least_loss_over_the_subnets(scoring: ScoringTask, found: Calibrated) -> None:
    scorer = scoring.scorer()
    genomes = [drawn(scorer.supernet.space, NEAR, stream(0, "calibration", n)) for n in range(SUBNETS)]
    several = [answers(scorer, genome) for genome in genomes]
    assert len(set(genomes)) > SUBNETS // 2

    def loss(temperature: float) -> float:
        return float(np.mean([F.cross_entropy(logits / temperature, labels) for logits, labels in several]))

    assert loss(found.temperature) <= min(map(loss, TEMPERATURES)) + 1e-6
    assert found.temperature != 1.0, "random numbers are not calibrated, or this test says nothing"


def test_logits_are_divided_and_no_answer_changes(scoring: ScoringTask, found: Calibrated) -> None:
    before, after = scoring.scorer(), replace(scoring, trained=found.trained).scorer()
    for genome in (before.supernet.space.largest, before.supernet.space.smallest):
        expected, _ = answers(before, genome)
        divided, _ = answers(after, genome)
        torch.testing.assert_close(divided, expected / found.temperature, rtol=1e-4, atol=1e-5)
        assert before.score(genome).correct == after.score(genome).correct


def test_only_the_head_is_another(scoring: ScoringTask, found: Calibrated) -> None:
    changed = {
        name
        for name, array in found.trained.tensors.items()
        if not np.array_equal(array, scoring.trained.tensors[name])
    }
    assert changed == {"head.weight", "head.bias"}
    assert found.trained.seconds == scoring.trained.seconds
    assert found.trained.fingerprint != scoring.trained.fingerprint


@pytest.mark.parametrize("louder", [0.5, 2.0])
def test_a_louder_supernet_has_as_much_a_higher_temperature(
    scoring: ScoringTask, found: Calibrated, louder: float
) -> None:
    again = calibrated(replace(scoring, trained=tempered(scoring.trained, 1 / louder)))
    assert again.temperature == pytest.approx(louder * found.temperature)
    assert calibrated(replace(scoring, trained=found.trained)).temperature == 1.0


def test_subnets_are_drawn_as_training_drew(scoring: ScoringTask, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr("supernet.calibration.answers", lambda scorer, g: (seen.append(g), answers(scorer, g))[1])
    calibrated(scoring, NEAR.model_copy(update={"around": "largest"}))
    near = list(seen)
    calibrated(scoring, TrainingSettings(draws="uniform"))
    largest = scoring.scorer().supernet.space.largest

    def kept(genome: str) -> int:
        return sum(a == b for a, b in zip(genome, largest, strict=True))

    assert sum(map(kept, near)) > 1.5 * sum(map(kept, seen[SUBNETS:]))


def test_a_subnet_whose_logits_are_not_finite_has_no_say() -> None:
    losses = np.linspace(1, 2, len(TEMPERATURES))[::-1]
    assert best_of([losses, losses]) == best_of([np.full(len(TEMPERATURES), np.nan), losses]) == TEMPERATURES[-1]
    assert best_of([np.full(len(TEMPERATURES), np.inf)]) == 1
