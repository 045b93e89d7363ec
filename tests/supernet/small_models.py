"""Models of families of which timm has no small ones, registered by name, so that all of timm's own ways work."""

from __future__ import annotations

from typing import Any

from timm.models import generate_default_cfgs, register_model
from timm.models.eva import _create_eva
from timm.models.swin_transformer import _create_swin_transformer
from timm.models.swin_transformer_v2 import _create_swin_transformer_v2
from timm.models.vision_transformer_hybrid import ConvStem, _create_vision_transformer_hybrid

_USUAL = {"input_size": (3, 32, 32), "mean": (0.5,) * 3, "std": (0.5,) * 3, "num_classes": 0}
default_cfgs = generate_default_cfgs(
    {
        "tiny_swin.untrained": {**_USUAL, "first_conv": "patch_embed.proj", "classifier": "head.fc"},
        "tiny_swinv2.untrained": {**_USUAL, "first_conv": "patch_embed.proj", "classifier": "head.fc"},
        "tiny_rope.untrained": {**_USUAL, "first_conv": "patch_embed.proj", "classifier": "head"},
        "tiny_eva02.untrained": {**_USUAL, "first_conv": "patch_embed.proj", "classifier": "head"},
        "tiny_mci.untrained": {**_USUAL, "first_conv": "patch_embed.backbone.0.conv", "classifier": "head"},
    }
)
SWIN = {"img_size": 32, "patch_size": 4, "window_size": 2, "embed_dim": 16, "depths": (2, 2), "num_heads": (2, 4)}
EVA = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2, "use_rot_pos_emb": True}


@register_model
def tiny_swin(pretrained: bool = False, **arguments: Any) -> Any:
    """Two stages of two blocks, the second of each with shifted windows, of 2 x 2 patches of 4 pixels each."""
    return _create_swin_transformer("tiny_swin", pretrained=pretrained, **{**SWIN, **arguments})


@register_model
def tiny_swinv2(pretrained: bool = False, **arguments: Any) -> Any:
    """The same of Swin V2: a fused qkv whose weight the attention reads, and an MLP that makes position biases."""
    return _create_swin_transformer_v2("tiny_swinv2", pretrained=pretrained, **{**SWIN, **arguments})


@register_model
def tiny_rope(pretrained: bool = False, **arguments: Any) -> Any:
    """A ViT with rotary position embeddings as DINOv3's are: a fused qkv that is called."""
    own = {**EVA, "qkv_bias": True, "attn_type": "rope", "use_abs_pos_emb": False}
    return _create_eva("tiny_rope", pretrained=pretrained, **{**own, **arguments})


@register_model
def tiny_eva02(pretrained: bool = False, **arguments: Any) -> Any:
    """As EVA-02's small models: a fused qkv whose weight the attention reads, and a gated MLP with a norm in it."""
    own = {**EVA, "qkv_fused": True, "swiglu_mlp": True, "scale_mlp": True, "mlp_ratio": 2.0}
    return _create_eva("tiny_eva02", pretrained=pretrained, **{**own, **arguments})


@register_model
def tiny_mci(pretrained: bool = False, **arguments: Any) -> Any:
    """As MobileCLIP's image encoder: a ViT on a stem of convolutions with batch norms."""
    stem = ConvStem(channels=(8, 16), depth=2, stride=(4, 2), kernel_size=(4, 2), padding=0)
    own = {"img_size": 32, "embed_dim": 16, "depth": 2, "num_heads": 2, "no_embed_class": True}
    return _create_vision_transformer_hybrid(
        "tiny_mci", backbone=stem, embed_args={"proj": False}, pretrained=pretrained, **{**own, **arguments}
    )
