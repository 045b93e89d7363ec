"""A gene's depth and layer kind are read off its name, whatever the network calls its parts."""

from __future__ import annotations

import pytest

from glora_search.anatomy.loci import Locus, locus_of


@pytest.mark.parametrize(
    ("name", "depth", "kind", "support"),
    [
        ("blocks.3.attn.qkv.A", (3,), "attn.qkv", "A"),
        ("blocks.11.mlp.fc1.E", (11,), "mlp.fc1", "E"),
        ("blocks.0.attn.qkv[q].B", (0,), "attn.qkv[q]", "B"),
        ("blocks.3.prompt", (3,), "blocks", "prompt"),
        ("patch_embed.proj.C", (), "patch_embed.proj", "C"),
        ("trunk.layers.7.self_attn.out_proj.D", (7,), "trunk.self_attn.out_proj", "D"),
    ],
)
def test_a_name_is_depth_kind_and_support(name: str, depth: tuple[int, ...], kind: str, support: str) -> None:
    assert locus_of(name) == Locus(depth, kind, support)
    assert locus_of(name).staged == kind


@pytest.mark.parametrize(
    ("name", "depth", "kind", "stage"),
    [
        ("stages.2.blocks.5.conv.A", (2, 5), "conv", "stages.2"),
        ("layers.0.blocks.1.attn.qkv[q].A", (0, 1), "attn.qkv[q]", "layers.0"),
        ("layers.1.downsample.norm.A", (1,), "downsample.norm", "layers.1"),
        ("stages.1.downsample.0.A", (1,), "downsample.0", "stages.1"),
        ("stages.1.downsample.1.A", (1,), "downsample.1", "stages.1"),
        ("stem.1.A", (), "stem.1", ""),
    ],
)
def test_in_a_network_of_stages_a_name_has_a_stage_too(
    name: str, depth: tuple[int, ...], kind: str, stage: str
) -> None:
    assert locus_of(name) == Locus(depth, kind, "A", stage)
    assert locus_of(name).staged == (f"{stage}.{kind}" if stage else kind)


def test_depths_sort_as_numbers() -> None:
    names = ["blocks.10.fc.A", "blocks.9.fc.A", "head.fc.A"]
    assert sorted(names, key=lambda name: locus_of(name).depth) == ["head.fc.A", "blocks.9.fc.A", "blocks.10.fc.A"]
