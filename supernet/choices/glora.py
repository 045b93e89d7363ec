"""GLoRA's five supports at one Linear, y = x W^T + b with W0 (o, i), b0 (o,):

    W = W0 + W0 * A + B                     (o, i)      * elementwise, or W0 @ A with A (i, i)
    b = b0 + b0 * D + E + W0 @ C            (o,)        always from the original W0                (1)

| support | LoRA of rank k     | vector                  | scalar                  | none |
|---------|--------------------|-------------------------|-------------------------|------|
| A       | down @ up (o, i)   | scales each output row  | scales the whole weight | 0    |
| A, `@`  | down @ up (i, i)   | scales each input       | scales the whole weight | 0    |
| B       | down @ up (o, i)   | a number added per row  | a number added to all   | 0    |
| C       | down @ up (i, 1)   | (i, 1)                  | -                       | 0    |
| D       | -                  | (o,)                    | one number              | 0    |
| E       | -                  | (o,)                    | one number              | 0    |

B's vector and scalar act through sum(x), which grows with the width: with `scales: per_form` these two forms are
multiplied by 1/i, still equation (1), so that one learning rate trains every form.
Source: GLoRA (arXiv 2306.07967), equations 7-10; Arnav0400/ViT-Slim at 0fed674, folder GLoRA.
"""

from __future__ import annotations

import torch
from torch import Tensor

from supernet.choices.factors import Factors, Shift
from supernet.choices.reweight import Rows, Terms
from supernet.settings import GloraOptions

Delta = tuple[Tensor | None, Tensor | None]


class A(Factors):
    """Scales the weight: dW = W0 * A."""

    Options, on, needs_bias, weighs = GloraOptions, ("linear",), False, True

    def __init__(self, out: int, width: int, space: GloraOptions, generator: torch.Generator) -> None:
        super().__init__(out, width, space.ranks, scalar=True, shared=_shared(space), scales={}, generator=generator)

    def delta(self, form: str, weight: Tensor, bias: Tensor | None) -> Delta:
        return weight * self.value(form), None

    def add(self, form: str, rows: Rows, weight: Tensor) -> Tensor:
        return torch.addcmul(weight, rows.weight, self.rows_of(form, rows), out=rows.merged_weight)

    def terms(self, form: str, weight: Tensor, bias: Tensor | None) -> Terms:
        return Terms(gain=self.value(form))


class MatrixA(Factors):
    """Scales the weight by a matrix product: dW = W0 @ A with A (i, i), a vector being A's diagonal."""

    Options, on, needs_bias, weighs = GloraOptions, ("linear",), False, True

    def __init__(self, out: int, width: int, space: GloraOptions, generator: torch.Generator) -> None:
        super().__init__(width, width, space.ranks, scalar=True, shared=_shared(space), scales={}, generator=generator)

    def delta(self, form: str, weight: Tensor, bias: Tensor | None) -> Delta:
        value = self.value(form)
        return (weight * value.T if form in ("vector", "scalar") else weight @ value), None

    def add(self, form: str, rows: Rows, weight: Tensor) -> Tensor:
        if form in ("vector", "scalar"):
            return torch.addcmul(weight, rows.weight, self.value(form).T, out=rows.merged_weight)
        down, up = self.factors(form)
        return torch.addmm(weight, rows.weight @ down, up, out=rows.merged_weight)

    def terms(self, form: str, weight: Tensor, bias: Tensor | None) -> Terms:
        if form in ("vector", "scalar"):
            return Terms(gain=self.value(form).T)
        down, up = self.factors(form)
        return Terms(down=weight @ down, up=up)


