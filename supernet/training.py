"""Train a supernet: one form a gene drawn at every step, AdamW by entry, cosine schedule with warm-up.

The forms, the batch and the drop-path masks of step t are functions of (seed, t) alone, and the step moves only the
entries that were drawn. Source: GLoRA (arXiv 2306.07967) section 3.3; Arnav0400/ViT-Slim at 0fed674.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

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
from supernet.schedule import batch_of, learning_rate, total_steps
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
class Checkpoint:
    """A training between two steps. Forms, batches and masks need no state: they are functions of (seed, step)."""

    step: int  # steps that are done
    seconds: float  # that they took
    state: Mapping[str, np.ndarray]  # EntryAdamW.state


@dataclass(frozen=True)
class TrainingTask:
    """Everything that training needs, as values: it runs wherever it is sent."""

    backbone: Backbone
    space: SpaceSettings
    training: TrainingSettings
    split: Split
    seed: int
    numerics: Numerics
    start: Checkpoint | None = None  # go on from here
    checkpoint_every: float | None = None  # seconds
    genome: str | None = None  # train this subnet alone: a fixed method
    initial: Trained | None = None  # the numbers before the first step, or some of them: those of an earlier training

    def run(self) -> Iterator[Progress | Checkpoint | Trained]:
        """Progress after each step, a checkpoint now and then, and at last what was trained.

        Raises BadInput if the loss is not finite.
        """
        prepare_process(self.numerics.threads_per_worker)
        return train(self)


def train(task: TrainingTask) -> Iterator[Progress | Checkpoint | Trained]:
    """See `TrainingTask.run`."""
    running = _Training(task)
    first, before = (task.start.step, task.start.seconds) if task.start else (0, 0.0)
    begin = saved = time.perf_counter()
    for t in range(first, running.steps):
        loss = running.step(t)
        now = time.perf_counter()
        yield Progress(t + 1, running.steps, loss, before + now - begin)
        if task.checkpoint_every is not None and now - saved >= task.checkpoint_every and t + 1 < running.steps:
            yield Checkpoint(t + 1, before + now - begin, _arrays(running.optimizer.state()))
            saved = time.perf_counter()
    yield Trained(_arrays(running.supernet.trained()), seconds=before + time.perf_counter() - begin)


class _Training:
    """A supernet under training, on its device. What `step` computes depends on the state and t alone."""

    def __init__(self, task: TrainingTask) -> None:
        self.task, device = task, task.numerics.device
        self.supernet = adapt(task.backbone, task.space, task.seed, task.training.drop_path).to(device).train()
        if task.initial is not None:
            task.initial.load_into(self.supernet, head_only=True)
        set_fused_attention(self.supernet, fused=device.type != "cpu")
        self.supernet.hold(torch.bfloat16 if task.numerics.precision == "bfloat16" else torch.float32)
        self.images = DeviceImages(task.split.images, task.backbone.mean, task.backbone.std, device)
        self.labels = torch.tensor(task.split.labels, device=device)  # (n,)
        self.always = [name for name in self.supernet.trained() if name.startswith("head.")]
        self.optimizer = EntryAdamW(self.supernet.trained(), weight_decay=task.training.weight_decay)
        self.steps = total_steps(task.training, len(self.images))
        if task.start is not None:
            state = {name: torch.tensor(array, device=device) for name, array in task.start.state.items()}
            self.optimizer.restore(state)

    def step(self, t: int) -> float:
        """The batch's loss before the step, in nats. Raises BadInput, and moves nothing, if it is not finite."""
        task, settings, examples = self.task, self.task.training, len(self.images)
        batch = torch.from_numpy(batch_of(t, task.seed, examples, settings.batch_size)).to(self.labels.device)
        genome = task.genome or self.supernet.space.draw(stream(task.seed, "forms", t))
        masks = torch_seed(task.seed, "drop_path", t)
        loss = _backward(self.supernet, genome, self.images[batch], self.labels[batch], task, masks)
        if not np.isfinite(loss):
            raise BadInput(
                f"The training loss became {loss} at step {t + 1} of {self.steps}. Lower training.learning_rate "
                f"(now {settings.learning_rate:g}) or set space.scales to per_form."
            )
        if settings.recipe == "paper":
            self.optimizer.draw_all()
        else:
            self.optimizer.draw(self.supernet.entries(genome), always=self.always)
        self.optimizer.step(learning_rate(settings, t, self.steps, examples))
        self.optimizer.zero_grad()
        return loss


def _arrays(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in tensors.items()}


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
