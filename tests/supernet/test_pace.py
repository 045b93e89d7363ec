"""Steps and candidates are timed in turn, and nothing else is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from supernet.backbone import Backbone
from supernet.data import Split
from supernet.numerics import Numerics
from supernet.pace import Pace, PaceTask
from supernet.settings import SpaceSettings, TrainingSettings
from supernet.training import TrainingTask, adapt


def test_a_pace_is_one_result_however_short_the_training(
    backbone: Backbone, split_of: Callable[..., Split], numerics: Numerics
) -> None:
    space = SpaceSettings()
    supernet = TrainingTask(backbone, space, TrainingSettings(epochs=1, batch_size=8), split_of(8), 0, numerics)
    fixed = replace(supernet, genome=adapt(backbone, space, 0).space.smallest)
    (pace,) = PaceTask(supernet, fixed, split_of(16), numerics).run()
    assert isinstance(pace, Pace)
    assert min(pace.supernet, pace.fixed, pace.candidate) > 0
