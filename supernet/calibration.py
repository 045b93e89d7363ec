"""Temperature scaling: one number, fitted on the validation split, makes a supernet as sure of itself as it may be.

    logits <- logits / T,   T = argmin over TEMPERATURES of the mean cross-entropy over subnets and examples        (1)

A supernet that has fitted its training examples is overconfident: its losses say how loudly a subnet errs more than how
often, and a ranking by them prefers subnets that are unsure of everything. Divided by T they rank as accuracy does, but
without its ties. T goes into the head, which all subnets share, so it costs nothing and no answer changes. The subnets
are drawn as training drew.
Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from supernet.draws import drawn
from supernet.evaluation import Scorer, ScoringTask
from supernet.numerics import Numerics
from supernet.randomness import stream
from supernet.settings import TrainingSettings
from supernet.trained import Trained
from supernet.training import Progress

SUBNETS = 16
TEMPERATURES = tuple(2 ** (quarter / 4) for quarter in range(-4, 17))  # 1/2 to 16


@dataclass(frozen=True)
class Calibrated:
    """What was trained, its logits divided."""

    trained: Trained
    temperature: float


@dataclass(frozen=True)
class CalibrationTask:
    """Fit T of equation (1) and put it into the head of what was trained."""

    scoring: ScoringTask  # of the validation split
    training: TrainingSettings
    seed: int

    @property
    def numerics(self) -> Numerics:
        return self.scoring.numerics

    def run(self) -> Iterator[Progress | Calibrated]:
        """No progress, then the supernet with its head's numbers over T."""
        scorer = self.scoring.scorer()
        space = scorer.supernet.space
        genomes = [drawn(space, self.training, stream(self.seed, "calibration", n)) for n in range(SUBNETS)]
        temperature = best_of([losses_at(*answers(scorer, genome)) for genome in genomes])
        yield Calibrated(tempered(self.scoring.trained, temperature), temperature)


def best_of(losses: Sequence[np.ndarray]) -> float:
    """(temperatures,) of each subnet -> the temperature of the lowest sum, of those that are finite."""
    finite = [each for each in losses if np.isfinite(each).all()]
    return TEMPERATURES[int(np.argmin(np.sum(finite, axis=0)))] if finite else 1.0


@torch.inference_mode()
def answers(scorer: Scorer, genome: str) -> tuple[Tensor, Tensor]:
    """(logits (n, classes) float32, labels (n,)) of a subnet on the scorer's split."""
    scorer.merger.merge(genome)
    chunks = list(scorer.chunks(scorer.split, scorer.numerics.chunk))
    return torch.cat([logits for logits, _ in chunks]), torch.cat([labels for _, labels in chunks])


def losses_at(logits: Tensor, labels: Tensor) -> np.ndarray:
    """logits (n, classes), labels (n,) -> (temperatures,) mean cross-entropies, in nats."""
    return np.array([float(F.cross_entropy(logits.double() / each, labels)) for each in TEMPERATURES])


def tempered(trained: Trained, temperature: float) -> Trained:
    """The same supernet, its logits divided: the head's weight and bias are, and nothing else."""
    scaled = {
        name: (array / np.float32(temperature)).astype(array.dtype) if name.startswith("head.") else array
        for name, array in trained.tensors.items()
    }
    return replace(trained, tensors=scaled)