class B(Factors):
    """Shifts the weight: dW = B."""

    Options, on, needs_bias, weighs = GloraOptions, ("linear",), False, True

    def __init__(self, out: int, width: int, space: GloraOptions, generator: torch.Generator) -> None:
        scales = {"vector": 1 / width, "scalar": 1 / width} if space.scales == "per_form" else {}
        super().__init__(
            out, width, space.ranks, scalar=True, shared=_shared(space), scales=scales, generator=generator
        )

    def delta(self, form: str, weight: Tensor, bias: Tensor | None) -> Delta:
        return self.value(form).expand_as(weight), None

    def add(self, form: str, rows: Rows, weight: Tensor) -> Tensor:
        if form in ("vector", "scalar"):
            return torch.add(weight, self.rows_of(form, rows), out=rows.merged_weight)
        down, up = self.factors(form)
        return torch.addmm(weight, down[rows.at], up, out=rows.merged_weight)

    def terms(self, form: str, weight: Tensor, bias: Tensor | None) -> Terms:
        if form in ("vector", "scalar"):
            return Terms(down=self.value(form).expand(len(weight), 1), up=weight.new_ones(1, weight.shape[1]))
        down, up = self.factors(form)
        return Terms(down=down, up=up)


class C(Factors):
    """A prompt seen through the weight: db = W0 @ C."""

    Options, on, needs_bias, weighs = GloraOptions, ("linear",), True, False

    def __init__(self, out: int, width: int, space: GloraOptions, generator: torch.Generator) -> None:
        super().__init__(width, 1, space.ranks, scalar=False, shared=_shared(space), scales={}, generator=generator)

    def delta(self, form: str, weight: Tensor, bias: Tensor | None) -> Delta:
        return None, (weight @ self.value(form)).squeeze(1)

    def add(self, form: str, rows: Rows, weight: Tensor) -> Tensor:
        assert rows.merged_bias is not None, "C is left out of the space of a layer without a bias"
        rows.merged_bias.addmv_(rows.weight, self.value(form).squeeze(1))
        return weight

    def terms(self, form: str, weight: Tensor, bias: Tensor | None) -> Terms:
        return Terms(bias=self.delta(form, weight, bias)[1])


class D(Shift):
    """Scales the bias: db = b0 * D."""

    Options, on, needs_bias, weighs = GloraOptions, ("linear",), True, False

    def __init__(self, out: int, width: int, space: GloraOptions, generator: torch.Generator) -> None:
        super().__init__(out, shared=_shared(space))

    def delta(self, form: str, weight: Tensor, bias: Tensor | None) -> Delta:
        assert bias is not None, "D is left out of the space of a layer without a bias"
        return None, bias * self.value(form)

    def add(self, form: str, rows: Rows, weight: Tensor) -> Tensor:
        assert rows.bias is not None, "D is left out of the space of a layer without a bias"
        assert rows.merged_bias is not None
        rows.merged_bias.addcmul_(rows.bias, self.rows_of(form, rows))
        return weight

    def terms(self, form: str, weight: Tensor, bias: Tensor | None) -> Terms:
        return Terms(bias=self.delta(form, weight, bias)[1])


class E(Shift):
    """Shifts the bias: db = E."""

    Options, on, needs_bias, weighs = GloraOptions, ("linear",), True, False

    def __init__(self, out: int, width: int, space: GloraOptions, generator: torch.Generator) -> None:
        super().__init__(out, shared=_shared(space))

    def delta(self, form: str, weight: Tensor, bias: Tensor | None) -> Delta:
        assert bias is not None, "E is left out of the space of a layer without a bias"
        return None, self.value(form).expand_as(bias)

    def add(self, form: str, rows: Rows, weight: Tensor) -> Tensor:
        assert rows.merged_bias is not None, "E is left out of the space of a layer without a bias"
        rows.merged_bias.add_(self.rows_of(form, rows))
        return weight

    def terms(self, form: str, weight: Tensor, bias: Tensor | None) -> Terms:
        return Terms(bias=self.delta(form, weight, bias)[1])


class Scaling:
    """A under the product that the options name."""

    Options, on, needs_bias, weighs = A.Options, A.on, A.needs_bias, A.weighs

    def __new__(cls, out: int, width: int, space: GloraOptions, generator: torch.Generator) -> A | MatrixA:  # type: ignore[misc]
        return (MatrixA if space.product == "matrix" else A)(out, width, space, generator)


def _shared(space: GloraOptions) -> bool:
    return space.storage == "shared"
