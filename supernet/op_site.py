"""A site where numbers change: an op of the frozen backbone, and the choices that reweight it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from supernet.choices import Reweight, Rows, Terms
from supernet.choices.reweight import Index, added
from supernet.reweighted import reweighted_linear
from supernet.sites import as_matrix


class OpSite(nn.Module):
    """A frozen Linear, Conv2d or LayerNorm and the choices that change its numbers, as a matrix (sites.as_matrix).

        W = W0 + sum dW,  b = b0 + sum db,  each delta computed from the originals          (1)

    `forward` computes (1) from terms (reweight.py, equation 2); `merge` computes it as written, some rows at a time.
    """

    def __init__(self, op: nn.Linear | nn.Conv2d | nn.LayerNorm, choices: Mapping[str, Reweight]) -> None:
        super().__init__()
        self.op = op
        self.choices = nn.ModuleDict(cast("dict[str, nn.Module]", dict(choices)))
        self.forms: Mapping[str, str] = {}  # gene -> form, for each gene that is not `none`

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out), in the precision of autocast where it is on; an image where the op takes one."""
        if not isinstance(self.op, nn.Linear):
            return self._replaced(x)
        kind = x.device.type
        if not torch.is_autocast_enabled(kind):
            return self._reweighted(x)
        with torch.autocast(kind, enabled=False):  # the small terms and the merging stay in the weights' precision
            return self._reweighted(x.to(torch.get_autocast_dtype(kind)))

    def _reweighted(self, x: Tensor) -> Tensor:
        weight, bias = self.op.weight, self.op.bias
        terms = (self._choice(gene).terms(form, weight, bias) for gene, form in self.forms.items())
        return reweighted_linear(x, weight, bias, sum(terms, start=Terms()))

    def _replaced(self, x: Tensor) -> Tensor:
        """The op itself on the numbers of (1), which are few where it is no Linear."""
        if not self.forms:
            return cast(Tensor, self.op(x))
        weight, bias = as_matrix(self.op.weight), self.op.bias
        whole: Tensor | None = weight
        shifted = bias
        for gene, form in self.forms.items():
            dw, db = self._choice(gene).delta(form, weight, bias)
            whole, shifted = added(whole, dw), added(shifted, db)
        assert whole is not None
        numbers = {"weight": whole.view_as(self.op.weight)} | ({} if bias is None else {"bias": cast(Tensor, shifted)})
        return cast(Tensor, functional_call(self.op, numbers, (x,)))

    @torch.no_grad()
    def merge(self, forms: Mapping[str, str], weight: Tensor, bias: Tensor | None, scratch: Tensor) -> None:
        """Write equation (1) into weight (out, in), as a matrix, and bias (out,), which may be of a lower precision.

        The sums are made in the op's own precision, over rows that together fill a half of `scratch` (2, numbers), so
        that they stay in cache: W0 is read once and W written once.
        """
        shifted = None if self.op.bias is None else self.op.bias.clone()  # (out,)
        original = as_matrix(self.op.weight)
        step = max(1, scratch.shape[1] // original.shape[1])
        for at in (slice(start, start + step) for start in range(0, len(original), step)):
            self._merge_rows(forms, at, weight[at], shifted, scratch)
        if bias is not None:
            bias.copy_(cast(Tensor, shifted))

    def _merge_rows(
        self, forms: Mapping[str, str], at: slice, weight: Tensor, shifted: Tensor | None, scratch: Tensor
    ) -> None:
        """Equation (1) into the rows `at`, whose weight is given, and into those of the bias."""
        original, bias = as_matrix(self.op.weight)[at], self.op.bias
        dense, rounded = (half[: original.numel()].view_as(original) for half in scratch)  # (rows, in)
        rows = Rows(
            at=at,
            weight=original,
            bias=None if bias is None else bias[at],
            merged_weight=weight if weight.dtype == original.dtype else rounded,
            merged_bias=None if shifted is None else shifted[at],
            scratch=dense,
        )
        merged = original
        for gene, form in forms.items():
            merged = self._choice(gene).add(form, rows, merged)
        if merged is not weight:
            weight.copy_(merged)

    @torch.no_grad()
    def merge_bias(self, forms: Mapping[str, str], bias: Tensor) -> None:
        """Write b of equation (1) into bias (out,), which may be of a lower precision."""
        weight, shifted = self.op.weight, cast(Tensor, self.op.bias)
        for gene, form in forms.items():
            shifted = cast(Tensor, added(shifted, self._choice(gene).terms(form, as_matrix(weight), self.op.bias).bias))
        bias.copy_(shifted)

    def weighing(self, forms: Mapping[str, str]) -> dict[str, str]:
        """Those of the forms that change the weight."""
        return {gene: form for gene, form in forms.items() if self._choice(gene).weighs}

    def shifting(self, forms: Mapping[str, str]) -> dict[str, str]:
        """Those of the forms that change the bias."""
        return {gene: form for gene, form in forms.items() if self._choice(gene).needs_bias}

    def merged(self, forms: Mapping[str, str]) -> tuple[Tensor, Tensor | None]:
        """(W, b or None) of equation (1), of the shapes that the op has them in, as new tensors."""
        weight, bias = (
            torch.empty_like(self.op.weight),
            None if self.op.bias is None else torch.empty_like(self.op.bias),
        )
        self.merge(forms, as_matrix(weight), bias, weight.new_empty(2, weight.numel()))
        return weight, bias

    def entries(self, gene: str, form: str) -> Iterable[tuple[str, Index]]:
        """(parameter name within the gene, slices) of the numbers that the form uses."""
        return self._choice(gene).entries(form)

    def stored(self, gene: str, form: str) -> dict[str, Tensor]:
        """The numbers that the form uses, with its scale multiplied in."""
        return self._choice(gene).stored(form)

    def _choice(self, gene: str) -> Reweight:
        return cast(Reweight, self.choices[gene])
