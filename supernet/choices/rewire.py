"""The Rewire half of the abstraction: a choice that wraps a callable f which is already in the backbone.

    y = around(form, f, x, ...)                                                              (1)

Sequential is f then a change, parallel f plus a change, prompts are strip after f after insert, a prefix is f on other
keys. None of it is a weight of an op, so it stays beside the merged model unless `compiled` finds one that computes the
same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar, Protocol

from torch import Tensor, nn

from supernet.choices.reweight import Index
from supernet.space import Form
from supernet.strict import Settings

Function = Callable[..., Tensor]


class Rewire(Protocol):
    """A gene at a span or a core. Its parameters are bare nn.Parameters, entangled: smaller forms are slices of larger.

    It is built from (tokens' width, heads, options, generator).
    """

    Options: ClassVar[type[Settings]]
    on: ClassVar[tuple[str, ...]]  # kinds of sites that it can stand at: `stack`, `block`, `branch`, `core`
    by_token: ClassVar[bool]  # whether it lets an output depend on no tokens on which that of f does not depend
    forms: tuple[Form, ...]

    def around(self, form: str, f: Function, *x: Tensor) -> Tensor:
        """Equation (1). At a span x is (batch, tokens, width); at a core q, k, v (batch, heads, tokens, width / heads).

        y has the shape of f(x): that of x at a span, that of q at a core.
        """

    def entries(self, form: str) -> Iterable[tuple[str, Index]]:
        """(parameter name, slices) of the numbers that `form` uses: as many as its cost, `form.parameters`."""

    def stored(self, form: str) -> dict[str, Tensor]:
        """The same numbers, as a delta file keeps them; nothing for `none`."""

    def compiled(self, form: str, f: nn.Module) -> nn.Module | None:
        """A module without a choice in it that computes equation (1) in the place of f; None where there is none."""
