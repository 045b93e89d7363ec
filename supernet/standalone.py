"""Run by `verify` in a fresh process: `python -I standalone.py DIR`. Imports timm and torch, and nothing of ours.

Loads the folder as any user would, compares every tensor with the file, and the logits with those that the subnet
computed before it was merged. Both run in float64, so what differs is the rounding of the merged weights alone.
"""

import json
import sys
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file


@torch.no_grad()
def verify(folder: Path) -> dict[str, float]:
    """Counts and differences, for the caller to judge."""
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    stored = load_file(folder / "model.safetensors")
    loaded = model.state_dict()
    differing = [name for name in stored if name not in loaded or not torch.equal(loaded[name], stored[name])]
    reference = load_file(folder / "verification.safetensors")
    config = timm.data.resolve_data_config(model=model)
    mean, std = (torch.tensor(config[name], dtype=torch.float64).view(1, 3, 1, 1) for name in ("mean", "std"))
    images = (reference["images"].permute(0, 3, 1, 2).double() / 255 - mean) / std
    logits = model.double()(images)
    return {
        "tensors": len(stored),
        "missing_tensors": len(set(loaded) - set(stored)),
        "differing_tensors": len(differing),
        "largest_logit": reference["logits"].abs().max().item(),
        "largest_difference": (logits - reference["logits"]).abs().max().item(),
    }


if __name__ == "__main__":
    print(json.dumps(verify(Path(sys.argv[1]).resolve())))
