"""Which of two candidates is better: the one order that selection, racing and the choice share.

    loss        (-loss, accuracy)      of equal losses the more accurate comes first
    accuracy    (accuracy, -loss)      of equally accurate ones the one of lower loss (the paper's is accuracy alone)

Keys are compared from left to right, larger is better, and of equal keys the earlier proposal comes first. On a few
hundred images accuracies tie often and mean losses hardly ever.
"""

from __future__ import annotations

from typing import Literal

from db.records import Rank as Rank

Choice = Literal["best", "smallest_tied", "surely_better"]
Key = tuple[float, float]


def key(rank: Rank, accuracy: float, loss: float) -> Key:
    """Accuracy in [0, 1], loss in nats."""
    return (-loss, accuracy) if rank == "loss" else (accuracy, -loss)


def place(rank: Rank, accuracy: float, loss: float, number: int) -> tuple[float, float, int]:
    """What sorts candidates best first; `number` is the proposal's."""
    first, second = key(rank, accuracy, loss)
    return -first, -second, number
