from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from supernet import onednn
from supernet.backbone import Backbone
from supernet.data import Split
from supernet.errors import BadInput, Corrupt
from supernet.evaluation import QUANTUM, Measurement, NotFinite, Partial, Scorer, ScoringTask
from supernet.examples import DeviceImages
from supernet.settings import SpaceSettings
from supernet.trained import Trained
from supernet.training import adapt

TrainedOf = Callable[..., Trained]
WAYS = [
    {"precision": "float32"},
    {"precision": "bfloat16"},
    {"precision": "float32", "kernels": "lean"},
    {"precision": "bfloat16", "kernels": "lean"},
    pytest.param(
        {"precision": "bfloat16", "kernels": "onednn"},
        marks=pytest.mark.skipif(not onednn.works(), reason="this torch has no such kernels here"),
    ),
]


@dataclass(frozen=True, eq=False)
class Rule:
    """A racing rule that says what `asked` says, of the examples in this order."""

    asked: Callable[[Partial], bool]
    order: np.ndarray | None = None

    def __call__(self, partial: Partial) -> bool:
        return self.asked(partial)


def spared(order: np.ndarray | None) -> Rule:
    """Nobody is dropped."""
    return Rule(lambda partial: False, order)


@pytest.fixture(scope="module")
def scorer(scoring: ScoringTask) -> Scorer:
    return Scorer(scoring)


def genome(scorer: Scorer, seed: int) -> str:
    return scorer.supernet.space.draw(np.random.default_rng(seed))


def permuted(split: Split, order: Any) -> Split:
    return Split(split.images[order], split.labels[order], tuple(split.examples[i] for i in order))


def bits(found: Measurement, count: int) -> np.ndarray:
    return np.unpackbits(np.frombuffer(found.correct, np.uint8))[:count].astype(bool)


def unmerged(task: ScoringTask, genome: str) -> torch.Tensor:
    """(n, classes) float64 logits of the subnet, all examples at once."""
    supernet = adapt(task.backbone, task.space, seed=1).eval()
    task.trained.load_into(supernet)
    images = DeviceImages(task.split.images, task.backbone.mean, task.backbone.std, torch.device("cpu"))
    with torch.no_grad(), supernet.double().active(genome):
        return supernet(images[:].double())


# What is measured


@pytest.mark.parametrize("kernels", ["timm", "lean"])
@pytest.mark.parametrize("model", ["test_vit", "test_vit2", "test_vit3"])
def test_it_measures_the_subnet(
    scoring: ScoringTask, backbone_of: Callable[[str], Backbone], trained_of: TrainedOf, model: str, kernels: Any
) -> None:
    """test_vit2 has LayerScales, test_vit3 pools by attention."""
    backbone, numerics = backbone_of(model), replace(scoring.numerics, kernels=kernels)
    task = replace(scoring, backbone=backbone, numerics=numerics, trained=trained_of(backbone, scoring.space))
    scorer, labels = Scorer(task), torch.tensor(task.split.labels)
    for seed in range(3):
        found, logits = scorer.score(genome(scorer, seed)), unmerged(task, genome(scorer, seed))
        right = (logits.argmax(dim=1) == labels).numpy()
        assert np.array_equal(bits(found, 37), right)
        assert found.accuracy == right.mean()
        assert found.loss == pytest.approx(float(F.cross_entropy(logits, labels)), rel=1e-4)
        assert found.complete


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("test_vit", "glora"),
        ("test_vit2", "glora"),
        ("test_vit3", "glora"),
        ("test_vit", "vpt_deep"),
        ("test_vit2", "unified"),
    ],
)
@pytest.mark.parametrize("way", WAYS[1:])
def test_every_way_measures_the_same_subnet(
    scoring: ScoringTask,
    backbone_of: Callable[[str], Backbone],
    trained_of: TrainedOf,
    model: str,
    name: str,
    way: dict[str, Any],
) -> None:
    """Where something is wrapped too; what bfloat16 rounds aside."""
    backbone, space = backbone_of(model), SpaceSettings(name=name)
    task = replace(scoring, backbone=backbone, space=space, trained=trained_of(backbone, space, seed=1))
    exact, other = Scorer(task), Scorer(replace(task, numerics=replace(task.numerics, **way)))
    rounded = way["precision"] == "bfloat16"
    for seed in range(3):
        one, two = (each.score(genome(each, seed)) for each in (exact, other))
        assert two.loss == pytest.approx(one.loss, rel=0.05 if rounded else 1e-4)
        assert rounded or two.correct == one.correct


