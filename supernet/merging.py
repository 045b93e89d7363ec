"""Write a subnet into plain layers: the merged model computes what the subnet computes, at the backbone's own cost.

What a layer holds is a function of its site's forms and of weights that are frozen, so a site whose forms stay as they
were needs no work.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import nn

from supernet.model import Supernet

CACHED = 2**20  # numbers summed at a time on a CPU: with a scratch they stay in its last cache


class Merger:
    """The Linears of a plain model, overwritten by one subnet after another. Preallocated: nothing is built anew."""

    def __init__(self, plain: nn.Module, supernet: Supernet) -> None:
        """`plain` is built as the supernet's model, perhaps of a lower precision; its head is written here, once."""
        self.supernet = supernet
        self.ops = {path: cast(nn.Linear, plain.get_submodule(path)) for path in supernet.sites}
        self.held: dict[str, Mapping[str, str]] = {}  # site -> the forms that its layer holds
        frozen = [site.op.weight for site in supernet.sites.values()]
        largest = max(weight.numel() for weight in frozen)
        widest = max(weight.shape[1] for weight in frozen)
        numbers = largest if frozen[0].is_cuda else max(widest, min(largest, CACHED))  # a GPU wants few kernels
        self.scratch = frozen[0].new_empty(2, numbers)
        cast(nn.Linear, plain.get_classifier()).load_state_dict(supernet.head.state_dict())  # type: ignore[operator]

    @torch.no_grad()
    def merge(self, genome: str) -> None:
        """Every merged weight comes from the original W0, b0, which the supernet keeps."""
        for path, forms in self.supernet.forms(genome).items():
            if self.held.get(path) == forms:
                continue
            self.held.pop(path, None)  # a merge that breaks off leaves neither
            self.supernet.sites[path].merge(forms, self.ops[path].weight, self.ops[path].bias, self.scratch)
            self.held[path] = forms


def merge_into(plain: nn.Module, supernet: Supernet, genome: str) -> None:
    """Overwrite the Linears and the head of `plain`, a model built as the supernet's own, with the merged subnet."""
    Merger(plain, supernet).merge(genome)
