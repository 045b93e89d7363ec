"""Time things in turn, A B A B, so that whatever else the machine does falls on all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median, quantiles

import torch

from benchmarks.figures import Ratio


@dataclass(frozen=True)
class Times:
    """Seconds of each thing in each round."""

    seconds: Mapping[str, tuple[float, ...]]

    def median(self, name: str) -> float:
        return median(self.seconds[name])

    def fastest(self) -> str:
        """The name with the smallest median."""
        return min(self.seconds, key=self.median)

    def ratio(self, over: str, under: str) -> Ratio:
        """Quartiles of the ratios of each round: a machine that slows down between rounds moves none of them."""
        rounds = [a / b for a, b in zip(self.seconds[over], self.seconds[under], strict=True)]
        low, value, high = quantiles(rounds, n=4, method="inclusive") if len(rounds) > 1 else rounds * 3
        return Ratio(value, low, high)


def in_turn(things: Mapping[str, Callable[[], object]], rounds: int, warmup: int = 2) -> Times:
    """Call each of them once a round; the rounds of the warm-up come first and are not counted."""
    found: dict[str, list[float]] = {name: [] for name in things}
    for number in range(warmup + rounds):
        for name, thing in things.items():
            seconds = timed(thing)
            if number >= warmup:
                found[name].append(seconds)
    return Times({name: tuple(seconds) for name, seconds in found.items()})


def timed(thing: Callable[[], object]) -> float:
    """Seconds of one call, to the end of what it started on a GPU."""
    _synchronize()
    begin = time.perf_counter()
    thing()
    _synchronize()
    return time.perf_counter() - begin


def _synchronize() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