def test_correctness_is_one_bit_an_example(scorer: Scorer) -> None:
    found = scorer.score(genome(scorer, 0))
    assert len(found.correct) == 5
    every = np.unpackbits(np.frombuffer(found.correct, np.uint8))
    assert every[37:].sum() == 0
    assert every.sum() == found.partial.correct == round(found.accuracy * 37)
    assert 0 < every.sum() < 37, "else these tests would see too little"


def test_the_loss_is_a_whole_number_of_quanta_for_each_example(scorer: Scorer) -> None:
    found = scorer.score(genome(scorer, 0))
    assert found.loss == found.partial.loss * QUANTUM / 37
    assert isinstance(found.partial.loss, int)


def test_the_loss_of_each_example_is_reported_where_it_is_asked_for(scoring: ScoringTask, scorer: Scorer) -> None:
    each, asked = genome(scorer, 0), Scorer(replace(scoring, losses=True))
    found = asked.score(each)
    assert found.losses is not None
    quanta = np.frombuffer(found.losses, dtype=np.int64)
    expected = F.cross_entropy(unmerged(scoring, each), torch.tensor(scoring.split.labels), reduction="none")
    assert np.allclose(quanta * QUANTUM, expected.numpy(), rtol=1e-3, atol=1e-4)
    assert quanta.sum() == found.partial.loss
    assert asked.score(each, spared(np.arange(37)[::-1])).losses == found.losses, "in the split's order"
    assert replace(found, losses=None) == scorer.score(each)


# Invariance


@pytest.mark.parametrize("way", WAYS)
def test_the_order_of_examples_does_not_matter(scoring: ScoringTask, way: Any) -> None:
    task = replace(scoring, numerics=replace(scoring.numerics, **way))
    scorer = Scorer(task)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(37)
        turned = Scorer(replace(task, split=permuted(task.split, order)))
        for each in (genome(scorer, seed), scorer.supernet.space.largest):
            one, two = scorer.score(each), turned.score(each)
            assert (one.accuracy, one.loss) == (two.accuracy, two.loss)
            assert np.array_equal(bits(one, 37)[order], bits(two, 37))


@pytest.mark.parametrize("way", WAYS)
def test_what_was_scored_before_leaves_no_trace(scoring: ScoringTask, way: Any) -> None:
    scorer = Scorer(replace(scoring, numerics=replace(scoring.numerics, **way)))
    one, two = genome(scorer, 1), genome(scorer, 2)
    first = scorer.score(one)
    assert scorer.score(two) != first
    scorer.score(scorer.supernet.space.largest, hopeless=Rule(lambda partial: True, np.arange(37)[::-1]))
    with pytest.raises(BadInput):
        scorer.score(one + "?")
    assert scorer.score(one) == first


def test_a_split_that_ends_within_a_chunk_is_padded_without_effect(scoring: ScoringTask, scorer: Scorer) -> None:
    """Of the first n examples the result is the same, whatever n leaves of the last chunk."""
    each = genome(scorer, 0)
    whole = scorer.score(each)
    for count in (1, 16, 17):
        found = Scorer(replace(scoring, split=permuted(scoring.split, np.arange(count)))).score(each)
        assert np.array_equal(bits(found, count), bits(whole, 37)[:count])
        assert found.partial.seen == found.partial.total == count
    parts = (np.arange(5), np.arange(5, 18), np.arange(18, 37))
    sums = [Scorer(replace(scoring, split=permuted(scoring.split, part))).score(each).partial.loss for part in parts]
    assert sum(sums) == whole.partial.loss, "losses are summed as integers"


