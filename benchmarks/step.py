"""What a training step costs: ours, over forward and input gradient alone, and beside the steps of others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks import peers, plain
from benchmarks.figures import Figure, at_most, beside
from benchmarks.memory import memory_over_lora
from benchmarks.setting import DIGITS, Setting, at
from benchmarks.timing import in_turn
from supernet.data import Split

OTHERS = {
    "reference": "the reference way's step, float32",
    "lora": "a step of PEFT's LoRA",
    "glora": "a step of PEFT's GLoRA, every support at its largest",
    "fused": "the floor itself with timm's fused attention",
}


def step(work: Path, config: Path = DIGITS, sizes: Sequence[int] = (56, 98), rounds: int = 10) -> list[Figure]:
    """The first of the sizes (pixels) is the one that counts."""
    figures: list[Figure] = []
    for number, size in enumerate(sizes):
        figures += _over_floor(at(config, size), rounds, "" if number == 0 else f"_{size}", size)
        figures.append(memory_over_lora(config, size, "" if number == 0 else f"_{size}"))
    return figures


def _over_floor(setting: Setting, rounds: int, suffix: str, size: int) -> list[Figure]:
    images, labels = batch(setting, setting.inputs.data.train)
    things = {
        "ours": peers.Ours(setting),
        "floor": plain.Floor(plain.frozen(setting, fused=False), images, labels, setting.numerics),
        "fused": plain.Floor(plain.frozen(setting, fused=True), images, labels, setting.numerics),
        **{name: peers.step(name, setting, images, labels) for name in peers.MODELS},
    }
    times = in_turn(things, rounds)
    what = f"a supernet's step, over forward and input gradient alone, unfused attention, {size} px"
    return [
        at_most(f"step_over_floor{suffix}", what, times.ratio("ours", "floor"), 1.5),
        *(
            beside(f"{name}_over_floor{suffix}", f"{title}, over the same, {size} px", times.ratio(name, "floor"))
            for name, title in OTHERS.items()
        ),
    ]


def batch(setting: Setting, split: Split) -> tuple[torch.Tensor, torch.Tensor]:
    """(images (batch, 3, h, w) normalised, labels (batch,)): the split's first."""
    count = setting.inputs.settings.training.batch_size
    labels = torch.tensor(split.labels[:count], device=setting.numerics.device)
    return plain.normalised(setting, split)[:count], labels
