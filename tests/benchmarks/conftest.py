"""A setting of seconds: timm's `test_vit`, all of its numbers random, under GLoRA as the reference way stores it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.setting import Setting, read, untrained
from chaos.tiny import tiny
from supernet.trained import Trained


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny(tmp_path_factory.mktemp("tiny"), space={"scales": "raw", "storage": "shared"})


@pytest.fixture(scope="module")
def setting(config: Path) -> Setting:
    """timm's biases start at zero, where D would do nothing."""
    read_one = read(config)
    backbone, generator = read_one.inputs.backbone, np.random.default_rng(1)
    state = {
        name: array + 0.1 * generator.standard_normal(array.shape).astype(np.float32)
        for name, array in backbone.state.items()
    }
    return replace(read_one, inputs=replace(read_one.inputs, backbone=replace(backbone, state=state)))


@pytest.fixture(scope="module")
def numbers(setting: Setting) -> Trained:
    """Large enough that every form moves the logits."""
    small = untrained(setting.inputs)
    return Trained({name: 5 * array for name, array in small.tensors.items()}, 0.0)
