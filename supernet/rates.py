"""Which trained numbers learn faster than the others: those of vectors and scalars.

A vector has one number for a whole row of a weight, a product of factors several for each row and column, so that at
one learning rate the vector hardly moves while the product has fitted. Source: SSF (arXiv 2210.08823), whose vectors
learn at 5e-3 (dongzelian/SSF) where LoRA and adapters are trained at 1e-3 (ZhangYuanhan-AI/NOAH).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from torch import nn

from supernet.choices.factors import Factors, Shift
from supernet.choices.on_rows import OnRows
from supernet.choices.ssf import SSF
from supernet.model import Supernet

# choice -> its parameters that are vectors or scalars alone; a shared factor's first column is a product's too
VECTORS: Mapping[type[nn.Module], tuple[str, ...]] = MappingProxyType(
    {Factors: ("vector", "scalar"), Shift: ("down", "scalar"), SSF: ("gain", "shift")}
)


def rates(supernet: Supernet, of_vectors: float) -> dict[str, float]:
    """Name, as in `Supernet.trained` -> learning rate in times of the training's, for each that has another."""
    if of_vectors == 1:
        return {}
    found = dict[str, float]()
    for path, site in supernet.sites.items():
        for gene, choice in site.choices.items():
            inner, before = (choice.choice, "choice.") if isinstance(choice, OnRows) else (choice, "")
            kinds = (names for kind, names in VECTORS.items() if isinstance(inner, kind))
            vectors = {before + name for names in kinds for name in names}
            found |= {f"{path}.{gene}.{name}": of_vectors for name, _ in choice.named_parameters() if name in vectors}
    return found
