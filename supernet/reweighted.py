"""The product of a Linear whose numbers are changed, with a backward pass that never forms a weight gradient.

    y = x W^T + b,   W = W0 * (1 + gain) + down @ up                                         (1)

Of the frozen W0 no gradient is wanted, so those of the small factors come from thin products. With z = x up^T:

    dx = (dy W0) * (1 + gain) + (dy down) up         d_down = dy^T z       d_up = (dy down)^T x
    d_gain = sum over tokens of x * (dy W0)  (1, in) or (1, 1);  of dy * (x W0^T)  (out, 1)
    d_b = dy^T 1, in one product with d_down                                                 (2)

Only a gain of full size (out, in), or a dense shift, needs dy^T x (out, in): there (1) is left to autograd. On a CPU a
pass over the tokens' outputs costs about a twentieth of the product itself in float32, and a fifth or more where AMX
multiplies bfloat16. So (1) is merged into a weight where that is possible: from W0 as it is, and rounded once. Outputs
or a W0 that were rounded before would swallow small changes, most of what a training's first steps make. In the
backward pass, where they are a thousandth of dx, the rounded W0 will do.

A gain (out, 1) is applied to the outputs x W0^T, which its gradient needs, in float32. In bfloat16 it is merged too,
and

    g = dy^T x      d_gain = row sums of g * W0      d_down = g up^T      d_up = down^T g        (3)

which takes no longer than the passes over outputs and the thin products that it spares.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from supernet.choices.reweight import Terms, added

SLAB = 64  # rows of a product that are added up at once: a few hundred kilobytes of sums stay in a core's cache


def reweighted_linear(x: Tensor, weight: Tensor, held: Tensor, bias: Tensor | None, terms: Terms) -> Tensor:
    """Equation (1): x (..., in) -> (..., out). `held` is W0 (out, in) in the precision of x, `weight` in its own."""
    bias = added(bias, terms.bias)
    gain, down, up, dense = terms.gain, terms.down, terms.up, terms.dense
    if dense is not None or (gain is not None and min(gain.shape) > 1):
        whole = merged(weight, gain, down, up) if dense is None else merged(weight, gain, down, up) + dense
        return F.linear(x, whole.to(x.dtype), None if bias is None else bias.to(x.dtype))
    y: Tensor = _Reweighted.apply(x.flatten(0, -2), weight, held, gain, down, up, bias)
    return y.view(*x.shape[:-1], len(weight))


def merged(weight: Tensor, gain: Tensor | None, down: Tensor | None, up: Tensor | None) -> Tensor:
    """W of equation (1), (out, in), in the precision of the weight."""
    if gain is not None:
        weight = torch.addcmul(weight, weight, gain.to(weight.dtype))
    if down is not None and up is not None:
        weight = torch.addmm(weight, down.to(weight.dtype), up.to(weight.dtype))
    return weight


class _Reweighted(torch.autograd.Function):
    """Equation (1) where the gain is (out, 1), (1, in), (1, 1) or absent; the backward pass is equation (2)."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,  # (tokens, in)
        weight: Tensor,
        held: Tensor,
        gain: Tensor | None,
        down: Tensor | None,
        up: Tensor | None,
        bias: Tensor | None,
    ) -> Tensor:
        """Keeps x only where a gradient asks for it."""
        by_row = gain is not None and len(gain) > 1
        _, _, _, gain_moves, _, up_moves, _ = ctx.needs_input_grad
        ctx.whole = by_row and x.dtype == torch.bfloat16  # equation (3)
        keeps_x = up_moves or (gain_moves and (ctx.whole or not by_row))
        z = plain = None
        if gain is not None and by_row and not ctx.whole:
            z, plain = None if up is None else _thin(x, up), F.linear(x, held)
            y = _shifted(torch.addcmul(plain, plain, gain.T), z, down, bias)
        else:
            z = _thin(x, up) if up is not None and not keeps_x else None
            whole = held if gain is None and down is None else merged(weight, gain, down, up).to(x.dtype)
            y = F.linear(x, whole, None if bias is None else bias.to(x.dtype))
        ctx.save_for_backward(x if keeps_x else None, plain, z, held, gain, down, up)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        """Equation (2), or (3)."""
        x, plain, z, held, gain, down, up = ctx.saved_tensors
        x_moves, _, _, gain_moves, down_moves, up_moves, bias_moves = ctx.needs_input_grad
        if ctx.whole and gain_moves:
            g = dy.T @ x
            d_gain = (g * held).sum(1, keepdim=True)
            d_bias, _ = _thin_gradients(None, dy, bias_moves)
            d_down = g @ up.T.to(g.dtype) if down_moves else None
            d_up = down.T.to(g.dtype) @ g if up_moves else None
            dx = dy @ merged(held, gain, down, up) if x_moves else None
            return dx, None, None, d_gain, d_down, d_up, d_bias
        if down_moves and z is None:
            z = _thin(x, up)
        d_bias, d_down = _thin_gradients(z if down_moves else None, dy, bias_moves)
        dz = None if down is None else dy @ down.to(dy.dtype)  # (tokens, k)
        d_up = dz.T @ x if up_moves and dz is not None else None
        if plain is not None or gain is None or ctx.whole:
            d_gain = None if plain is None or not gain_moves else _column_dots(dy, plain).T
            dx = dy @ merged(held, gain, down, up) if x_moves else None
        else:
            dx = dy @ held if x_moves or gain_moves else None
            d_gain = _column_dots(x, dx).sum_to_size(gain.shape) if gain_moves and dx is not None else None
            dx = dx.mul_((1 + gain).to(dx.dtype)) if dx is not None and x_moves else None
            dx = dx if dx is None or dz is None else dx.addmm_(dz, up.to(dz.dtype))
        return dx, None, None, d_gain, d_down, d_up, d_bias