def test_reading_the_read_only_arrays_of_an_object_store_is_enough(scoring: ScoringTask) -> None:
    tensors = {
        name: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape) for name, a in scoring.trained.tensors.items()
    }
    assert not any(array.flags.writeable for array in tensors.values())
    scorer = Scorer(replace(scoring, trained=Trained(tensors, 0.0)))
    assert scorer.score(genome(scorer, 0)) == Scorer(scoring).score(genome(scorer, 0))


# Racing


def test_a_hopeless_candidate_is_dropped_after_the_chunk_that_says_so(scorer: Scorer) -> None:
    asked: list[Partial] = []

    def after_two(partial: Partial) -> bool:
        asked.append(partial)
        return partial.seen >= 32

    each = genome(scorer, 0)
    dropped, whole = scorer.score(each, Rule(after_two)), scorer.score(each)
    assert not dropped.complete
    assert [partial.seen for partial in asked] == [16, 32]
    assert asked[-1] == dropped.partial
    assert np.array_equal(bits(dropped, 32), bits(whole, 37)[:32])
    assert not bits(dropped, 37)[32:].any(), "of what was not looked at nothing is claimed"
    assert dropped.partial.correct == bits(whole, 37)[:32].sum()
    assert dropped.accuracy == dropped.partial.correct / 32
    assert dropped.loss == dropped.partial.loss * QUANTUM / 32
    assert all(partial.total == 37 for partial in asked)
    assert all(partial.parameters == scorer.supernet.space.parameters(each) for partial in asked)


def test_a_rule_that_drops_nobody_changes_nothing_and_is_not_asked_at_the_end(scorer: Scorer) -> None:
    asked: list[int] = []

    def never(partial: Partial) -> bool:
        asked.append(partial.seen)
        return False

    each = genome(scorer, 0)
    assert scorer.score(each, Rule(never)) == scorer.score(each)
    assert asked == [16, 32]


@pytest.mark.parametrize("way", WAYS)
def test_a_candidate_that_is_looked_at_in_another_order_measures_the_same(scoring: ScoringTask, way: Any) -> None:
    scorer = Scorer(replace(scoring, numerics=replace(scoring.numerics, **way)))
    orders = [np.random.default_rng(seed).permutation(37) for seed in range(4)]
    for each in (genome(scorer, 0), genome(scorer, 1), scorer.supernet.space.largest):
        whole = scorer.score(each)
        for order in (*orders, orders[0], None, np.arange(37)[::-1]):
            assert scorer.score(each, spared(order)) == whole


def test_a_dropped_candidate_is_looked_at_in_the_rules_order_and_answers_in_the_splits(scorer: Scorer) -> None:
    order, each = np.random.default_rng(5).permutation(37), genome(scorer, 0)
    dropped, whole = scorer.score(each, Rule(lambda partial: True, order)), bits(scorer.score(each), 37)
    seen = np.isin(np.arange(37), order[:16])
    assert np.array_equal(bits(dropped, 37), whole & seen)
    assert dropped.partial.correct == whole[order[:16]].sum()
    assert 0 < dropped.partial.correct < 16, "else this test would see too little"


@pytest.mark.parametrize("order", [np.arange(36), np.zeros(37, dtype=int), np.arange(1, 38)])
def test_an_order_that_leaves_an_example_out_is_a_mistake_of_ours(scorer: Scorer, order: np.ndarray) -> None:
    with pytest.raises(AssertionError, match="each example once"):
        scorer.score(genome(scorer, 0), spared(order))


def test_a_candidate_of_few_examples_at_a_time_is_asked_about_as_often(scorer: Scorer) -> None:
    """Where memory is short a chunk is computed in parts, and the rule sees no difference."""
    asked: list[int] = []
    rule = Rule(lambda partial: bool(asked.append(partial.seen)), np.arange(37)[::-1])  # type: ignore[func-returns-value]
    scorer.score(genome(scorer, 0), rule, chunk=5)
    assert asked == [16, 32]
    assert scorer.merger.kept == {}, "what was kept is given back first"


