"""Write a subnet into plain layers: the merged model computes what the subnet computes, at the backbone's own cost.

What a layer holds is a function of its site's forms and of weights that are frozen, so a site whose forms stay as they
were needs no work.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from supernet.model import Supernet
from supernet.sites import as_matrix
from supernet.wiring import wire

CACHED = 2**20  # numbers summed at a time on a CPU: with a scratch they stay in its last cache


class Merger:
    """The ops of a plain model, overwritten by one subnet after another. Preallocated: nothing is built anew.

    What a subnet wraps cannot be merged: it is wired around the plain model's own modules, and only that.
    """

    def __init__(self, plain: nn.Module, supernet: Supernet) -> None:
        """`plain` is built as the supernet's model, perhaps of a lower precision; its head is written here, once."""
        self.supernet, self.plain = supernet, plain
        self.ops = {path: cast(nn.Linear, plain.get_submodule(path)) for path in supernet.ops}
        self.held: dict[str, Mapping[str, str]] = {}  # site -> the forms that its layer holds
        self.wired: Mapping[str, Mapping[str, str]] | None = None  # site -> the forms that are wired around it
        self.scratch = _scratch([as_matrix(site.op.weight) for site in supernet.ops.values()])
        cast(nn.Linear, plain.get_classifier()).load_state_dict(supernet.head.state_dict())  # type: ignore[operator]

    @torch.no_grad()
    def merge(self, genome: str) -> None:
        """Every merged weight comes from the original W0, b0, which the supernet keeps."""
        chosen = self.supernet.forms(genome)
        for path, op in self.ops.items():
            if self.held.get(path) == chosen[path]:
                continue
            self.held.pop(path, None)  # a merge that breaks off leaves neither
            self.supernet.ops[path].merge(chosen[path], as_matrix(op.weight), op.bias, self.scratch)
            self.held[path] = chosen[path]
        self._wire({site: chosen[site] for site in self.supernet.rewired if chosen[site]})

    def _wire(self, wrapped: dict[str, Mapping[str, str]]) -> None:
        if wrapped == self.wired:
            return
        sites = self.supernet.rewired
        wire(self.plain, {sites[site].place: partial(sites[site].around, forms) for site, forms in wrapped.items()})
        self.wired = wrapped


def _scratch(frozen: list[Tensor]) -> Tensor:
    """(2, numbers), of the weights' type and on their device."""
    if not frozen:
        return torch.empty(2, 0)
    largest = max(weight.numel() for weight in frozen)
    widest = max(weight.shape[1] for weight in frozen)
    numbers = largest if frozen[0].is_cuda else max(widest, min(largest, CACHED))  # a GPU wants few kernels
    return frozen[0].new_empty(2, numbers)


def merge_into(plain: nn.Module, supernet: Supernet, genome: str) -> None:
    """Overwrite the ops and the head of `plain`, a model built as the supernet's own, with the merged subnet."""
    Merger(plain, supernet).merge(genome)
