"""A Linear with its bias, and the GELU behind it, in one of oneDNN's kernels, its weight laid out for them beforehand.

Of a small model on a CPU with AMX, torch's own calls take a fifth of a Linear to write the bias into the output before
they multiply, a tenth to lay out the weight, each time, and as much as that again for a GELU that passes over the
output once more. `torch.compile` calls the same ops. They are not part of torch's public interface, so a machine is
asked first whether it has them and computes the same (`works`).
"""

from __future__ import annotations

from functools import cache
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from supernet.threads import single_threaded


class OneDnnLinear(nn.Linear):
    """Another Linear's own parameters, in bfloat16; what computes is `packed`. For inference: it has no gradient."""

    def __init__(self, op: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = op.in_features, op.out_features
        self.weight, self.bias = op.weight, op.bias
        self.packed = packed(op.weight.data)
        self.gelu = False  # of what comes out

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out) bfloat16."""
        return linear(x.bfloat16(), self.packed, self.bias, gelu=self.gelu)


def packed(weight: Tensor) -> Tensor:
    """(out, in) bfloat16, laid out as the kernels want it: opaque to all others."""
    return cast(Tensor, torch.ops.mkldnn._reorder_linear_weight(weight, None))


def share_weight(model: nn.Module) -> None:
    """The weights of these Linears become one piece of memory, since what computes are the packed ones."""
    ops = [module for module in model.modules() if isinstance(module, OneDnnLinear)]
    if ops:
        scratch = max((op.weight.data for op in ops), key=Tensor.numel).clone().flatten()
        for op in ops:
            op.weight.data = scratch[: op.weight.numel()].view_as(op.weight)


@cache
@single_threaded()  # it is asked before the process's threads are set
def works() -> bool:
    """Whether torch has the ops here, and what they compute is what torch's own calls do."""
    generator = torch.Generator().manual_seed(0)
    x, weight, bias = (torch.randn(shape, generator=generator).bfloat16() for shape in ((3, 5, 64), (48, 64), (48,)))
    plain = F.linear(x, weight, bias)
    try:
        ours = [linear(x, packed(weight), bias, gelu=gelu) for gelu in (False, True)]
    except (AttributeError, RuntimeError):  # another torch, or one that was built without oneDNN
        return False
    pairs = zip(ours, (plain, F.gelu(plain)), strict=True)
    return all(torch.allclose(found.float(), known.float(), rtol=0.02, atol=0.05) for found, known in pairs)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, *, gelu: bool = False) -> Tensor:
    """(..., in) @ (out, in)^T + (out,), all bfloat16, the weight packed or not; without a gradient.

    Source: torch's own lowering of Linears for inference, torch/_inductor/mkldnn_lowerings.py.
    """
    name, algorithm = ("gelu", "none") if gelu else ("none", "")  # "none" of the algorithms is the exact one
    return cast(Tensor, torch.ops.mkldnn._linear_pointwise(x, weight, bias, name, [], algorithm))
