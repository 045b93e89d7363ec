"""Train a supernet: one form a gene drawn at every step, AdamW by entry, cosine schedule with warm-up.

The forms, the batch and the drop-path masks of step t are functions of (seed, t) alone, and the step moves only the
entries that were drawn. Source: GLoRA (arXiv 2306.07967) section 3.3; Arnav0400/ViT-Slim at 0fed674.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from math import cos, pi

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from supernet.backbone import Backbone, build
from supernet.data import Split
from supernet.errors import BadInput
from supernet.examples import DeviceImages
from supernet.model import Supernet
from supernet.numerics import Numerics, autocast, prepare_process, set_fused_attention
from supernet.optimizer import EntryAdamW
from supernet.randomness import stream, torch_generator, torch_seed
from supernet.settings import SpaceSettings, TrainingSettings
from supernet.trained import Trained


@dataclass(frozen=True)
class Progress:
    """A step that is done."""

    step: int  # 1 .. steps
    steps: int
    loss: float  # mean cross-entropy of the step's batch, in nats
    seconds: float  # since training began


@dataclass(frozen=True)
class TrainingTask:
    """Everything that training needs, as values: it runs wherever it is sent."""

    backbone: Backbone
    space: SpaceSettings
    training: TrainingSettings
    split: Split
    seed: int
    numerics: Numerics

    def run(self) -> Iterator[Progress | Trained]:
        """Progress after each step, and at last what was trained. Raises BadInput if the loss is not finite."""
        prepare_process(self.numerics.threads_per_worker)
        return train(self)


def train(task: TrainingTask) -> Iterator[Progress | Trained]:
    """See `TrainingTask.run`."""
    settings, seed, device = task.training, task.seed, task.numerics.device
    supernet = adapt(task.backbone, task.space, seed, drop_path=settings.drop_path).to(device).train()
    set_fused_attention(supernet, fused=device.type != "cpu")
    images = DeviceImages(task.split.images, task.backbone.mean, task.backbone.std, device)
    labels = torch.tensor(task.split.labels, device=device)  # (n,)
    optimizer = EntryAdamW(supernet.trained(), weight_decay=settings.weight_decay)
    steps, begin = total_steps(settings, len(images)), time.perf_counter()
    for t in range(steps):
        batch = torch.from_numpy(batch_of(t, seed, len(images), settings.batch_size)).to(device)
        genome = supernet.space.draw(stream(seed, "forms", t))
        loss = _backward(supernet, genome, images[batch], labels[batch], task, torch_seed(seed, "drop_path", t))
        if settings.recipe == "paper":
            optimizer.draw_all()
        else:
            optimizer.draw(supernet.entries(genome), always=("head.weight", "head.bias"))
        optimizer.step(learning_rate(settings, t, steps, len(images)))
        optimizer.zero_grad()
        if not np.isfinite(loss):
            raise BadInput(
                f"The training loss became {loss} at step {t + 1} of {steps}. Lower training.learning_rate "
                f"(now {settings.learning_rate:g}) or set space.scales to per_form."
            )
        yield Progress(t + 1, steps, loss, time.perf_counter() - begin)
    tensors = {name: tensor.detach().cpu().numpy().copy() for name, tensor in supernet.trained().items()}
    yield Trained(tensors, seconds=time.perf_counter() - begin)


def adapt(backbone: Backbone, space: SpaceSettings, seed: int, drop_path: float = 0.0) -> Supernet:
    """A supernet whose supports and head stand as they do before the first step."""
    return Supernet(build(backbone, drop_path=drop_path), space, torch_generator(seed, "init"))


def _backward(supernet: Supernet, genome: str, images: Tensor, labels: Tensor, task: TrainingTask, masks: int) -> float:
    """Gradients of the batch's loss under one genome. timm's DropPath draws from torch's global generator: fork it."""
    devices = [images.device] if images.is_cuda else []
    with torch.random.fork_rng(devices=devices), supernet.active(genome):
        torch.manual_seed(masks)
        with autocast(task.numerics):
            logits = supernet(images)
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=task.training.label_smoothing)
        loss.backward()  # type: ignore[no-untyped-call]
    return float(loss.detach())


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
