"""A timm `local-dir` as a source of weights: config.json must describe the model that its name alone would build."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from supernet.errors import BadInput, Missing
from supernet.families import pooling

_FOLDER_FILES = ("model.safetensors", "pytorch_model.bin")
_HARMLESS_ARGUMENTS = {"img_size", "num_classes", "in_chans", "global_pool"}  # or checked apart; and every *drop*


def folder_file(folder: Path) -> Path:
    for name in _FOLDER_FILES:
        if (folder / name).is_file():
            return folder / name
    raise Missing(f"backbone.weights {folder}: expected a timm local-dir, with {' or '.join(_FOLDER_FILES)} in it")


def folder_config(folder: Path, name: str, reference: Any) -> dict[str, Any]:
    """The folder's pretrained cfg, once it describes the model that `name` alone would build."""
    path = folder / "config.json"
    if not path.is_file():
        raise Missing(f"backbone.weights {folder}: expected a timm local-dir, with config.json in it")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        found, usual = config["architecture"], pooling(reference)
        arguments, pool = dict(config.get("model_args") or {}), config.get("global_pool", usual)
        cfg = dict(config.get("pretrained_cfg", config))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{path}: expected timm's config.json with an `architecture`, but {error!r}") from error
    if found != name.split(".")[0]:
        raise BadInput(f"{path} describes {found!r}, but backbone.model is {name!r}: set backbone.model to {found!r}")
    other = {k: v for k, v in arguments.items() if k not in _HARMLESS_ARGUMENTS and "drop" not in k}
    if arguments.get("global_pool", pool) != usual or pool != usual:
        other["global_pool"] = arguments.get("global_pool", pool)
    if other:
        raise BadInput(f"{path}: its model was built with {other}, which a plain {found} is not: it cannot be used")
    return {key: cfg[key] for key in ("mean", "std") if key in cfg}
