"""Write a subnet into plain layers: the merged model computes what the subnet computes, at the backbone's own cost."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from supernet.model import Supernet


@torch.no_grad()
def merge_into(plain: nn.Module, supernet: Supernet, genome: str) -> None:
    """Overwrite the Linears and the head of `plain`, a model built as the supernet's own, with the merged subnet.

    Every merged weight comes from the original W0, b0, which the supernet keeps. Preallocated: nothing is built anew.
    """
    for path, forms in supernet.forms(genome).items():
        weight, bias = supernet.sites[path].merged(forms)
        op = cast(nn.Linear, plain.get_submodule(path))
        op.weight.copy_(weight)
        if bias is not None:
            op.bias.copy_(bias)
    head = cast(nn.Linear, plain.get_classifier())  # type: ignore[operator]
    head.load_state_dict(supernet.head.state_dict())
