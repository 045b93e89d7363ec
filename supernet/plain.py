"""The plain model as evaluation runs it: no support in it, its Linears in the precision that they compute in."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from supernet.backbone import Backbone, build
from supernet.numerics import Numerics, autocast, set_fused_attention
from supernet.sites import linears


def plain_model(backbone: Backbone, numerics: Numerics) -> nn.Module:
    """The backbone on its device, in eval mode. Autocast would cast the weights of Linears at every forward."""
    model = build(backbone).to(numerics.device)
    set_fused_attention(model, numerics.attention == "fused")
    if numerics.precision == "bfloat16":
        for _, op in linears(model):
            op.to(torch.bfloat16)
    return model


@torch.inference_mode()
def forward(model: nn.Module, images: Tensor, numerics: Numerics) -> Tensor:
    """(n, 3, h, w) float32, normalised -> (n, classes) float32."""
    with autocast(numerics):
        found: Tensor = model(images)
    return found.float()
