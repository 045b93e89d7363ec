"""What an exported subnet costs: timm loads it as a plain model, so it is one."""

from __future__ import annotations

import tempfile
from pathlib import Path

import timm
from torch import nn

from benchmarks import plain
from benchmarks.figures import Figure, beside
from benchmarks.setting import DIGITS, Setting, read, untrained
from benchmarks.timing import in_turn
from supernet.export import Subnet
from supernet.export import export as write

NEAR = 0.03  # how far from 1.00 two timings of the same work may lie


def export(work: Path, config: Path = DIGITS, rounds: int = 12) -> list[Figure]:
    """A random subnet, exported and loaded by timm, over the backbone that timm builds by its name."""
    setting = read(config)
    images, numerics = plain.normalised(setting, setting.inputs.data.val), setting.numerics.in_float32()
    chunk = min(100, len(images))
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        exported = plain.Forward(loaded(setting, Path(folder) / "export"), images, numerics, chunk)
    times = in_turn({"export": exported, "plain": plain.Forward(named(setting), images, numerics, chunk)}, rounds)
    ratio = times.ratio("export", "plain")
    what = "the exported model's forward, over the plain timm model's, both float32"
    found = beside("export_over_plain", what, ratio)
    return [Figure(found.key, what, found.value, spread=found.spread, bar="1.00", met=abs(ratio.value - 1) <= NEAR)]


def loaded(setting: Setting, folder: Path) -> nn.Module:
    """The subnet of one random genome, as timm loads it from its export."""
    inputs = setting.inputs
    subnet = Subnet(
        inputs.backbone, inputs.settings.space, untrained(inputs), setting.draw(0), inputs.data.classes, "benchmarks"
    )
    write(subnet, folder)
    model: nn.Module = timm.create_model(f"local-dir:{folder}", pretrained=True)
    return model.to(setting.numerics.device)


def named(setting: Setting) -> nn.Module:
    """The model that timm builds by the backbone's name, its numbers as timm draws them."""
    backbone = setting.inputs.backbone
    model: nn.Module = timm.create_model(
        backbone.model, pretrained=False, img_size=backbone.image_size, num_classes=backbone.classes
    )
    return model.to(setting.numerics.device)
