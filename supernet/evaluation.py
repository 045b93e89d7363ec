"""Score subnets: merge a genome once into plain layers, then a plain forward of a split kept on the device.

Losses per example are rounded to integers (units of 2**-16 nats) before they are summed, so that a sum has no order.
The chunk size is constant and the last chunk is padded, so that every example meets the same kernels.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from supernet import selfcheck
from supernet.backbone import Backbone
from supernet.data import Split
from supernet.examples import DeviceImages
from supernet.graphs import captured
from supernet.memory import room
from supernet.merging import Merger
from supernet.numerics import Numerics, prepare_process
from supernet.plain import forward, plain_model
from supernet.settings import SpaceSettings
from supernet.trained import Trained
from supernet.training import adapt

QUANTUM = 2.0**-16  # nats


@dataclass(frozen=True)
class Partial:
    """What is known of a candidate after some chunks: the racing rule looks at it."""

    seen: int  # examples
    correct: int
    loss: int  # summed, in units of QUANTUM
    total: int  # examples of the whole split
    parameters: int  # trainable, the head not counted


class Hopeless(Protocol):
    """The racing rule: a value that travels."""

    @property
    def order(self) -> np.ndarray | None:
        """(n,) int, the examples in the order they are to be looked at; None for the split's own."""

    def __call__(self, partial: Partial) -> bool:
        """Whether the candidate cannot survive, whatever the examples not seen yet would give."""


@dataclass(frozen=True)
class Measurement:
    """A subnet's result on a split (or on its first `seen` examples, if racing dropped it there)."""

    accuracy: float  # top-1, in [0, 1]
    loss: float  # mean cross-entropy, in nats
    correct: bytes  # one bit an example in the split's order, numpy.packbits order; 0 where it was not looked at
    partial: Partial
    losses: bytes | None = None  # where the task asks for them: (n,) int64 in units of QUANTUM, in the split's order

    @property
    def complete(self) -> bool:
        return self.partial.seen == self.partial.total


@dataclass(frozen=True)
class ScoringTask:
    """Everything that scoring needs, as values: it runs wherever it is sent."""

    backbone: Backbone
    space: SpaceSettings
    trained: Trained
    split: Split
    numerics: Numerics
    head_only: bool = False  # the trained tensors are a head's alone: a linear probe
    losses: bool = False  # report each example's loss

    def scorer(self) -> Scorer:
        """Built where it computes."""
        return Scorer(self)


class NotFinite(ArithmeticError):
    """A logit or loss that is not finite: the candidate is a failure."""


class Tally:
    """What came out of the examples so far: left on the device until somebody asks, since asking waits for it."""

    def __init__(self) -> None:
        self.seen = 0  # examples
        self._losses: list[Tensor] = []  # (k,) float64 each, in nats
        self._right: list[Tensor] = []  # (k,) bool each

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """logits (k, classes) float32, labels (k,)."""
        self._losses.append(F.cross_entropy(logits, labels, reduction="none").double())
        self._right.append(logits.argmax(dim=1) == labels)
        self.seen += len(labels)

    def fetch(self) -> tuple[np.ndarray, Tensor]:
        """((seen,) bool, (seen,) int64 losses in units of QUANTUM, on the device). Raises NotFinite."""
        losses = torch.cat(self._losses)
        if wrong := int((~losses.isfinite()).sum()):
            raise NotFinite(f"The loss of {wrong} examples is not finite.")
        return torch.cat(self._right).cpu().numpy(), (losses / QUANTUM).round().long()


@dataclass(frozen=True)
class Queue:
    """A split's examples on the device, in the order they are looked at; the images themselves stay where they are."""

    order: np.ndarray  # (n,) int, into the split
    images: DeviceImages  # in the split's order
    labels: Tensor  # (n,), in the queue's
    index: Tensor | None = None  # (n,) int, the order on the device; None for the split's own

    def reordered(self, order: np.ndarray) -> Queue:
        """The same split in another order; `self` has the split's own."""
        assert np.array_equal(np.sort(order), self.order), "an order names each example once"
        order = order.copy()  # a view may run backwards
        index = torch.from_numpy(order).to(self.labels.device, torch.int64)
        return Queue(order, self.images, self.labels[index], index)

    def taken(self, at: slice) -> Tensor:
        """(k, 3, h, w) float32, normalised: the images at these places of the queue."""
        return self.images[at if self.index is None else self.index[at]]

    def in_split_order(self, values: np.ndarray) -> np.ndarray:
        """(n,) from those of the first examples of the queue; False or 0 for the others."""
        found = np.zeros(len(self.order), dtype=values.dtype)
        found[self.order[: len(values)]] = values
        return found


