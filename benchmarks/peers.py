"""Training steps of others: Hugging Face PEFT's LoRA and GLoRA layers, and the reference way, under plain AdamW."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from peft import GloraConfig, LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import reference
from benchmarks.setting import Setting
from supernet.backbone import build
from supernet.cost import near_only
from supernet.numerics import Numerics, autocast

LINEARS = r"blocks\..*\.(qkv|proj|fc1|fc2)"  # those of a supernet's sites
DROP_PATH = 0.1  # as in our own training


def lora(setting: Setting) -> nn.Module:
    """LoRA at every Linear of the blocks."""
    return _adapted(setting, LoraConfig(r=_rank(setting), **_where()))


def glora(setting: Setting) -> nn.Module:
    """GLoRA with every support at its largest: PEFT's layer has one form of each, for good."""
    forms: Mapping[str, Any] = {"config_A_B": "lora", "config_C": "lora", "config_D_E": "vector"}
    return _adapted(setting, GloraConfig(r=_rank(setting), **forms, **_where()))


def rebuilt(setting: Setting) -> nn.Module:
    """The reference way: forms drawn at every step."""
    return reference.adapted(setting.inputs.backbone, _rank(setting), DROP_PATH)


MODELS: Mapping[str, Callable[[Setting], nn.Module]] = {"lora": lora, "glora": glora, "reference": rebuilt}


class Step:
    """Forward, backward and AdamW of one batch, always the same."""

    def __init__(self, model: nn.Module, images: Tensor, labels: Tensor, numerics: Numerics) -> None:
        self.model, self.images, self.labels, self.numerics = model.train(), images, labels, numerics
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=1e-4, weight_decay=1e-4)

    def __call__(self) -> float:
        """The batch's loss before the step, in nats."""
        with autocast(self.numerics):
            logits = self.model(self.images)
        loss = F.cross_entropy(logits.float(), self.labels)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return float(loss.detach())


def step(name: str, setting: Setting, images: Tensor, labels: Tensor) -> Step:
    """The step of one of MODELS; the reference way knows no autocast."""
    model = MODELS[name](setting).to(setting.numerics.device)
    numerics = replace(setting.numerics, precision="float32") if name == "reference" else setting.numerics
    return Step(model, images, labels, numerics)


class Ours:
    """The steps of a supernet's training, one after the other, each with a batch and forms of its own.

    None of them is one of the method that training begins with, which are cheaper. `head` is how it begins.
    """

    def __init__(self, setting: Setting, head: str = "random") -> None:
        task = near_only(setting.inputs.training(setting.numerics))
        longest = task.training.model_copy(update={"head": head, "epochs": 10_000})  # more than are asked for
        self._progress: Iterator[Any] = replace(task, training=longest).run()

    def __call__(self) -> float:
        """The batch's loss before the step, in nats."""
        return float(next(self._progress).loss)


def _adapted(setting: Setting, config: LoraConfig | GloraConfig) -> nn.Module:
    model: nn.Module = get_peft_model(build(setting.inputs.backbone, DROP_PATH), config)
    return model


def _where() -> dict[str, Any]:
    return {"target_modules": LINEARS, "modules_to_save": ["head"]}


def _rank(setting: Setting) -> int:
    return max(setting.inputs.settings.space.ranks)
