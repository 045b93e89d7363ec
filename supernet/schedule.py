"""What step t does, as functions of t: its examples and its learning rate."""

from __future__ import annotations

from math import cos, pi

import numpy as np

from supernet.randomness import stream
from supernet.settings import TrainingSettings


def steps_an_epoch(examples: int, batch_size: int) -> int:
    """An incomplete last batch is dropped; a split smaller than a batch is one batch."""
    return max(1, examples // batch_size)


def total_steps(settings: TrainingSettings, examples: int) -> int:
    """Steps of the whole training."""
    return settings.epochs * steps_an_epoch(examples, settings.batch_size)


def batch_of(t: int, seed: int, examples: int, batch_size: int) -> np.ndarray:
    """(batch,) indices of step t: a slice of the permutation of its epoch."""
    epoch, place = divmod(t, steps_an_epoch(examples, batch_size))
    order = stream(seed, "batches", epoch).permutation(examples)
    return order[place * batch_size : (place + 1) * batch_size]


def learning_rate(settings: TrainingSettings, t: int, steps: int, examples: int) -> float:
    """Linear warm-up from a hundredth of the peak, then a cosine down to the final rate."""
    warmup = min(steps - 1, round(settings.warmup_epochs * steps_an_epoch(examples, settings.batch_size)))
    peak, final = settings.learning_rate, settings.final_learning_rate
    if t < warmup:
        return peak * (0.01 + 0.99 * t / warmup)
    return final + (peak - final) * (1 + cos(pi * (t - warmup) / max(1, steps - warmup))) / 2
