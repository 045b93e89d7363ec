"""The plain timm model: what a candidate, an export and a step are measured against."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.setting import Setting
from benchmarks.timing import in_turn
from supernet.backbone import build
from supernet.data import Split
from supernet.examples import DeviceImages
from supernet.numerics import Numerics, autocast, set_fused_attention

CHUNKS = (25, 50, 100, 200)  # examples a forward


def frozen(setting: Setting, *, fused: bool) -> nn.Module:
    """The backbone on its device, its Linears in the precision of the numerics: nothing is cast at a forward."""
    model = build(setting.inputs.backbone).to(setting.numerics.device)
    set_fused_attention(model, fused)
    if setting.numerics.precision == "bfloat16":
        for module in model.modules():
            if isinstance(module, nn.Linear):
                module.to(torch.bfloat16)
    return model


def normalised(setting: Setting, split: Split) -> Tensor:
    """(n, 3, h, w) float32, as the model takes them, on its device."""
    backbone, device = setting.inputs.backbone, setting.numerics.device
    return DeviceImages(split.images, backbone.mean, backbone.std, device)[:]


class Forward:
    """A model's forward of images that are normalised already, so many at a time."""

    def __init__(self, model: nn.Module, images: Tensor, numerics: Numerics, chunk: int) -> None:
        self.model, self.numerics, self.parts = model.eval(), numerics, images.split(chunk)

    @torch.inference_mode()
    def __call__(self) -> Tensor:
        """(n, classes) logits."""
        with autocast(self.numerics):
            return torch.cat([self.model(part) for part in self.parts])


def fastest(setting: Setting, rounds: int = 2) -> tuple[Forward, str]:
    """The plain forward of the validation split in the fastest of its forms, and which that is."""
    images = normalised(setting, setting.inputs.data.val)
    forms = {
        f"{chunk} examples a forward, {'fused' if fused else 'plain'} attention": Forward(
            model, images, setting.numerics, chunk
        )
        for fused, model in ((fused, frozen(setting, fused=fused)) for fused in (True, False))
        for chunk in sorted({min(chunk, len(images)) for chunk in CHUNKS})
    }
    name = in_turn(forms, rounds, warmup=1).fastest()
    return forms[name], name


class Floor:
    """Forward and the gradient of the images alone: what no training through a frozen backbone can do without."""

    def __init__(self, model: nn.Module, images: Tensor, labels: Tensor, numerics: Numerics) -> None:
        self.model, self.labels, self.numerics = model.eval(), labels, numerics
        self.images = images.clone().requires_grad_()

    def __call__(self) -> Tensor:
        """(batch, 3, h, w): the gradient."""
        with autocast(self.numerics):
            logits = self.model(self.images)
        loss = F.cross_entropy(logits.float(), self.labels)
        (gradient,) = torch.autograd.grad(loss, self.images)
        return gradient
