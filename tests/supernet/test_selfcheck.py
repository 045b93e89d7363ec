"""A worker that computes rightly passes its check; one that does not is refused, whatever it is that is broken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch

from supernet.backbone import Backbone, build
from supernet.errors import BadInput
from supernet.evaluation import Scorer, ScoringTask
from supernet.model import OpSite
from supernet.numerics import autocast
from supernet.settings import SpaceSettings
from supernet.trained import Trained

TrainedOf = Callable[[Backbone, SpaceSettings], Trained]
NOTHING: dict[str, tuple[str, ...]] = dict.fromkeys("ABCDE", ("none",))


def none(scorer: Scorer) -> str:
    return scorer.supernet.space.encode({gene.name: "none" for gene in scorer.supernet.space.genes})


def logits(scorer: Scorer, genome: str) -> torch.Tensor:
    scorer.merger.merge(genome)
    return scorer.logits(scorer.images[:4], 4)


@pytest.fixture(params=["test_vit float32", "test_vit bfloat16", "test_vit2 float32"])
def task(
    request: pytest.FixtureRequest,
    scoring: ScoringTask,
    backbone_of: Callable[[str], Backbone],
    trained_of: TrainedOf,
) -> ScoringTask:
    """test_vit2 has LayerScales."""
    model, precision = request.param.split()
    backbone = backbone_of(model)
    numerics = replace(scoring.numerics, precision=precision)
    return replace(scoring, backbone=backbone, trained=trained_of(backbone, scoring.space), numerics=numerics)


# ---- T16


def test_the_genome_of_nothing_computes_the_backbone_under_the_trained_head(task: ScoringTask) -> None:
    """Held against a model that was never merged into: the backbone as it is built, its head as it was trained."""
    scorer, model = Scorer(task), build(task.backbone)
    model.head.load_state_dict({k: torch.tensor(task.trained.tensors[f"head.{k}"]) for k in ("weight", "bias")})
    with torch.no_grad(), autocast(task.numerics):
        expected = model(scorer.images[:4]).float()
    assert torch.equal(logits(scorer, none(scorer)), expected)
    assert scorer.base is not None
    assert scorer.base.abs().max() > 0


def test_a_hundred_random_pairs_differ(task: ScoringTask) -> None:
    scorer = Scorer(task)
    draws = [scorer.supernet.space.draw(np.random.default_rng(seed)) for seed in range(200)]
    found = [logits(scorer, genome) for genome in draws]
    assert not any(torch.equal(one, two) for one, two in zip(found[::2], found[1::2], strict=True))


def test_the_check_passes_whenever_it_is_asked_and_leaves_no_trace(task: ScoringTask) -> None:
    scorer = Scorer(task)
    genome = scorer.supernet.space.largest
    before, state = scorer.score(genome), torch.get_rng_state()
    scorer.check()
    scorer.check()
    assert scorer.score(genome) == before
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    "forms",
    [NOTHING, NOTHING | {"E": ("vector", "none")}, {"E": ("vector",)}],
    ids=["one genome", "few genomes", "none is not offered"],
)
def test_what_a_space_does_not_offer_is_not_asked(
    scoring: ScoringTask, trained_of: TrainedOf, forms: Mapping[Any, tuple[str, ...]]
) -> None:
    space = SpaceSettings(ranks=(4, 2), forms=dict(forms))
    Scorer(replace(scoring, space=space, trained=trained_of(scoring.backbone, space))).check()


def test_a_head_alone_has_nothing_to_compare(scoring: ScoringTask) -> None:
    head = {name: array for name, array in scoring.trained.tensors.items() if name.startswith("head.")}
    Scorer(replace(scoring, trained=Trained(head, 0.0), head_only=True)).check()


# ---- what is broken is found


@pytest.mark.parametrize("name", ["norm.weight", "blocks.1.norm1.bias", "patch_embed.proj.weight", "pos_embed"])
def test_a_number_of_the_plain_model_that_no_merge_overwrites_is_missed(scoring: ScoringTask, name: str) -> None:
    scorer = Scorer(scoring)
    with torch.no_grad():
        scorer.plain.get_parameter(name).view(-1)[0] += 0.5
    with pytest.raises(
        BadInput, match=r"^A worker on .* computes wrongly: .* they differ by up to \d.*Reinstall torch"
    ):
        scorer.check()


def test_an_original_weight_that_changed_is_found(scoring: ScoringTask) -> None:
    scorer = Scorer(scoring)
    with torch.no_grad():
        scorer.supernet.sites["blocks.1.mlp.fc1"].op.weight[0, 0] += 0.5
    with pytest.raises(BadInput, match="computes wrongly"):
        scorer.check()


def test_a_merge_that_is_not_exact_is_found(scoring: ScoringTask, monkeypatch: pytest.MonkeyPatch) -> None:
    merge = OpSite.merge

    def inexact(self: OpSite, forms: Mapping[str, str], weight: torch.Tensor, *others: Any) -> None:
        merge(self, forms, weight, *others)
        weight.mul_(1 + 1e-5)

    monkeypatch.setattr(OpSite, "merge", inexact)
    with pytest.raises(BadInput, match="computes wrongly"):
        Scorer(scoring).check()


def test_a_merge_of_the_same_weights_for_every_genome_is_found(
    scoring: ScoringTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge, merge_bias = OpSite.merge, OpSite.merge_bias
    monkeypatch.setattr(OpSite, "merge", lambda self, forms, *into: merge(self, {}, *into))
    monkeypatch.setattr(OpSite, "merge_bias", lambda self, forms, into: merge_bias(self, {}, into))
    with pytest.raises(
        BadInput, match=r"same logits for different subnets, 10 times out of 10\. .*learning_rate too small"
    ):
        Scorer(scoring).check()


def test_shared_weights_that_change_nothing_are_found(scoring: ScoringTask) -> None:
    tensors = {k: a if k.startswith("head.") else a * np.float32(0) for k, a in scoring.trained.tensors.items()}
    scorer = Scorer(replace(scoring, trained=Trained(tensors, 0.0)))
    with pytest.raises(BadInput, match="shared weights change nothing"):
        scorer.check()


def test_a_backbone_that_is_not_finite_is_left_to_its_candidates(scoring: ScoringTask) -> None:
    """Its bits are what they should be; that each candidate fails says more than a refused worker would."""
    state = cast("dict[str, np.ndarray]", dict(scoring.backbone.state))
    state["norm.bias"] = state["norm.bias"] * np.float32("nan")
    Scorer(replace(scoring, backbone=replace(scoring.backbone, state=state))).check()
