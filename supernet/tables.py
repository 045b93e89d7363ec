"""Spaces as tables: which choice stands at which sites under which gene. A method is a row or a few. No torch.

A site pattern is a path in the model in which `*` stands for one part and `**` for any, so that `**blocks.*` are the
blocks of a Vision Transformer and of one with stages; `[q]`, `[k]` or `[v]` behind
it are a third of a fused qkv. `blocks.3.attn.core` is the attention's inner function, `blocks.3.ffn` the residual
branch of the MLP with its norm. Where a row has `depths`, its genes are a chain (chains.py): they stand together in the
first of its sites. A choice is a file of supernet/choices, or one of several in it as in `glora.B`.
The numbers are those of the papers for a ViT-B/16; sources and formulas are in the choices' own files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from supernet.strict import Settings


class Row(Settings):
    """One gene at every site that the pattern names."""

    sites: str = Field(description="site pattern, as in `blocks.*.attn.qkv[q]`")
    gene: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="the gene's name, without its site")
    choice: str = Field(description="a file of supernet/choices, as in `lora`")
    options: dict[str, Any] = Field(default_factory=dict, description="options of that choice")
    depths: int = Field(
        default=0,
        ge=0,
        description="4: the gene stands in none, the first 1/4, 2/4, 3/4 or all of its sites; 0: in any of them",
    )

    @model_serializer(mode="wrap")
    def _as_before_there_were_depths(self, written: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A mix without depths keeps the recipe that it was trained under."""
        found: dict[str, Any] = written(self)
        return found if self.depths else {key: value for key, value in found.items() if key != "depths"}


def row(sites: str, gene: str, choice: str, *, depths: int = 0, **options: Any) -> Row:
    """A row whose gene and options stand side by side."""
    return Row(sites=sites, gene=gene, choice=choice, options=options, depths=depths)


TABLES: Mapping[str, tuple[Row, ...]] = {
    "full": (row("**", "weight", "full"), row("**", "bias", "bitfit")),
    "linear_probe": (),
    "bitfit": (row("**", "bias", "bitfit"),),
    "vpt_shallow": (row("blocks", "prompt", "prompt", lengths=[50]),),
    "vpt_deep": (row("blocks.*", "prompt", "prompt", lengths=[10]),),
    "lora": tuple(row(f"**blocks.*.attn.qkv[{third}]", "lora", "lora", ranks=[8]) for third in "qv"),
    "adapter": (row("blocks.*.mlp", "adapter", "bottleneck", ranks=[8], activation="gelu", insertion="after"),),
    "adaptformer": (row("blocks.*.ffn", "adapter", "bottleneck", ranks=[8], scales=[0.1]),),
    "ssf": (row("**", "ssf", "ssf"),),
    "repadapter": tuple(
        row(f"**blocks.*.{op}", "adapter", "repadapter", ranks=[8], groups=2) for op in ("attn.qkv", "mlp.fc1")
    ),
    "prefix": (row("blocks.*.attn.core", "prefix", "prefix", lengths=[10]),),
    "parallel_adapter": (row("blocks.*.mlp", "adapter", "bottleneck", ranks=[8]),),
    "scaled_parallel_adapter": (row("blocks.*.mlp", "adapter", "bottleneck", ranks=[8], scales=[4.0]),),
    "multihead_parallel_adapter": (row("blocks.*.attn.core", "adapter", "head_adapter", lengths=[10]),),
    "mam": (
        row("blocks.*.attn.core", "prefix", "prefix", lengths=[10]),
        row("blocks.*.mlp", "adapter", "bottleneck", ranks=[8], scales=[4.0]),
    ),
    "control": (row("blocks.*.mlp", "control", "control", ranks=[64]),),
    "multihead_control": (row("blocks.*.mlp", "control", "control", ranks=[64], heads="model"),),
    "noah": (
        row("blocks.*", "prompt", "prompt", depths=4, lengths=[10, 5, 1]),
        row("blocks.*.attn.qkv", "lora", "lora", depths=4, ranks=[10, 5, 1]),
        row(
            "blocks.*.mlp",
            "adapter",
            "bottleneck",
            depths=4,
            ranks=[10, 5, 1],
            activation="quick_gelu",
            insertion="after",
        ),
    ),
    "glora": (
        row("**blocks.**", "A", "glora.scaling"),
        *(row("**blocks.**", letter, f"glora.{letter}") for letter in "BCDE"),
    ),
    "unified": (
        row("blocks.*.attn.core", "prefix", "prefix", lengths=[10, 5]),
        row("blocks.*.attn.core", "heads", "head_adapter", lengths=[10, 5]),
        row("blocks.*.attn.qkv[q]", "lora", "lora", ranks=[8, 4]),
        row("blocks.*.attn.qkv[v]", "lora", "lora", ranks=[8, 4]),
        *(
            row(f"blocks.*.{branch}", gene, "bottleneck", ranks=[8, 4], **options)
            for branch in ("attn", "mlp")
            for gene, options in (
                ("sequential", {"insertion": "after"}),
                ("parallel", {"insertion": "parallel", "scales": [1.0, 4.0]}),
            )
        ),
    ),
}
MIX = "mix"  # the table that a config writes down


def names() -> tuple[str, ...]:
    """What `space.name` may be."""
    return (*TABLES, MIX)
