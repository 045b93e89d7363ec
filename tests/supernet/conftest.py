"""GLoRA written down a second time, in numpy, from the paper's formula; and small supernets to hold it against."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from supernet.model import Supernet
from supernet.settings import SpaceSettings

torch.set_num_threads(1)

Arrays = Mapping[str, np.ndarray]


@pytest.fixture(scope="session")
def merged_by_hand() -> Callable[..., tuple[np.ndarray, np.ndarray | None]]:
    """W = W0 + W0 * A + B, b = b0 + b0 * D + E + W0 @ C, in float64, knowing nothing of the code under test.

    `tensors` maps `A.down`, `B.scalar`, ... to arrays as they are trained; `forms` maps A .. E to a form.
    """

    def form_of(gene: str, form: str, tensors: Arrays) -> np.ndarray:
        down = tensors[f"{gene}.down"].astype(np.float64)
        if form.startswith("lora"):
            k = int(form[4:])
            return np.einsum("rk,kc->rc", down[:, :k], tensors[f"{gene}.up"][:k].astype(np.float64))
        own = tensors.get(f"{gene}.{form}")  # separate storage: a tensor of its own
        if own is not None:
            return own.astype(np.float64).reshape(-1)
        column = down if down.ndim == 1 else down[:, 0]
        return column if form == "vector" else column[:1]

    def merged_by_hand(
        weight: np.ndarray,
        bias: np.ndarray | None,
        forms: Mapping[str, str],
        tensors: Arrays,
        product: str = "elementwise",
        scales: str = "per_form",
    ) -> tuple[np.ndarray, np.ndarray | None]:
        w0 = weight.astype(np.float64)
        b0 = None if bias is None else bias.astype(np.float64)
        out, width = w0.shape
        w, b = w0.copy(), None if b0 is None else b0.copy()
        for gene, form in forms.items():
            if form == "none":
                continue
            value = form_of(gene, form, tensors)
            if gene == "A" and product == "elementwise":
                w += w0 * (value if value.ndim == 2 else np.broadcast_to(value[:, None], (out, width)))
            elif gene == "A":
                w += w0 @ (value if value.ndim == 2 else np.diag(np.broadcast_to(value, (width,))))
            elif gene == "B":
                small = 1.0 if value.ndim == 2 or scales == "raw" else 1.0 / width
                w += small * (value if value.ndim == 2 else np.repeat(value[:, None], width, axis=1))
            else:
                assert b is not None
                assert b0 is not None
                match gene:
                    case "C":
                        b += w0 @ value.reshape(-1)
                    case "D":
                        b += b0 * value
                    case _:
                        b += value
        return w, b

    return merged_by_hand


@pytest.fixture(scope="session")
def vit_of(randomised: Callable[[nn.Module, int], nn.Module]) -> Callable[..., VisionTransformer]:
    """A Vision Transformer of 2 blocks of width 16 on 2 x 2 patches, every number random."""

    def vit_of(**arguments: Any) -> VisionTransformer:
        tiny = {"img_size": 32, "patch_size": 16, "embed_dim": 16, "depth": 2, "num_heads": 2, "mlp_ratio": 2}
        with torch.random.fork_rng():
            model = VisionTransformer(**{**tiny, "num_classes": 5, **arguments})
        return randomised(model, 1).eval()

    return vit_of


@pytest.fixture(scope="session")
def randomised_supports() -> Callable[[Supernet, int], Supernet]:
    """Every trained number random, as after a training."""

    def randomised_supports(supernet: Supernet, seed: int) -> Supernet:
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in supernet.trained().values():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
        return supernet

    return randomised_supports


@pytest.fixture(scope="session")
def pair_of(
    vit_of: Callable[..., VisionTransformer], randomised_supports: Callable[[Supernet, int], Supernet]
) -> Callable[..., tuple[VisionTransformer, Supernet]]:
    """(a plain model in float64, the supernet of that model with every trained number random)."""

    def pair_of(space: SpaceSettings, **arguments: Any) -> tuple[VisionTransformer, Supernet]:
        plain = vit_of(**arguments).double()
        supernet = Supernet(copy.deepcopy(plain), space, torch.Generator().manual_seed(0)).double()
        return plain, randomised_supports(supernet, 2)

    return pair_of


@pytest.fixture(scope="session")
def images() -> torch.Tensor:
    """(3, 3, 32, 32) float64, normalised."""
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
