"""What the tests of `supernet` and `workers` share: a tiny backbone of random numbers, a split of noise, one thread.

torch is imported inside the fixtures, so that the tests of the store, which needs none, start without it.
"""

from __future__ import annotations

import logging
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"  # torch's, and that of every process that a test starts
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # hundreds of processes would compile this project's files anew
os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 (else other tests keep its workers from starting for minutes)

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import hypothesis
import numpy as np
import pytest

if TYPE_CHECKING:
    import torch
    from torch import nn

    from chaos.postgres import Lend
    from supernet.backbone import Backbone
    from supernet.data import Split
    from supernet.evaluation import ScoringTask
    from supernet.numerics import Numerics
    from supernet.settings import SpaceSettings
    from supernet.trained import Trained

hypothesis.settings.register_profile("shared-cores", deadline=None)  # no assertion on time, nor a hidden one
hypothesis.settings.load_profile("shared-cores")

CLASSES, SIZE = 5, 32  # labels, and pixels: 2 x 2 patches of 16


@pytest.fixture(autouse=True)
def _this_process_counts_denormals_again() -> Iterator[None]:
    """Training and scoring flush them, for the whole process; Hypothesis refuses to draw floats then."""
    yield
    if torch := sys.modules.get("torch"):
        torch.set_flush_denormal(False)
        torch.set_num_threads(1)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Of two processes that run tests, one runs the whole of a file, and all of what shares the Ray session."""
    from tests.scheduling import ByFile

    return ByFile(config, log)


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """A Ray of four CPUs and two pretended GPUs."""
    import ray

    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"  # else Ray warns, and warnings are errors here
    os.environ["RAY_memory_monitor_refresh_ms"] = "0"  # noqa: SIM112 (a neighbour must not have our workers killed)
    alone = {"address": "local", "include_dashboard": False, "log_to_driver": False}  # never another test's
    ray.init(num_cpus=4, num_gpus=2, logging_level=logging.ERROR, **alone)
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Lend]:
    """Lends databases of a PostgreSQL server of our own that nobody else uses."""
    from chaos.postgres import server_or_skip

    with server_or_skip() as lend:
        yield lend


@pytest.fixture(scope="session")
def randomised() -> Callable[[nn.Module, int], nn.Module]:
    """Fill every parameter with noise of a scale that keeps activations alive: biases, norms and LayerScales too."""
    import torch

    def spread(name: str, parameter: torch.Tensor) -> float:
        return parameter[0].numel() ** -0.5 if parameter.ndim > 1 and "weight" in name else 0.2

    def randomised(model: nn.Module, seed: int) -> nn.Module:
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                noise = torch.randn(parameter.shape, generator=generator) * spread(name, parameter)
                is_gain = "norm" in name and name.endswith("weight")
                parameter.copy_(1 + noise if is_gain else noise)
        return model

    return randomised


@pytest.fixture(scope="session")
def backbone_of(randomised: Callable[[nn.Module, int], nn.Module]) -> Callable[[str], Backbone]:
    """timm's `test_vit` (6 blocks of width 64) or one of its sisters, with biases and norms that are not trivial."""
    import timm
    import torch

    from supernet.backbone import Backbone

    def backbone_of(name: str) -> Backbone:
        sized = {} if "convnext" in name else {"img_size": SIZE}
        with torch.random.fork_rng():
            model = randomised(timm.create_model(name, num_classes=0, **sized), 0)
        state = {key: value.numpy().copy() for key, value in model.state_dict().items()}
        return Backbone(name, SIZE, CLASSES, state, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))

    return backbone_of


@pytest.fixture(scope="session")
def backbone(backbone_of: Callable[[str], Backbone]) -> Backbone:
    return backbone_of("test_vit")


@pytest.fixture(scope="session")
def split_of() -> Callable[..., Split]:
    from supernet.data import Split

    def split_of(count: int, seed: int = 0) -> Split:
        """Noise with a tint by label, so that there is something to learn."""
        generator = np.random.default_rng(seed)
        labels = generator.integers(CLASSES, size=count)
        noise = generator.integers(0, 128, (count, SIZE, SIZE, 3))
        tint = np.random.default_rng(99).integers(0, 128, (CLASSES, 1, 1, 3))[labels]
        return Split((noise + tint).astype(np.uint8), labels, tuple(f"{i}.png" for i in range(count)))

    return split_of


@pytest.fixture(scope="session")
def numerics() -> Numerics:
    """One thread of this machine's CPU; chunks of 16, so that splits of these tests need several."""
    from supernet.numerics import Numerics, device_kind

    return Numerics(
        device_kind=device_kind(gpu=False),
        precision="float32",
        compiled=False,
        attention="fused",
        threads_per_worker=1,
        chunk=16,
    )


@pytest.fixture(scope="session")
def trained_of() -> Callable[[Backbone, SpaceSettings], Trained]:
    """Supports and head as no training would leave them: every number random, so that every form does something."""
    import torch

    from supernet.trained import Trained
    from supernet.training import adapt

    def trained_of(backbone: Backbone, space: SpaceSettings, seed: int = 0) -> Trained:
        generator = np.random.default_rng(seed)
        names = adapt(backbone, space, seed=0).trained()
        draws = {name: generator.normal(0, 0.2, tuple(value.shape)) for name, value in names.items()}
        return Trained({name: draw.astype(np.float32) for name, draw in draws.items()}, seconds=1.5)

    torch.set_num_threads(1)
    return trained_of


@pytest.fixture(scope="session")
def scoring(
    backbone: Backbone,
    split_of: Callable[..., Split],
    numerics: Numerics,
    trained_of: Callable[[Backbone, SpaceSettings], Trained],
) -> ScoringTask:
    """37 examples in chunks of 16: two whole chunks and a padded one."""
    from supernet.evaluation import ScoringTask
    from supernet.settings import SpaceSettings

    space = SpaceSettings(ranks=(4, 2), storage="shared")
    return ScoringTask(backbone, space, trained_of(backbone, space), split_of(37), numerics)
