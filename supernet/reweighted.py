"""The product of a Linear whose numbers are changed, with a backward pass that spares the weight gradient.

    y = x W^T + b,   W = W0 * (1 + gain) + down @ up                                         (1)

Of the frozen W0 no gradient is wanted, so those of the small factors come from thin products. With z = x up^T and
dz = dy down:

    dx = dy W       d_down = dy^T z       d_up = dz^T x       d_b = dy^T 1, in one product with d_down
    (1 + gain) d_gain = sum over tokens of dy * (y - b)  -  sum over k of down * d_down      (out, 1)
                      = sum over tokens of x * dx        -  sum over k of up * d_up          (1, in), or its sum (1, 1)
                                                                                             (2)

The last is d_gain = sum of dy * (x W0^T), or of x * (dy W0), with W0 written as what (1) leaves of it: what W0 alone
makes of x or dy would be a product more, or a pass more over the tokens. On a CPU with AMX such a pass takes a fifth
of a product and more. The bias goes before the sum: after it a large one would leave its rounding. Where a 1 + gain is
too small to divide by, and on devices that would have to wait for the answer, the gain's gradient comes from the
product that (2) avoids:

    g = dy^T x      d_gain = sums of g * W0                                                  (3)

Only a gain of full size (out, in), or a dense shift, needs dy^T x everywhere: there (1) is left to autograd. W is
merged from W0 in its own precision and rounded once. Outputs or a W0 that were rounded before would swallow small
changes, most of what a training's first steps make.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from supernet.choices.reweight import Terms, added

SLAB = 64  # rows of a product that are added up at once: a few hundred kilobytes of sums stay in a core's cache
DIVISOR = 0.25  # the least |1 + gain| that equation (2) divides by


def reweighted_linear(x: Tensor, weight: Tensor, bias: Tensor | None, terms: Terms) -> Tensor:
    """Equation (1): x (..., in) -> (..., out), in the precision of x; the weight W0 (out, in) in its own."""
    bias = added(bias, terms.bias)
    gain, down, up, dense = terms.gain, terms.down, terms.up, terms.dense
    if dense is not None or (gain is not None and min(gain.shape) > 1):
        whole = _merged(weight, gain, down, up) if dense is None else _merged(weight, gain, down, up) + dense
        return F.linear(x, whole.to(x.dtype), None if bias is None else bias.to(x.dtype))
    y: Tensor = _Reweighted.apply(x.flatten(0, -2), weight, gain, down, up, bias)
    return y.view(*x.shape[:-1], len(weight))


def _merged(weight: Tensor, gain: Tensor | None, down: Tensor | None, up: Tensor | None) -> Tensor:
    """W of equation (1), (out, in), in the precision of the weight."""
    if down is None or up is None:
        return weight if gain is None else torch.addcmul(weight, weight, gain)
    if gain is None:
        return torch.addmm(weight, down, up)
    return torch.addcmul(weight, weight, gain).addmm_(down, up)


class _Reweighted(torch.autograd.Function):
    """Equation (1) where the gain is (out, 1), (1, in), (1, 1) or absent; the backward pass is equation (2)."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,  # (tokens, in)
        weight: Tensor,
        gain: Tensor | None,
        down: Tensor | None,
        up: Tensor | None,
        bias: Tensor | None,
    ) -> Tensor:
        """Keeps x and y only where a gradient asks for them."""
        _, _, gain_moves, down_moves, up_moves, _ = ctx.needs_input_grad
        divides = gain is not None and gain_moves and _divides(gain)
        by_row = divides and gain is not None and len(gain) > 1
        keeps_x = up_moves or (gain_moves and not by_row)
        z = _thin(x, up) if up is not None and not keeps_x and (down_moves or gain_moves) else None
        whole = _merged(weight, gain, down, up).to(x.dtype)
        y = F.linear(x, whole, None if bias is None else bias.to(x.dtype))
        ctx.by_row, ctx.by_column = by_row, divides and not by_row
        again = whole.dtype == weight.dtype  # to merge once more takes less than to hold all of a model's weights
        kept = x if keeps_x else None, y if by_row else None, z, None if again else whole
        ctx.save_for_backward(*kept, weight, gain, down, up, bias)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        """Equation (2), or (3) for a gain that it cannot divide by."""
        x, y, z, whole, weight, gain, down, up, bias = ctx.saved_tensors
        x_moves, _, gain_moves, down_moves, up_moves, bias_moves = ctx.needs_input_grad
        by_row, by_column = ctx.by_row, ctx.by_column
        dx = None
        if x_moves or by_column:
            dx = dy @ (_merged(weight, gain, down, up) if whole is None else whole)
        if z is None and up is not None and (down_moves or by_row):
            z = _thin(x, up)
        d_bias, d_down = _thin_gradients(z, dy, bias_moves)
        d_up = (dy @ down.to(dy.dtype)).T @ x if up_moves or (by_column and up is not None) else None
        d_gain = None
        if by_row:
            known = None if down is None else (down * d_down).sum(1)
            unbiased = y if bias is None else y - bias.to(y.dtype)
            d_gain = _rest(_column_dots(dy, unbiased), known)[:, None] / (1 + gain)
        elif by_column and dx is not None:
            known = None if up is None else (up * d_up).sum(0)
            d_gain = _rest(_column_dots(x, dx), known)[None].sum_to_size(gain.shape) / (1 + gain)
        elif gain_moves:
            d_gain = (dy.T @ x * weight).sum_to_size(gain.shape)
        return dx, None, d_gain, d_down, d_up, d_bias


def _divides(gain: Tensor) -> bool:
    return gain.device.type == "cpu" and bool(((1 + gain).abs() >= DIVISOR).all())


def _rest(whole: Tensor, part: Tensor | None) -> Tensor:
    return whole if part is None else whole - part


def _thin(x: Tensor, up: Tensor) -> Tensor:
    return x @ up.T.to(x.dtype)  # (tokens, k)


def _thin_gradients(z: Tensor | None, dy: Tensor, bias: bool) -> tuple[Tensor | None, Tensor | None]:
    """(d_b (out,), d_down (out, k)), each if it is asked for, in one pass over dy (tokens, out)."""
    columns = ([dy.new_ones(len(dy), 1)] if bias else []) + ([] if z is None else [z])
    if not columns:
        return None, None
    found = torch.cat(columns, 1).T @ dy  # (1 + k, out): half the time of the transposed product
    return found[0] if bias else None, None if z is None else found[int(bias) :].T


def _column_dots(a: Tensor, b: Tensor) -> Tensor:
    """Sum over tokens of a * b: (tokens, n), (tokens, n) -> (n,), on a CPU by way of sums that stay in the cache.

    Products in bfloat16 are rounded before they are summed: what mixes precisions converts each operand in a pass.
    """
    if a.dtype == torch.bfloat16:
        return (a * b).sum(0)
    rows = SLAB if a.device.type == "cpu" else len(a)
    sums = a.new_zeros(rows, a.shape[1])
    for start in range(0, len(a), rows):
        part = slice(start, start + rows)
        sums[: len(a[part])].addcmul_(a[part], b[part])
    return sums.sum(0)
