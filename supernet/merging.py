"""Write a subnet into plain layers: the merged model computes what the subnet computes, at the backbone's own cost.

What a layer holds is a function of its site's forms and of weights that are frozen. So a site whose forms stay as they
were needs no work, and what one subnet had can be kept for the next that has it: with one rank GLoRA's A and B give a
weight 16 values, and a search meets most of them soon.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from supernet.memory import is_out_of_memory
from supernet.model import Supernet
from supernet.onednn import OneDnnLinear, packed, share_weight
from supernet.sites import as_matrix
from supernet.wiring import wire

Key = tuple[object, ...]  # a site, `weight` or `bias`, and the forms that it depends on

CACHED = 2**20  # numbers summed at a time on a CPU: with a scratch they stay in its last cache


class Merger:
    """The ops of a plain model, overwritten by one subnet after another. Preallocated: nothing is built anew.

    What a subnet wraps cannot be merged: it is wired around the plain model's own modules, and only that.
    """

    def __init__(self, plain: nn.Module, supernet: Supernet, room: int = 0) -> None:
        """`plain` is built as the supernet's model, perhaps of a lower precision; its head is written here, once.

        With `room`, in bytes, layers are given weights that are kept, as long as these fit: they lie elsewhere then.
        """
        self.supernet, self.plain = supernet, plain
        self.ops = {path: cast(nn.Linear, plain.get_submodule(path)) for path in supernet.ops}
        self.held: dict[str, Mapping[str, str]] = {}  # site -> the forms that its layer holds
        self.wired: Mapping[str, Mapping[str, str]] | None = None  # site -> the forms that are wired around it
        self.room = room
        share_weight(plain)
        self.own = {path: (op.weight.data, None if op.bias is None else op.bias.data) for path, op in self.ops.items()}
        self.kept: dict[Key, Tensor] = {}
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
            self._give(path, op, chosen[path])
            self.held[path] = chosen[path]
        self._wire({site: chosen[site] for site in self.supernet.rewired if chosen[site]})

    def _give(self, path: str, op: nn.Linear, forms: Mapping[str, str]) -> None:
        """Let the layer have numbers that are kept; what is not yet is merged, and kept if there is room."""
        site, (weight, bias) = self.supernet.ops[path], self.own[path]
        weighing, shifting = site.weighing(forms), site.shifting(forms)

        def weigh(into: Tensor) -> None:
            site.merge(weighing, as_matrix(into), None, self.scratch)

        numbers = self._kept((path, "weight", *weighing.items()), weight, weigh, isinstance(op, OneDnnLinear))
        if isinstance(op, OneDnnLinear):
            op.packed = numbers
        else:
            op.weight.data = numbers
        if bias is not None:
            op.bias.data = self._kept((path, "bias", *shifting.items()), bias, partial(site.merge_bias, shifting))

    def _kept(self, key: Key, own: Tensor, merge: Callable[[Tensor], None], pack: bool = False) -> Tensor:
        """The numbers of this key; without room to keep them in the layer's own memory, unless they are packed."""
        if (known := self.kept.get(key)) is not None:
            return known
        size = own.numel() * own.element_size()
        into = own if pack or size > self.room else self._another(own)
        merge(into)
        found = self._packed(into) if pack else into
        if found is not own and size <= self.room:
            self.kept[key], self.room = found, self.room - size
        return found

    def _packed(self, weight: Tensor) -> Tensor:
        """Laid out for oneDNN; where memory is short, once more without what was kept and no layer has."""
        try:
            return packed(weight)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        self.kept.clear()
        self.room = 0
        return packed(weight)

    def _another(self, own: Tensor) -> Tensor:
        """Of the same shape; itself if memory is short, and then nothing more is kept."""
        try:
            with torch.inference_mode(False):  # what a parameter may hold
                return torch.empty_like(own)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            self.room = 0
            return own

    def forget(self) -> None:
        """Give back what was kept and no layer has, and keep nothing more: memory is needed for the forward pass."""
        for path, op in self.ops.items():
            weight, bias = self.own[path]
            op.weight.data = weight
            if bias is not None:
                op.bias.data = bias
        self.kept.clear()
        self.held.clear()
        self.room = 0

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