class Scorer:
    """A supernet, a plain model of preallocated weights, and a split, all on one device."""

    def __init__(self, task: ScoringTask) -> None:
        prepare_process(task.numerics.threads_per_worker)
        self.numerics, self.losses = task.numerics, task.losses
        device = task.numerics.device
        self.supernet = adapt(task.backbone, task.space, seed=0).to(device).eval()
        task.trained.load_into(self.supernet, head_only=task.head_only)
        self.plain = plain_model(task.backbone, task.numerics, wrapped=bool(self.supernet.rewired))
        self.images = DeviceImages(task.split.images, task.backbone.mean, task.backbone.std, device)
        self.split = Queue(np.arange(len(task.split)), self.images, torch.tensor(task.split.labels, device=device))
        self._queue = self.split  # the last one: the candidates of a generation share an order
        self.constant: Callable[[Tensor], Tensor] = self.forward  # for chunks of the campaign's size
        if device.type == "cuda" and not self.supernet.rewired:  # a graph would replay the backbone unwrapped
            some = torch.zeros(self.numerics.chunk, *self.images[:1].shape[1:], device=device)
            self.constant = captured(self.forward, some)
        self.base = None if task.head_only else selfcheck.untouched(self, task.trained)  # before anything is merged
        peers = max(1, (os.cpu_count() or 1) // self.numerics.threads_per_worker)  # that this machine may have
        self.merger = Merger(self.plain, self.supernet, room=0 if device.type == "cuda" else room(peers))

    def check(self) -> None:
        """Raises BadInput if this worker computes wrongly. A head alone has no subnets to compare."""
        if self.base is not None:
            selfcheck.check(self, self.base)

    def parameters(self, genome: str) -> int:
        """Trainable, the head not counted."""
        return self.supernet.space.parameters(genome)

    @torch.inference_mode()
    def score(self, genome: str, hopeless: Hopeless | None = None, chunk: int | None = None) -> Measurement:
        """Raises NotFinite where a loss is not a number.

        A `chunk` below the campaign's needs less memory and may move a last bit. The racing rule is asked after as many
        examples as ever, and not after the last.
        """
        if chunk is not None and chunk < self.numerics.chunk:
            self.merger.forget()
        self.merger.merge(genome)
        queue, tally = self._in_order(None if hopeless is None else hopeless.order), Tally()
        for logits, labels in self.chunks(queue, chunk or self.numerics.chunk):
            tally.add(logits, labels)
            if hopeless is not None and tally.seen < len(queue.order) and hopeless(self._partial(genome, tally)):
                break
        right, losses = tally.fetch()
        partial = self._partial(genome, tally)
        return Measurement(
            accuracy=partial.correct / partial.seen,
            loss=partial.loss * QUANTUM / partial.seen,
            correct=np.packbits(queue.in_split_order(right)).tobytes(),
            partial=partial,
            losses=queue.in_split_order(losses.cpu().numpy()).tobytes() if self.losses else None,
        )

    def _partial(self, genome: str, tally: Tally) -> Partial:
        right, losses = tally.fetch()
        return Partial(tally.seen, int(right.sum()), int(losses.sum()), len(self.split.order), self.parameters(genome))

    def _in_order(self, order: np.ndarray | None) -> Queue:
        if order is None:
            return self.split
        if not np.array_equal(order, self._queue.order):
            self._queue = self.split.reordered(order)
        return self._queue

    def chunks(self, queue: Queue, chunk: int) -> Iterator[tuple[Tensor, Tensor]]:
        """(logits (k, classes) float32, labels (k,)) of each of the campaign's chunks, in the queue's order."""
        for start in range(0, len(queue.order), self.numerics.chunk):
            labels = queue.labels[start : start + self.numerics.chunk]
            stop = start + len(labels)
            steps = (slice(i, min(i + chunk, stop)) for i in range(start, stop, chunk))
            yield torch.cat([self.logits(queue.taken(step), chunk) for step in steps]), labels

    @torch.inference_mode()
    def logits(self, images: Tensor, chunk: int) -> Tensor:
        """(k, classes) float32 of what was merged last, for images (k, 3, h, w), at most `chunk`, padded to as many."""
        count = len(images)
        if count < chunk:
            images = torch.cat([images, images.new_zeros(chunk - count, *images.shape[1:])])
        known = self.constant if chunk == self.numerics.chunk else self.forward
        return known(images)[:count]

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, h, w) float32, normalised -> (n, classes) float32."""
        return forward(self.plain, images, self.numerics)
