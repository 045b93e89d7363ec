"""The plain model as evaluation runs it: no support in it, its Linears in the precision that they compute in.

| kernels  | what computes                                                                                           |
|----------|---------------------------------------------------------------------------------------------------------|
| `timm`   | timm's own modules                                                                                      |
| `lean`   | blocks in fewer passes, of the last what the head reads (lean_block.py), where nothing is wrapped in it |
| `onednn` | those, with bias and GELU in the kernels of Linears (onednn.py)                                         |
"""

from __future__ import annotations

import torch
from timm.layers import Mlp
from torch import Tensor, nn

from supernet.backbone import Backbone, build
from supernet.lean_block import use_lean_blocks
from supernet.numerics import Numerics, autocast, set_fused_attention
from supernet.onednn import OneDnnLinear
from supernet.sites import linears


def plain_model(backbone: Backbone, numerics: Numerics, *, wrapped: bool = False) -> nn.Module:
    """The backbone on its device, in eval mode. `wrapped`: something will be put around modules of it.

    Autocast would cast the weights of Linears at every forward.
    """
    model = build(backbone).to(numerics.device)
    set_fused_attention(model, numerics.attention == "fused")
    if numerics.precision == "bfloat16":
        for _, op in linears(model):
            op.to(torch.bfloat16)
    if numerics.kernels == "onednn":
        _use_onednn(model)
    if numerics.kernels != "timm" and not wrapped:
        use_lean_blocks(model, torch.bfloat16 if numerics.precision == "bfloat16" else torch.float32)
    return model


@torch.inference_mode()
def forward(model: nn.Module, images: Tensor, numerics: Numerics) -> Tensor:
    """(n, 3, h, w) float32, normalised -> (n, classes) float32."""
    with autocast(numerics):
        found: Tensor = model(images)
    return found.float()


def _use_onednn(model: nn.Module) -> None:
    """In place of the Linears in the blocks; where an exact GELU follows at once, it becomes theirs."""
    for path, op in list(linears(model)):
        model.set_submodule(path, OneDnnLinear(op))
    for module in model.modules():
        if type(module) is Mlp and isinstance(module.fc1, OneDnnLinear) and _is_exact_gelu(module.act):
            module.fc1.gelu, module.act = True, nn.Identity()


def _is_exact_gelu(activation: object) -> bool:
    return type(activation) is nn.GELU and activation.approximate == "none"