def _thin(x: Tensor, up: Tensor) -> Tensor:
    return x @ up.T.to(x.dtype)  # (tokens, k)


def _shifted(y: Tensor, z: Tensor | None, down: Tensor | None, bias: Tensor | None) -> Tensor:
    """y + z down^T + b, in place and in one pass."""
    if z is None or down is None:
        return y if bias is None else y.add_(bias)
    if bias is None:
        return y.addmm_(z, down.T.to(z.dtype))
    ones = z.new_ones(len(z), 1)
    return y.addmm_(torch.cat([ones, z], 1), torch.cat([bias[:, None], down], 1).T.to(z.dtype))


def _thin_gradients(z: Tensor | None, dy: Tensor, bias: bool) -> tuple[Tensor | None, Tensor | None]:
    """(d_b (out,), d_down (out, k)), each if it is asked for, in one pass over dy (tokens, out)."""
    columns = ([dy.new_ones(len(dy), 1)] if bias else []) + ([] if z is None else [z])
    if not columns:
        return None, None
    found = torch.cat(columns, 1).T @ dy  # (1 + k, out): half the time of the transposed product
    return found[0] if bias else None, None if z is None else found[int(bias) :].T


def _column_dots(a: Tensor, b: Tensor) -> Tensor:
    """Sum over tokens of a * b: (tokens, n), (tokens, n) -> (1, n), on a CPU by way of sums that stay in the cache.

    Products in bfloat16 are rounded before they are summed: what mixes precisions converts each operand in a pass.
    """
    if a.dtype == torch.bfloat16:
        return (a * b).sum(0, keepdim=True)
    rows = SLAB if a.device.type == "cpu" else len(a)
    sums = a.new_zeros(rows, a.shape[1])
    for start in range(0, len(a), rows):
        part = slice(start, start + rows)
        sums[: len(a[part])].addcmul_(a[part], b[part])
    return sums.sum(0, keepdim=True)
