"""The linear probe: a head of its own on the frozen backbone's features, the baseline of every report."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import skip_init

from supernet.backbone import Backbone, build
from supernet.data import Split
from supernet.examples import DeviceImages
from supernet.numerics import Numerics, prepare_process
from supernet.randomness import torch_generator
from supernet.schedule import batch_of, learning_rate, total_steps
from supernet.settings import TrainingSettings
from supernet.trained import Trained
from supernet.training import Progress

RATES = (3e-3, 1e-2, 3e-2, 1e-1)  # peak learning rates tried; a probe of one rate would be a weak baseline


@dataclass(frozen=True)
class ProbeTask:
    """Train heads alone on features computed once, one for each of RATES; the lowest validation loss is kept.

    Epochs, batches, warm-up and weight decay are those of the supernet's training.
    """

    backbone: Backbone
    training: TrainingSettings
    split: Split
    validation: Split
    seed: int
    numerics: Numerics

    def run(self) -> Iterator[Progress | Trained]:
        """Progress after each step, and at last the best head's tensors, named as in `Supernet.trained`."""
        prepare_process(self.numerics.threads_per_worker)
        begin = time.perf_counter()
        inputs, held_out = features(self, self.split), features(self, self.validation)
        best: tuple[float, nn.Linear] | None = None
        steps = total_steps(self.training, len(self.split))
        for number, rate in enumerate(RATES):
            head = self._head(inputs.shape[1])
            settings = self.training.model_copy(update={"learning_rate": rate})
            for t, loss in enumerate(self._steps(head, inputs, settings, steps), start=number * steps + 1):
                yield Progress(t, steps * len(RATES), loss, time.perf_counter() - begin)
            with torch.no_grad():
                found = float(F.cross_entropy(head(held_out), self._labels(self.validation)))
            if best is None or found < best[0]:
                best = found, head
        assert best is not None, "there are rates to try"
        tensors = {f"head.{name}": value.detach().cpu().numpy().copy() for name, value in best[1].named_parameters()}
        yield Trained(tensors, seconds=time.perf_counter() - begin)

    def _head(self, width: int) -> nn.Linear:
        head: nn.Linear = skip_init(  # type: ignore[no-untyped-call]
            nn.Linear, width, self.backbone.classes, device=self.numerics.device
        )
        nn.init.zeros_(head.bias)
        with torch.no_grad():
            start = torch.empty(head.weight.shape)
            head.weight.copy_(nn.init.trunc_normal_(start, std=0.01, generator=torch_generator(self.seed, "probe")))
        return head

    def _steps(self, head: nn.Linear, inputs: Tensor, settings: TrainingSettings, steps: int) -> Iterator[float]:
        """The loss of each step, in nats."""
        labels = self._labels(self.split)
        optimizer = torch.optim.AdamW(head.parameters(), weight_decay=settings.weight_decay)
        for t in range(steps):
            batch = torch.from_numpy(batch_of(t, self.seed, len(inputs), settings.batch_size)).to(inputs.device)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(settings, t, steps, len(inputs))
            loss = F.cross_entropy(head(inputs[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            yield float(loss.detach())

    def _labels(self, split: Split) -> Tensor:
        return torch.tensor(split.labels, device=self.numerics.device)


@torch.no_grad()
def features(task: ProbeTask, split: Split) -> Tensor:
    """(n, width) float32: what the backbone hands to its head."""
    model = build(task.backbone).to(task.numerics.device).eval()
    images = DeviceImages(split.images, task.backbone.mean, task.backbone.std, task.numerics.device)
    chunks = (images[start : start + task.numerics.chunk] for start in range(0, len(images), task.numerics.chunk))
    return torch.cat(
        [model.forward_head(model.forward_features(chunk), pre_logits=True) for chunk in chunks]  # type: ignore[operator]
    )
