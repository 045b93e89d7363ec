from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from supernet.backbone import Backbone, build
from supernet.cost import Costs, CostTask
from supernet.data import Split
from supernet.evaluation import Scorer, ScoringTask
from supernet.examples import DeviceImages
from supernet.methods import fixed_genome
from supernet.numerics import Numerics
from supernet.probe import RATES, ProbeTask, features
from supernet.settings import SpaceSettings, TrainingSettings
from supernet.trained import Trained
from supernet.training import Progress, TrainingTask

SETTINGS = TrainingSettings(epochs=3, batch_size=8)


@pytest.fixture(scope="module")
def task(backbone: Backbone, split_of: Callable[..., Split], numerics: Numerics) -> ProbeTask:
    return ProbeTask(backbone, SETTINGS, split_of(26), split_of(9, seed=1), seed=3, numerics=numerics)


def run(task: ProbeTask) -> tuple[list[Progress], Trained]:
    *progress, trained = task.run()
    assert isinstance(trained, Trained)
    return progress, trained


@pytest.mark.parametrize("model", ["test_vit", "test_vit2", "test_vit3"])
def test_features_are_what_the_backbone_hands_to_its_head(
    task: ProbeTask, backbone_of: Callable[[str], Backbone], model: str
) -> None:
    task = replace(task, backbone=backbone_of(model))
    network = build(task.backbone)
    heard = []
    network.head.register_forward_pre_hook(lambda module, inputs: heard.append(inputs[0]))
    with torch.no_grad():
        network(DeviceImages(task.split.images, task.backbone.mean, task.backbone.std, torch.device("cpu"))[:])
    assert torch.allclose(features(task, task.split), heard[0], atol=1e-5)


def test_it_trains_a_head_and_nothing_else(task: ProbeTask) -> None:
    progress, trained = run(task)
    assert [item.step for item in progress] == list(range(1, 9 * len(RATES) + 1))
    assert {name: array.shape for name, array in trained.tensors.items()} == {
        "head.weight": (5, 64),
        "head.bias": (5,),
    }


def test_it_approaches_the_best_head(task: ProbeTask) -> None:
    """The loss is convex in a head: enough steps come close to what a quasi-Newton method finds."""
    longer = replace(task, training=SETTINGS.model_copy(update={"epochs": 300, "batch_size": 26, "weight_decay": 0.0}))
    progress, _ = run(longer)
    progress = progress[:300]  # of the first rate
    head = torch.nn.Linear(64, 5)
    inputs, labels = features(task, task.split), torch.tensor(task.split.labels)
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=200)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(head(inputs), labels)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert progress[-1].loss < float(closure().detach()) + 0.5 * progress[0].loss
    assert progress[-1].loss < 0.5 * progress[0].loss


def test_the_rate_with_the_lowest_validation_loss_is_kept(task: ProbeTask, monkeypatch: pytest.MonkeyPatch) -> None:
    held_out, labels = features(task, task.validation), torch.tensor(task.validation.labels)

    def loss(trained: Trained) -> float:
        weight, bias = (torch.tensor(trained.tensors[f"head.{name}"]) for name in ("weight", "bias"))
        return float(F.cross_entropy(held_out @ weight.T + bias, labels))

    _, kept = run(task)
    alone = []
    for rate in RATES:
        monkeypatch.setattr("supernet.probe.RATES", (rate,))
        alone.append(loss(run(task)[1]))
    assert len(set(alone)) == len(RATES)
    assert loss(kept) == pytest.approx(min(alone))


def test_the_same_task_gives_the_same_head_and_touches_no_global_generator(task: ProbeTask) -> None:
    torch.manual_seed(1)
    _, first = run(task)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    _, second = run(task)
    assert first.fingerprint == second.fingerprint
    assert torch.equal(torch.get_rng_state(), before)
    assert run(replace(task, seed=4))[1].fingerprint != first.fingerprint


def test_a_probes_head_scores_as_the_genome_of_no_forms(task: ProbeTask) -> None:
    _, trained = run(task)
    space = SpaceSettings()
    scorer = Scorer(ScoringTask(task.backbone, space, trained, task.split, task.numerics, head_only=True))
    found = scorer.score(fixed_genome(scorer.supernet.space, "linear_probe"))
    weight, bias = (torch.tensor(trained.tensors[f"head.{name}"]) for name in ("weight", "bias"))
    logits = features(task, task.split) @ weight.T + bias
    right = (logits.argmax(dim=1) == torch.tensor(task.split.labels)).numpy()
    assert found.accuracy == right.mean()
    assert found.loss == pytest.approx(float(F.cross_entropy(logits, torch.tensor(task.split.labels))), rel=1e-4)
    assert np.array_equal(np.unpackbits(np.frombuffer(found.correct, np.uint8))[:26].astype(bool), right)


# What it all costs


@pytest.mark.parametrize("epochs", [1, 2, 10])
def test_the_cost_of_a_campaign_is_known_before_it_begins(task: ProbeTask, epochs: int) -> None:
    """Also where the whole training is shorter than the steps that are timed."""
    settings = SETTINGS.model_copy(update={"epochs": epochs, "batch_size": 26})
    training = TrainingTask(task.backbone, SpaceSettings(), settings, task.split, 0, task.numerics)
    *progress, costs = CostTask(training, task.split, task.numerics).run()
    assert progress == []
    assert isinstance(costs, Costs)
    assert costs.step > 0
    assert costs.candidate > 0
