"""The supernet: a frozen backbone with the shared weights of every form at its sites."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from supernet.choices import Reweight, Rows, Terms
from supernet.choices.reweight import Index
from supernet.reweighted import reweighted_linear
from supernet.settings import SpaceSettings
from supernet.sites import linears
from supernet.space import Gene, Space
from supernet.spaces import choices_at


class OpSite(nn.Module):
    """A frozen Linear and the choices that change its numbers.

        W = W0 + sum dW,  b = b0 + sum db,  each delta computed from the originals          (1)

    `forward` computes (1) from terms (reweight.py, equation 2); `merge` computes it as written, some rows at a time.
    """

    def __init__(self, op: nn.Linear, choices: Mapping[str, Reweight]) -> None:
        super().__init__()
        self.op = op
        self.choices = nn.ModuleDict(cast("dict[str, nn.Module]", dict(choices)))
        self.forms: Mapping[str, str] = {}  # gene -> form, for each gene that is not `none`
        self.held: Tensor | None
        self.register_buffer("held", None, persistent=False)  # W0 in the precision of the forward pass, if another

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out), in the precision of autocast where it is on."""
        kind = x.device.type
        if not torch.is_autocast_enabled(kind):
            return self._reweighted(x)
        with torch.autocast(kind, enabled=False):  # the small terms and the merging stay in the weights' precision
            return self._reweighted(x.to(torch.get_autocast_dtype(kind)))

    def _reweighted(self, x: Tensor) -> Tensor:
        weight, bias = self.op.weight, self.op.bias
        terms = (self._choice(gene).terms(form, weight, bias) for gene, form in self.forms.items())
        held = weight if self.held is None else self.held
        return reweighted_linear(x, weight, held.to(x.dtype), bias, sum(terms, start=Terms()))

    def hold(self, dtype: torch.dtype) -> None:
        """Keep the frozen weight in the precision of the forward pass too, so that autocast need not cast it."""
        self.held = None if dtype == self.op.weight.dtype else self.op.weight.to(dtype)

    @torch.no_grad()
    def merge(self, forms: Mapping[str, str], weight: Tensor, bias: Tensor | None, scratch: Tensor) -> None:
        """Write equation (1) into weight (out, in) and bias (out,), which may be of a lower precision.

        The sums are made in the op's own precision, over rows that together fill a half of `scratch` (2, numbers), so
        that they stay in cache: W0 is read once and W written once.
        """
        shifted = None if self.op.bias is None else self.op.bias.clone()  # (out,)
        step = max(1, scratch.shape[1] // self.op.in_features)
        for at in (slice(start, start + step) for start in range(0, self.op.out_features, step)):
            self._merge_rows(forms, at, weight[at], shifted, scratch)
        if bias is not None:
            bias.copy_(shifted)

    def _merge_rows(
        self, forms: Mapping[str, str], at: slice, weight: Tensor, shifted: Tensor | None, scratch: Tensor
    ) -> None:
        """Equation (1) into the rows `at`, whose weight is given, and into those of the bias."""
        original, bias = self.op.weight[at], self.op.bias
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

    def merged(self, forms: Mapping[str, str]) -> tuple[Tensor, Tensor | None]:
        """(W (out, in), b (out,) or None) of equation (1), as new tensors."""
        weight, bias = (None if each is None else torch.empty_like(each) for each in (self.op.weight, self.op.bias))
        assert weight is not None
        self.merge(forms, weight, bias, weight.new_empty(2, weight.numel()))
        return weight, bias

    def entries(self, gene: str, form: str) -> Iterable[tuple[str, Index]]:
        """(parameter name within the gene, slices) of the numbers that the form uses."""
        return self._choice(gene).entries(form)

    def stored(self, gene: str, form: str) -> dict[str, Tensor]:
        """The numbers that the form uses, with its scale multiplied in."""
        return self._choice(gene).stored(form)

    def _choice(self, gene: str) -> Reweight:
        return cast(Reweight, self.choices[gene])


class Supernet(nn.Module):
    """A timm model whose Linears are op sites. Only the choices' parameters and the head are trained."""

    def __init__(self, model: nn.Module, settings: SpaceSettings, generator: torch.Generator) -> None:
        """Takes a model that is built *and* loaded, and replaces its Linears in place. The generator draws inits."""
        super().__init__()
        self.model = model.requires_grad_(False)
        self.sites: dict[str, OpSite] = {}
        genes = []
        for path, op in list(linears(model)):
            found = list(choices_at(op, settings, generator))
            self.sites[path] = OpSite(op, {gene: choice for gene, choice, _ in found})
            genes += [Gene(f"{path}.{gene}", forms) for gene, _, forms in found]
            model.set_submodule(path, self.sites[path])
        self.space = Space(tuple(genes))
        self._keys = tuple((gene.name, *gene.name.rsplit(".", 1)) for gene in genes)  # (gene, site, letter)
        _start_head(self.head, generator)

    @property
    def head(self) -> nn.Linear:
        """The classifier, trained beside the choices and not counted among a subnet's parameters."""
        return cast(nn.Linear, self.model.get_classifier())  # type: ignore[operator]

    def forward(self, images: Tensor) -> Tensor:
        """(batch, 3, height, width), normalised -> logits (batch, classes)."""
        return cast(Tensor, self.model(images))

    def hold(self, dtype: torch.dtype) -> None:
        """Keep the frozen weights of the sites in the precision of the forward pass too."""
        for site in self.sites.values():
            site.hold(dtype)

    @contextmanager
    def active(self, genome: str) -> Iterator[None]:
        """Within the context the model computes the subnet of this genome; afterwards what it computed before."""
        before: dict[str, Mapping[str, str]] = {path: site.forms for path, site in self.sites.items()}
        for path, chosen in self.forms(genome).items():
            self.sites[path].forms = chosen
        try:
            yield
        finally:
            for path, forms in before.items():
                self.sites[path].forms = forms

    def forms(self, genome: str) -> dict[str, dict[str, str]]:
        """Site -> gene -> form, for each gene that is not `none`; every site has an entry."""
        forms: dict[str, dict[str, str]] = {path: {} for path in self.sites}
        self.space.require(genome)
        for (_, site, letter), gene, chosen in zip(self._keys, self.space.genes, genome, strict=True):
            if (form := gene.by_letter[chosen].name) != "none":
                forms[site][letter] = form
        return forms

    def trained(self) -> dict[str, nn.Parameter]:
        """Name -> parameter of everything that is trained: `blocks.0.attn.qkv.A.down`, ..., `head.weight`."""
        found = {
            f"{path}.{name}": parameter
            for path, site in self.sites.items()
            for name, parameter in site.choices.named_parameters()
        }
        return found | {f"head.{name}": parameter for name, parameter in self.head.named_parameters()}

    def entries(self, genome: str) -> Iterator[tuple[str, Index]]:
        """(name in `trained`, slices) of the numbers that the subnet uses, the head not among them."""
        for path, forms in self.forms(genome).items():
            for gene, form in forms.items():
                for name, index in self.sites[path].entries(gene, form):
                    yield f"{path}.{gene}.{name}", index


def _start_head(head: nn.Linear, generator: torch.Generator) -> None:
    head.requires_grad_(True)
    nn.init.trunc_normal_(head.weight, std=0.01, generator=generator)
    if head.bias is not None:
        nn.init.zeros_(head.bias)
