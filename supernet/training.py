"""Train a supernet: subnets drawn at every step, AdamW by entry, cosine schedule with warm-up.

The forms, the batch, its alterations and the drop-path masks of step t are functions of (seed, t) alone, and the step
moves only the entries that were drawn. Source: GLoRA (arXiv 2306.07967) section 3.3; Arnav0400/ViT-Slim at 0fed674.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from supernet import draws
from supernet.augmentation import augmented
from supernet.average import Average
from supernet.backbone import Backbone, build
from supernet.data import Split
from supernet.errors import BadInput
from supernet.examples import DeviceImages
from supernet.head_start import features, start_head
from supernet.model import Supernet
from supernet.numerics import Numerics, autocast, prepare_process, set_fused_attention
from supernet.optimizer import EntryAdamW
from supernet.randomness import stream, torch_generator, torch_seed
from supernet.rates import rates
from supernet.recollection import Recollection
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
    state: Mapping[str, np.ndarray]  # of the optimizer, the average and the recollection


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
            yield Checkpoint(t + 1, before + now - begin, _arrays(running.state()))
            saved = time.perf_counter()
    running.end()
    yield Trained(_arrays(running.supernet.trained()), seconds=before + time.perf_counter() - begin)


class _Training:
    """A supernet under training, on its device. What `step` computes depends on the state and t alone."""

    def __init__(self, task: TrainingTask) -> None:
        self.task, device = task, task.numerics.device
        self.supernet = adapt(task.backbone, task.space, task.seed, task.training.drop_path).to(device).train()
        if task.initial is not None:
            task.initial.load_into(self.supernet, head_only=True)
        set_fused_attention(self.supernet, fused=device.type != "cpu")
        self.images = DeviceImages(task.split.images, task.backbone.mean, task.backbone.std, device)
        self.labels = torch.tensor(task.split.labels, device=device)  # (n,)
        self.always = [name for name in self.supernet.trained() if name.startswith("head.")]
        if task.training.head == "probe" and task.initial is None and task.start is None:
            self._start_head()
        self.optimizer = EntryAdamW(
            self.supernet.trained(),
            weight_decay=task.training.weight_decay,
            rates=rates(self.supernet, task.training.vector_rate),
        )
        decay, share = task.training.average, task.training.memory
        self.average = Average(self.optimizer.values, decay) if decay else None
        classes = self.supernet.head.out_features
        self.recollection = Recollection(len(self.images), classes, share, device) if share else None
        self.steps = total_steps(task.training, len(self.images))
        if task.start is not None:
            self._restore({name: torch.tensor(array, device=device) for name, array in task.start.state.items()})

    def step(self, t: int) -> float:
        """The batch's loss before the step, in nats. Raises BadInput, and moves nothing, if it is not finite."""
        task, settings, examples = self.task, self.task.training, len(self.images)
        batch = torch.from_numpy(batch_of(t, task.seed, examples, settings.batch_size)).to(self.labels.device)
        space = self.supernet.space
        genomes = [task.genome] if task.genome else draws.genomes(space, settings, task.seed, t, self.steps)
        loss = self._backward(t, genomes, batch)
        if not np.isfinite(loss):
            raise BadInput(
                f"The training loss became {loss} at step {t + 1} of {self.steps}. Lower training.learning_rate "
                f"(now {settings.learning_rate:g}) or set space.scales to per_form."
            )
        if settings.recipe == "paper":
            self.optimizer.draw_all()
        else:
            drawn = (entry for genome in genomes for entry in self.supernet.entries(genome))
            self.optimizer.draw(drawn, always=self.always)
        self.optimizer.step(learning_rate(settings, t, self.steps, examples))
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.update(t)
        return loss

    def end(self) -> None:
        """What was trained is now in the supernet's parameters."""
        if self.average is not None:
            self.average.take()

    def state(self) -> dict[str, Tensor]:
        """All that the next step depends on."""
        average = {} if self.average is None else {"average": self.average.average}
        return self.optimizer.state() | average | ({} if self.recollection is None else self.recollection.state())

    def _restore(self, state: Mapping[str, Tensor]) -> None:
        self.optimizer.restore(state)
        if self.average is not None:
            self.average.average.copy_(state["average"])
        if self.recollection is not None:
            self.recollection.restore(state)

    def _start_head(self) -> None:
        order = stream(self.task.seed, "probe").permutation(len(self.images))
        inputs = features(self.supernet.model, self.images)
        start_head(self.supernet.head, inputs, self.labels, torch.from_numpy(order).to(self.labels.device))

    def _backward(self, t: int, genomes: Sequence[str], batch: Tensor) -> float:
        """Gradients of the batch's mean loss, each genome on its share of the batch; the loss, in nats.

        timm's DropPath draws from torch's global generator: fork it.
        """
        images, targets = self._images(t, batch), self._targets(t, batch)
        total = 0.0
        with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
            torch.manual_seed(torch_seed(self.task.seed, "drop_path", t))
            parts = [part.tensor_split(len(genomes)) for part in (batch, images, targets)]
            for genome, examples, some, wanted in zip(genomes, *parts, strict=True):
                with self.supernet.active(genome):
                    with autocast(self.task.numerics):
                        logits = self.supernet(some)
                    loss = F.cross_entropy(logits.float(), wanted, reduction="sum") / len(batch)
                    loss.backward()  # type: ignore[no-untyped-call]
                if self.recollection is not None:
                    self.recollection.keep(examples, logits.detach())
                total += float(loss.detach())
        return total

    def _images(self, t: int, batch: Tensor) -> Tensor:
        """(batch, 3, h, w), altered and normalised."""
        kinds = self.task.training.augmentation
        if not kinds:
            return self.images[batch]
        generator = torch_generator(self.task.seed, "augmentation", t)
        return self.images.normalised(augmented(self.images.images[batch], kinds, generator))

    def _targets(self, t: int, batch: Tensor) -> Tensor:
        """(batch, classes) probabilities."""
        classes, smoothing = self.supernet.head.out_features, self.task.training.label_smoothing
        labels = F.one_hot(self.labels[batch], classes).float() * (1 - smoothing) + smoothing / classes
        return labels if self.recollection is None else self.recollection.targets(batch, labels, t / self.steps)


def _arrays(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in tensors.items()}


def adapt(backbone: Backbone, space: SpaceSettings, seed: int, drop_path: float = 0.0) -> Supernet:
    """A supernet whose supports and head stand as they do before the first step; what is frozen is the backbone's."""
    return Supernet(build(backbone, drop_path=drop_path, own=False), space, torch_generator(seed, "init"))
