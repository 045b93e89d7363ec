"""What compiles computes the same without a choice in it, and what does not is kept and said to be."""

import copy
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from timm.layers import Attention, Mlp
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from supernet import tables
from supernet.compiling import compile_into, outcomes
from supernet.model import Supernet
from supernet.settings import SpaceSettings

PairOf = Callable[..., tuple[VisionTransformer, Supernet]]
GELU_BESIDE = {
    "sites": "blocks.*.mlp",
    "gene": "adapter",
    "choice": "bottleneck",
    "options": {"activation": "gelu", "scales": [0.5], "ranks": [8, 4]},
}


@torch.no_grad()
def assert_computes(plain: nn.Module, supernet: Supernet, genome: str, images: Tensor) -> None:
    with supernet.active(genome):
        expected = supernet(images)
    assert (plain(images) - expected).abs().max() <= 1e-11 * max(1.0, float(expected.abs().max()))


def choices_in(plain: nn.Module) -> list[str]:
    return [type(module).__name__ for module in plain.modules() if "forward" in vars(module)]


@pytest.mark.parametrize("name", tables.TABLES)
@pytest.mark.parametrize("arguments", [{}, {"init_values": 0.5, "qk_norm": True}], ids=str)
def test_merged_compiled_and_kept_together_compute_the_subnet(
    pair_of: PairOf, images: Tensor, name: str, arguments: dict[str, Any]
) -> None:
    plain, supernet = pair_of(SpaceSettings(name=name), **arguments)
    space = supernet.space
    for genome in (space.largest, *(space.draw(np.random.default_rng(seed)) for seed in range(2))):
        made = copy.deepcopy(plain)
        said = compile_into(made, supernet, genome)
        assert_computes(made, supernet, genome, images)
        assert said.keys() == {gene for gene, form in space.decode(genome).items() if form != "none"}
        assert bool(choices_in(made)) == ("kept" in said.values())
        assert outcomes(supernet, genome) == said
        if "kept" not in said.values():
            assert_computes(copy.deepcopy(made), supernet, genome, images)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("glora", {"merged": 40}),
        ("full", {"merged": 28}),
        ("lora", {"merged": 4}),
        ("vpt_shallow", {"kept": 1}),
        ("vpt_deep", {"compiled": 2}),
        ("noah", {"compiled": 2, "merged": 2, "kept": 2}),
        ("parallel_adapter", {"kept": 2}),
        ("prefix", {"kept": 2}),
        ("control", {"kept": 2}),
        ("linear_probe", {}),
    ],
)
def test_each_method_says_what_becomes_of_it(pair_of: PairOf, name: str, said: dict[str, int]) -> None:
    _, supernet = pair_of(SpaceSettings(name=name))
    assert Counter(outcomes(supernet, supernet.space.largest).values()) == said


def test_deep_prompts_become_keys_and_values(pair_of: PairOf, images: Tensor) -> None:
    """Of the block's own projection as it is merged: a LoRA there moves them too."""
    rows = (*tables.TABLES["vpt_deep"], tables.row("blocks.*.attn.qkv", "lora", "lora", ranks=[4]))
    plain, supernet = pair_of(SpaceSettings(name="mix", rows=rows))
    compile_into(plain, supernet, supernet.space.largest)
    assert choices_in(plain) == []
    attention = plain.blocks[1].attn
    assert isinstance(attention, Attention)
    prompts = plain.blocks[1].norm1(supernet.trained()["blocks.1.prompt.prompts"].detach())  # (10, 16)
    of_prompts = prompts @ attention.qkv.weight.T + attention.qkv.bias
    assert torch.allclose(attention.keys.transpose(0, 1).flatten(1), of_prompts[:, 16:32], rtol=0, atol=1e-12)
    assert torch.allclose(attention.values.transpose(0, 1).flatten(1), of_prompts[:, 32:], rtol=0, atol=1e-12)
    assert_computes(plain, supernet, supernet.space.largest, images)


def test_a_gelu_adapter_beside_the_mlp_becomes_hidden_units(pair_of: PairOf, images: Tensor) -> None:
    plain, supernet = pair_of(SpaceSettings(name="mix", rows=(GELU_BESIDE,)), init_values=0.5)
    said = compile_into(plain, supernet, "84")
    assert set(said.values()) == {"compiled"}
    assert [type(block.mlp) for block in plain.blocks] == [Mlp, Mlp]
    assert [block.mlp.fc1.out_features for block in plain.blocks] == [32 + 8, 32 + 4]
    assert_computes(plain, supernet, "84", images)


@pytest.mark.parametrize(
    ("change", "model"),
    [
        ({"activation": "relu"}, {}),
        ({"insertion": "after"}, {}),
        ({"insertion": "before"}, {}),
        ({}, {"act_layer": nn.ReLU}),
        pytest.param({}, {"act_layer": lambda: nn.GELU(approximate="tanh")}, id="another approximation of GELU"),
        ({}, {"proj_bias": False}),
        ({}, {"scale_mlp_norm": True}),
    ],
    ids=str,
)
def test_an_adapter_that_is_no_part_of_the_mlp_is_kept(
    pair_of: PairOf, images: Tensor, change: dict[str, Any], model: dict[str, Any]
) -> None:
    row = {**GELU_BESIDE, "options": {**GELU_BESIDE["options"], **change}}
    plain, supernet = pair_of(SpaceSettings(name="mix", rows=(row,)), **model)
    assert set(compile_into(plain, supernet, "84").values()) == {"kept"}
    assert_computes(plain, supernet, "84", images)


@pytest.mark.parametrize(
    ("site", "choice", "said"),
    [
        ("blocks.*.mlp", "bottleneck", "compiled"),
        ("blocks.*.ffn", "bottleneck", "compiled"),
        ("blocks.*.attn", "bottleneck", "kept"),
        ("blocks.*.attn.core", "prefix", "kept"),
        ("blocks.*.attn.core", "head_adapter", "kept"),
        ("blocks.*.mlp", "control", "kept"),
        ("blocks.*.ffn", "control", "kept"),
    ],
)
def test_prompts_compile_beside_what_works_token_by_token_alone(
    pair_of: PairOf, images: Tensor, site: str, choice: str, said: str
) -> None:
    """A controller mixes the prompts into the image's tokens; what wraps the attention would see no prompts."""
    rows = (*tables.TABLES["vpt_deep"], tables.row(site, "other", choice))
    plain, supernet = pair_of(SpaceSettings(name="mix", rows=rows))
    found = compile_into(plain, supernet, supernet.space.largest)
    assert {outcome for gene, outcome in found.items() if gene.endswith("prompt")} == {said}
    assert_computes(plain, supernet, supernet.space.largest, images)


def test_what_stands_around_something_kept_is_kept(pair_of: PairOf, images: Tensor) -> None:
    """Hidden units beside the MLP would run through the adapter that stands behind it."""
    behind = tables.row("blocks.*.mlp", "behind", "bottleneck", insertion="after")
    plain, supernet = pair_of(SpaceSettings(name="mix", rows=(behind, GELU_BESIDE)))
    assert set(compile_into(plain, supernet, supernet.space.largest).values()) == {"kept"}
    assert_computes(plain, supernet, supernet.space.largest, images)
    plain, supernet = pair_of(SpaceSettings(name="mix", rows=(GELU_BESIDE, behind)))
    assert Counter(compile_into(plain, supernet, supernet.space.largest).values()) == {"compiled": 2, "kept": 2}
    assert_computes(plain, supernet, supernet.space.largest, images)
