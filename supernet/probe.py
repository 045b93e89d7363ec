"""The linear probe: a head of its own on the frozen backbone's features, the baseline of every report."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from supernet.backbone import Backbone, build
from supernet.data import Split
from supernet.examples import DeviceImages
from supernet.numerics import Numerics, prepare_process
from supernet.randomness import torch_generator
from supernet.schedule import batch_of, learning_rate, total_steps
from supernet.settings import TrainingSettings
from supernet.trained import Trained
from supernet.training import Progress


@dataclass(frozen=True)
class ProbeTask:
    """Train a head alone, under the supernet's own training settings, on features computed once."""

    backbone: Backbone
    training: TrainingSettings
    split: Split
    seed: int
    numerics: Numerics

    def run(self) -> Iterator[Progress | Trained]:
        """Progress after each step, and at last the head's tensors, named as in `Supernet.trained`."""
        prepare_process(self.numerics.threads_per_worker)
        begin, device = time.perf_counter(), self.numerics.device
        inputs = features(self)  # (n, width)
        labels = torch.tensor(self.split.labels, device=device)
        head = nn.Linear(inputs.shape[1], self.backbone.classes, device="meta").to_empty(device=device)  # draws nothing
        nn.init.zeros_(head.bias)
        with torch.no_grad():
            generator = torch_generator(self.seed, "probe")
            head.weight.copy_(nn.init.trunc_normal_(torch.empty(head.weight.shape), std=0.01, generator=generator))
        optimizer = torch.optim.AdamW(head.parameters(), weight_decay=self.training.weight_decay)
        steps = total_steps(self.training, len(inputs))
        for t in range(steps):
            batch = torch.from_numpy(batch_of(t, self.seed, len(inputs), self.training.batch_size)).to(device)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(self.training, t, steps, len(inputs))
            loss = F.cross_entropy(head(inputs[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            yield Progress(t + 1, steps, float(loss.detach()), time.perf_counter() - begin)
        tensors = {f"head.{name}": value.detach().cpu().numpy().copy() for name, value in head.named_parameters()}
        yield Trained(tensors, seconds=time.perf_counter() - begin)


@torch.no_grad()
def features(task: ProbeTask) -> Tensor:
    """(n, width) float32: what the backbone hands to its head."""
    model = build(task.backbone).to(task.numerics.device).eval()
    images = DeviceImages(task.split.images, task.backbone.mean, task.backbone.std, task.numerics.device)
    chunks = (images[start : start + task.numerics.chunk] for start in range(0, len(images), task.numerics.chunk))
    return torch.cat(
        [model.forward_head(model.forward_features(chunk), pre_logits=True) for chunk in chunks]  # type: ignore[operator]
    )
