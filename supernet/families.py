"""Which timm models a search can work on, by type: where their ops are, and whether more than ops can be chosen.

| family             | sites                                                                                      |
|--------------------|--------------------------------------------------------------------------------------------|
| VisionTransformer  | ops and, where each block is a Block, everything that can be wrapped                       |
| Eva                | ops: EVA-02, DINOv3 and other ViTs with rotary position embeddings                         |
| SwinTransformer    | ops                                                                                        |
| SwinTransformerV2  | ops                                                                                        |
| ConvNeXt           | ops                                                                                        |

A subclass may differ in its forward, so a model is of a family by its very type. An op counts where the forward calls
it: Swin V2's attentions and some of Eva's read the weights of their fused projection, and a choice there would never be
asked. Source: timm 1.0.31, models/eva.py, swin_transformer.py, swin_transformer_v2.py and convnext.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from timm.models.convnext import ConvNeXt
from timm.models.eva import Eva
from timm.models.swin_transformer import SwinTransformer
from timm.models.swin_transformer_v2 import SwinTransformerV2
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from supernet.errors import BadInput


@dataclass(frozen=True)
class Family:
    """What the models of a type have in common."""

    stems: tuple[str, ...]  # the parts of the body: neither the head nor a pooling layer
    sized: bool = True  # whether the model is built for one image size

    def arguments(self, image_size: int | None) -> dict[str, Any]:
        """What timm.create_model takes to build the model for images of so many pixels."""
        return {"img_size": image_size} if self.sized and image_size is not None else {}


_VIT = Family(("patch_embed", "norm_pre", "blocks", "norm", "fc_norm"))
_SWIN = Family(("patch_embed", "layers", "norm"))
FAMILIES: Mapping[type[nn.Module], Family] = {
    VisionTransformer: _VIT,
    Eva: _VIT,
    SwinTransformer: _SWIN,
    SwinTransformerV2: _SWIN,
    ConvNeXt: Family(("stem", "stages", "norm_pre"), sized=False),
}


def family_of(model: nn.Module) -> Family:
    """Raises BadInput for a model of another type, with its name."""
    found = FAMILIES.get(type(model))
    if found is None:
        *most, last = (kind.__name__ for kind in FAMILIES)
        raise BadInput(
            f"a {type(model).__name__} is not supported; expected one of timm's {', '.join(most)} or {last}, such as "
            "vit_base_patch16_224.orig_in21k"
        )
    return found


def pooling(model: Any) -> str:
    """timm's name of how the tokens or the image of features become one vector."""
    return str(model.global_pool if hasattr(model, "global_pool") else model.head.global_pool.pool_type)


def without_choice(model: nn.Module) -> frozenset[str]:
    """Paths of ops that are no sites.

    The numbers of some are read by the module that holds them, so that their own forwards never run. In Swin V2 an MLP
    of each attention turns coordinates into position biases and sees no image.
    """
    read = {
        f"{path}.qkv"
        for path, module in model.named_modules()
        if getattr(module, "q_bias", None) is not None and not getattr(module, "qkv_bias_separate", False)
    }
    return frozenset(read | {path for path, _ in model.named_modules() if "cpb_mlp" in path.split(".")})
