"""What a subnet costs where it is used: a forward of it before merging and after, beside one of the plain backbone.

    before    the supernet's own forward with the genome active: every choice computes
    after     the model that an export holds: merged, compiled, and the rest wrapped (supernet/compiling.py)

The three are timed in turn, plain, before, after, plain, before, after, so that whatever else the machine does falls on
all alike: a round's ratios hold where milliseconds alone would not. In eval mode and float32, on random images.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from supernet.backbone import Backbone
from supernet.compiling import Outcome, compile_into, mergeable
from supernet.model import Supernet
from supernet.numerics import Numerics, prepare_process, set_fused_attention
from supernet.plain import plain_model
from supernet.settings import SpaceSettings
from supernet.trained import Trained
from supernet.training import Progress, adapt

BATCHES = 1, 4, 16  # images a forward
WARMUP, ROUNDS = 2, 15


@dataclass(frozen=True)
class Latency:
    """Of a forward: medians over the rounds, and medians of what a round's ratios are."""

    batch: int  # images
    plain: float  # milliseconds
    before: float  # milliseconds
    after: float  # milliseconds
    times_before: float  # before / plain
    times_after: float  # after / plain


@dataclass(frozen=True)
class Deployment:
    """Of one subnet."""

    mergeable: str  # yes, partly or no
    genes: Mapping[str, int]  # how many are merged, compiled and kept; those at `none` are not counted
    latencies: tuple[Latency, ...]  # of BATCHES


def from_dict(values: Mapping[str, Any]) -> Deployment:
    """The inverse of dataclasses.asdict."""
    latencies = tuple(Latency(**each) for each in values["latencies"])
    return Deployment(values["mergeable"], dict(values["genes"]), latencies)


@dataclass(frozen=True)
class DeploymentTask:
    """Merge a trained subnet as an export would, and time it on the worker."""

    backbone: Backbone
    space: SpaceSettings
    trained: Trained
    genome: str
    numerics: Numerics  # in float32, with the threads that a forward has
    head_only: bool = False  # the trained tensors are a head's alone

    def run(self) -> Iterator[Progress | Deployment]:
        """No progress, then the result."""
        prepare_process(self.numerics.threads_per_worker)
        supernet = self._supernet()
        plain, after = (plain_model(self.backbone, self.numerics).eval() for _ in range(2))
        became = compile_into(after, supernet, self.genome)
        after.to(self.numerics.device).eval()
        with supernet.active(self.genome):
            latencies = tuple(self._latency(batch, plain, supernet, after) for batch in BATCHES)
        yield Deployment(mergeable(became), counted(became), latencies)

    def _supernet(self) -> Supernet:
        supernet = adapt(self.backbone, self.space, seed=0).to(self.numerics.device).eval()
        self.trained.load_into(supernet, head_only=self.head_only)
        set_fused_attention(supernet, self.numerics.attention == "fused")
        return supernet

    def _latency(self, batch: int, *models: nn.Module) -> Latency:
        size, generator = self.backbone.image_size, torch.Generator().manual_seed(batch)
        images = torch.randn(batch, 3, size, size, generator=generator).to(self.numerics.device)
        rounds = list(in_turn([partial(_forward, model, images) for model in models]))
        ratios = [(before / plain, after / plain) for plain, before, after in rounds]
        return Latency(batch, *_medians(rounds), *_medians(ratios))


def counted(became: Mapping[str, Outcome]) -> dict[str, int]:
    """Outcome -> how many genes, each outcome named."""
    count = Counter(became.values())
    return {"merged": count["merged"], "compiled": count["compiled"], "kept": count["kept"]}


def in_turn(things: Sequence[Callable[[], object]]) -> Iterator[tuple[float, ...]]:
    """Milliseconds of each in each round after the warm-up; a round does all of them, one after the other."""
    for number in range(WARMUP + ROUNDS):
        times = tuple(_timed(thing) for thing in things)
        if number >= WARMUP:
            yield times


def _medians(rounds: Sequence[Sequence[float]]) -> Iterator[float]:
    """Of each column."""
    return (median(column) for column in zip(*rounds, strict=True))


@torch.inference_mode()
def _forward(model: nn.Module, images: Tensor) -> None:
    """To the end of what it starts on a GPU."""
    model(images)
    if images.is_cuda:
        torch.cuda.synchronize()


def _timed(thing: Callable[[], object]) -> float:
    begin = time.perf_counter()
    thing()
    return 1000 * (time.perf_counter() - begin)