# Failure and precision


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_said_to_be(scoring: ScoringTask, value: float) -> None:
    tensors = dict(scoring.trained.tensors)
    broken = tensors["blocks.2.mlp.fc1.E.down"].copy()
    broken[:] = value
    scorer = Scorer(replace(scoring, trained=Trained(tensors | {"blocks.2.mlp.fc1.E.down": broken}, 0.0)))
    space = scorer.supernet.space
    with pytest.raises(NotFinite, match="The loss of 37 examples is not finite"):
        scorer.score(space.encode({"blocks.2.mlp.fc1.E": "vector"}))
    with pytest.raises(NotFinite, match="The loss of 16 examples is not finite"):  # before a rule is asked about it
        scorer.score(space.encode({"blocks.2.mlp.fc1.E": "vector"}), Rule(lambda partial: True))
    healthy = scorer.score(space.encode({"blocks.2.mlp.fc1.E": "none"}))
    assert np.isfinite(healthy.loss), "a candidate that does not use them is none the worse"


def test_bfloat16_is_close_to_float32_and_not_the_same(scoring: ScoringTask, scorer: Scorer) -> None:
    half = Scorer(replace(scoring, numerics=replace(scoring.numerics, precision="bfloat16")))
    for seed in range(3):
        rough, exact = half.score(genome(scorer, seed)), scorer.score(genome(scorer, seed))
        assert rough.loss != exact.loss
        assert rough.loss == pytest.approx(exact.loss, rel=0.05)
        assert np.mean(bits(rough, 37) == bits(exact, 37)) > 0.8


def test_fused_and_plain_attention_measure_the_same_model(scoring: ScoringTask, scorer: Scorer) -> None:
    plain = Scorer(replace(scoring, numerics=replace(scoring.numerics, attention="plain")))
    each = genome(scorer, 0)
    assert plain.score(each).loss == pytest.approx(scorer.score(each).loss, rel=1e-5)


def test_scoring_builds_no_graph_and_leaves_the_generator_alone(scorer: Scorer) -> None:
    before = torch.get_rng_state()
    scorer.score(scorer.supernet.space.largest)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(parameter.grad is None for parameter in scorer.supernet.parameters())


# What was trained


def test_a_head_alone_scores_only_as_a_linear_probe(scoring: ScoringTask) -> None:
    head = {name: array for name, array in scoring.trained.tensors.items() if name.startswith("head.")}
    alone = replace(scoring, trained=Trained(head, 0.0))
    with pytest.raises(Corrupt, match=r"lacks blocks\.0\.attn\.proj\.A\.down and \d+ more tensors"):
        Scorer(alone)
    probe = Scorer(replace(alone, head_only=True))
    none = probe.supernet.space.encode({gene.name: "none" for gene in probe.supernet.space.genes})
    assert probe.score(none) == Scorer(scoring).score(none)


def test_tensors_of_another_space_are_refused_by_name(scoring: ScoringTask) -> None:
    for space in (
        SpaceSettings(ranks=(8,), storage="shared"),
        SpaceSettings(ranks=(4, 2), product="matrix", storage="shared"),
    ):
        with pytest.raises(Corrupt, match=r"tensor blocks\.\d.* does not fit this space"):
            Scorer(replace(scoring, space=space))


def test_the_fingerprint_follows_every_tensor_and_nothing_else() -> None:
    one = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros(2, np.float32)}
    bit = one["a"].copy()
    bit.view(np.uint32)[1, 2] ^= 1
    others = [
        one,
        one | {"a": bit},
        one | {"a": one["a"].reshape(3, 2)},
        one | {"a": one["a"].view(np.int32)},
        one | {"c": np.zeros(2, np.float32)},
        {"a": one["a"]},
        {"a": one["a"], "c": one["b"]},
    ]
    assert len({Trained(tensors, 0.0).fingerprint for tensors in others}) == len(others)
    turned = dict(reversed(one.items())) | {"a": np.asfortranarray(one["a"])}
    assert Trained(turned, 9.0).fingerprint == Trained(one, 0.0).fingerprint
