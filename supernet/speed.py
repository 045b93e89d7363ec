"""Which way of computing a forward is the fastest here: timed on the backbone itself, before a campaign's first.

Every evaluation's key holds what is chosen, so a choice that noise could flip would cost a campaign what others have
found: a default stays unless another way saves MARGIN of a pass over the split in the median of some rounds, and
something in every one. The default
has small chunks where candidates are raced, since they are dropped after whole chunks, and else large ones. On a CPU
what other processes take is not counted. Two blocks are timed for all of them: but for the last, which may compute one
token alone, and for what a space wraps, they are alike.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil, log2
from statistics import median

import torch
from torch import Tensor, nn

from supernet.backbone import Backbone
from supernet.numerics import CHUNKS, Numerics, prepare_process, set_fused_attention
from supernet.plain import forward, plain_model
from supernet.training import Progress

BLOCKS = 2  # of the backbone, timed
ROUNDS = 4  # of all ways in turn, after a warm-up
FEWEST = 3  # rounds that a choice may rest on
MARGIN = 0.03  # of a pass: what another way must save
RACED = 0.12  # of a pass: what racing saves with chunks of half the size (LOG.md)
WORTH = 0.05  # seconds of those blocks' pass over the split, below which nothing is tried
BUDGET = 3.0  # seconds after which no other round begins


Times = dict[Numerics, float]  # seconds of a pass over the split


@dataclass(frozen=True)
class Speed:
    """What was chosen, and why."""

    numerics: Numerics
    why: str


@dataclass(frozen=True)
class SpeedTask:
    """Choose attention and chunk for the numerics that a worker offers."""

    backbone: Backbone
    numerics: Numerics  # as `numerics.probe` found them
    examples: int  # of the validation split
    racing: bool

    def run(self) -> Iterator[Progress | Speed]:
        """No progress, then the choice."""
        prepare_process(self.numerics.threads_per_worker)
        yield self.choice(self.rounds())

    def ways(self) -> list[Numerics]:
        """The default first, then what differs from it in one thing."""
        chunk, *chunks = sorted(CHUNKS[self.numerics.device.type], reverse=not self.racing)
        default = replace(self.numerics, chunk=chunk)
        other = replace(default, attention="plain" if default.attention == "fused" else "fused")
        return [default, other, *(replace(default, chunk=chunk) for chunk in chunks)]

    def rounds(self) -> list[Times]:
        """The times of each round but the first, a warm-up; none where nothing can be told apart, or it takes long."""
        model = plain_model(self.backbone, self.numerics)
        if hasattr(model, "blocks"):  # elsewhere blocks of other widths follow
            model.blocks = model.blocks[:BLOCKS]  # type: ignore[index]
        begin, rounds = time.perf_counter(), list[Times]()
        if min(self._seconds(model, self.ways()[0]) for _ in range(2)) < WORTH:
            return []
        while len(rounds) <= ROUNDS and time.perf_counter() - begin < BUDGET:
            rounds.append({way: self._seconds(model, way) for way in self.ways()})
        return rounds[1:] if len(rounds) > FEWEST else []

    def choice(self, rounds: list[Times]) -> Speed:
        """What differs from the default in one thing is taken where it saves enough; of chunks, what saves most."""
        default, other, *chunks = self.ways()
        if not rounds:
            return Speed(default, f"{_name(default)} by default: a forward is too short or too long to try others")
        found = {way: _Shares([times[way] / times[default] for times in rounds]) for way in (other, *chunks)}
        attention = other.attention if found[other].below(1 - MARGIN) else default.attention
        enough = {way: self._enough(way.chunk / default.chunk) for way in chunks}
        good = [way for way in chunks if found[way].below(enough[way])]
        chunk = min(good, key=lambda way: found[way].median / enough[way], default=default).chunk
        chosen = replace(default, attention=attention, chunk=chunk)
        tried = ", ".join(f"{_difference(way, default)} {found[way]}" for way in found)
        return Speed(chosen, f"{_name(chosen)} (in times of {_name(default)}, the median and worst round: {tried})")

    def _enough(self, larger: float) -> float:
        """The share of the default's time below which a chunk so many times as large is better."""
        return (1 - RACED) ** log2(larger) if self.racing else 1 - MARGIN

    def _seconds(self, model: nn.Module, way: Numerics) -> float:
        """Of a pass over the split, from as many examples in every way: the largest chunk, if the split has as many."""
        set_fused_attention(model, way.attention == "fused")
        size, whole = self.backbone.image_size, ceil(self.examples / way.chunk)
        images = torch.randn(way.chunk, 3, size, size, device=way.device, generator=torch.Generator(way.device))
        forwards = min(whole, max(CHUNKS[way.device.type]) // way.chunk)
        begin = _clock(images)
        for _ in range(forwards):
            forward(model, images, way)
        return (_clock(images) - begin) * whole / forwards


class _Shares:
    """Of the default's time, a way's in each round."""

    def __init__(self, shares: list[float]) -> None:
        self.median, self.worst = median(shares), max(shares)

    def below(self, bound: float) -> bool:
        return self.median <= bound and self.worst < 1

    def __str__(self) -> str:
        return f"{self.median:.2f} and {self.worst:.2f}"


def _clock(images: Tensor) -> float:
    """Seconds, without what other processes take of a CPU; on a GPU, once all that was asked of it is done."""
    if images.is_cuda:
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def _name(way: Numerics) -> str:
    return f"{way.attention} attention, {way.chunk} examples a forward"


def _difference(way: Numerics, default: Numerics) -> str:
    return f"{way.chunk} examples" if way.chunk != default.chunk else f"{way.attention} attention"
