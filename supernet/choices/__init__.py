"""What can be chosen at a site: one file a choice, found by its name.

A Reweight changes the numbers of an op, so it merges; a Rewire wraps a callable, and stays unless it compiles.
"""

from __future__ import annotations

import difflib
import pkgutil
from functools import lru_cache
from importlib import import_module
from typing import Any

from supernet.choices.reweight import Reweight, Rows, Terms
from supernet.choices.rewire import Rewire
from supernet.errors import BadInput

__all__ = ["Reweight", "Rewire", "Rows", "Terms", "named", "names"]

SHARED = ("factors", "on_rows", "reweight", "rewire", "slices")  # files that hold no choice


def names() -> list[str]:
    """Of the files that hold a choice."""
    return [module.name for module in pkgutil.iter_modules(__path__) if module.name not in SHARED]


@lru_cache(maxsize=256)  # a model asks at each of its sites
def named(choice: str) -> Any:
    """The class of `lora`, or of `glora.B`: in a file of that name, whatever its capitals. Raises BadInput."""
    file, _, within = choice.partition(".")
    if file in names():
        wanted = within or file.replace("_", "")
        for name, value in vars(import_module(f"{__name__}.{file}")).items():
            if name.lower() == wanted.lower() and hasattr(value, "Options"):
                return value
    near = difflib.get_close_matches(file, names(), n=1)
    raise BadInput(
        f"space: no choice is named {choice!r}; there are {', '.join(names())}."
        + (f" Did you mean {near[0]!r}?" if near else "")
    )
