"""Run by `verify` in a fresh process: `python -P standalone.py DIR`. Imports timm and torch, and nothing of ours.

Loads the folder as any user would, compares every tensor with the file, and the logits with those that the subnet
computed before it was merged. Both run in float64, so what differs is the rounding of the merged weights alone. A
program has its precision in it: it runs in float32.
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
    reference = load_file(folder / "verification.safetensors")
    found, logits = (_program if (folder / "model.pt2").is_file() else _plain)(folder, reference["images"])
    return {
        **found,
        "largest_logit": reference["logits"].abs().max().item(),
        "largest_difference": (logits - reference["logits"]).abs().max().item(),
    }


def _plain(folder: Path, images: torch.Tensor) -> tuple[dict[str, int], torch.Tensor]:
    """What timm loads: how its tensors differ from the file's, and the logits (n, classes) float64."""
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    stored = load_file(folder / "model.safetensors")
    loaded = model.state_dict()
    differing = [name for name in stored if name not in loaded or not torch.equal(loaded[name], stored[name])]
    found = {
        "tensors": len(stored),
        "missing_tensors": len(set(loaded) - set(stored)),
        "differing_tensors": len(differing),
    }
    config = timm.data.resolve_data_config(model=model)
    return found, model.double()(_normalised(images, config["mean"], config["std"]))


def _program(folder: Path, images: torch.Tensor) -> tuple[dict[str, int], torch.Tensor]:
    """What torch loads from a file whose bytes are checked already, and the logits (n, classes), image by image."""
    program = torch.export.load(folder / "model.pt2")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))["pretrained_cfg"]
    model, inputs = program.module(), _normalised(images, config["mean"], config["std"]).float()
    logits = torch.cat([model(each[None]) for each in inputs]).double()
    return {"tensors": len(program.state_dict), "missing_tensors": 0, "differing_tensors": 0}, logits


def _normalised(images: torch.Tensor, *statistics: list[float]) -> torch.Tensor:
    """(n, h, w, 3) uint8, the channels' means and standard deviations -> (n, 3, h, w) float64."""
    mean, std = (torch.tensor(each, dtype=torch.float64).view(1, 3, 1, 1) for each in statistics)
    return (images.permute(0, 3, 1, 2).double() / 255 - mean) / std


if __name__ == "__main__":
    print(json.dumps(verify(Path(sys.argv[1]).resolve())))
