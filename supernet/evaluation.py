"""Score subnets: merge a genome once into plain layers, then a plain forward of a split kept on the device.

Losses per example are rounded to integers (units of 2**-16 nats) before they are summed, so that a sum has no order.
The chunk size is constant and the last chunk is padded, so that every example meets the same kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from supernet import selfcheck
from supernet.backbone import Backbone, build
from supernet.data import Split
from supernet.examples import DeviceImages
from supernet.merging import merge_into
from supernet.numerics import Numerics, autocast, prepare_process, set_fused_attention
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
    parameters: int  # of the subnet, the head not counted


Hopeless = Callable[[Partial], bool]


@dataclass(frozen=True)
class Measurement:
    """A subnet's result on a split (or on its first `seen` examples, if racing dropped it there)."""

    accuracy: float  # top-1, in [0, 1]
    loss: float  # mean cross-entropy, in nats
    correct: bytes  # one bit an example, numpy.packbits order
    partial: Partial

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

    def scorer(self) -> Scorer:
        """Built where it computes."""
        return Scorer(self)


class NotFinite(ArithmeticError):
    """A logit or loss that is not finite: the candidate is a failure."""


class Scorer:
    """A supernet, a plain model of preallocated weights, and a split, all on one device."""

    def __init__(self, task: ScoringTask) -> None:
        prepare_process(task.numerics.threads_per_worker)
        self.numerics = task.numerics
        device = task.numerics.device
        self.supernet = adapt(task.backbone, task.space, seed=0).to(device).eval()
        task.trained.load_into(self.supernet, head_only=task.head_only)
        self.plain = build(task.backbone).to(device).eval()
        set_fused_attention(self.plain, task.numerics.attention == "fused")
        if task.numerics.precision == "bfloat16":  # autocast would cast these weights at every forward
            for path in self.supernet.sites:
                self.plain.get_submodule(path).to(torch.bfloat16)
        self.images = DeviceImages(task.split.images, task.backbone.mean, task.backbone.std, device)
        self.labels = torch.tensor(task.split.labels, device=device)  # (n,)
        self.base = None if task.head_only else selfcheck.untouched(self, task.trained)  # before anything is merged

    def check(self) -> None:
        """Raises BadInput if this worker computes wrongly. A head alone has no subnets to compare."""
        if self.base is not None:
            selfcheck.check(self, self.base)

    def parameters(self, genome: str) -> int:
        """Trainable, the head not counted."""
        return self.supernet.space.parameters(genome)

    def score(self, genome: str, hopeless: Hopeless | None = None, chunk: int | None = None) -> Measurement:
        """Raises NotFinite where a loss is not a number.

        A `chunk` below the campaign's needs less memory and may move a last bit. The racing rule is asked after as many
        examples as ever.
        """
        merge_into(self.plain, self.supernet, genome)
        total, seen, right, loss = len(self.images), 0, [], 0
        for logits, labels in self._chunks(chunk or self.numerics.chunk):
            losses = F.cross_entropy(logits, labels, reduction="none").double()  # (chunk,)
            if not bool(losses.isfinite().all()):
                raise NotFinite(f"The loss of {int((~losses.isfinite()).sum())} examples is not finite.")
            loss += int((losses / QUANTUM).round().long().sum())
            right.append((logits.argmax(dim=1) == labels).cpu().numpy())
            seen += len(labels)
            partial = Partial(seen, int(sum(part.sum() for part in right)), loss, total, self.parameters(genome))
            if hopeless is not None and seen < total and hopeless(partial):
                break
        return Measurement(
            accuracy=partial.correct / seen,
            loss=loss * QUANTUM / seen,
            correct=np.packbits(np.concatenate(right)).tobytes(),
            partial=partial,
        )

    def _chunks(self, chunk: int) -> Iterator[tuple[Tensor, Tensor]]:
        """(logits (k, classes) float32, labels (k,)) of each of the campaign's chunks, in the split's order."""
        for start in range(0, len(self.images), self.numerics.chunk):
            labels = self.labels[start : start + self.numerics.chunk]
            stop = start + len(labels)
            parts = [self.logits(slice(i, min(i + chunk, stop)), chunk) for i in range(start, stop, chunk)]
            yield torch.cat(parts), labels

    @torch.no_grad()
    def logits(self, examples: slice, chunk: int) -> Tensor:
        """(k, classes) float32 of what was merged last, for at most `chunk` examples, padded to as many."""
        images = self.images[examples]  # (k, 3, h, w)
        count = len(images)
        if count < chunk:
            images = torch.cat([images, images.new_zeros(chunk - count, *images.shape[1:])])
        with autocast(self.numerics):
            found: Tensor = self.plain(images)
        return found[:count].float()
