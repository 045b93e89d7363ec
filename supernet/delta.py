"""The small file of an export: only the slices that the chosen subnet uses, scales multiplied in, and the head."""

from __future__ import annotations

import torch

from supernet.model import Supernet


def delta_of(supernet: Supernet, genome: str) -> dict[str, torch.Tensor]:
    """`SITE.GENE.PART` -> the form's own numbers, and `head.*`; a part is `down`, `up`, `vector`, ...

    A gene of a third of an op is `lora[q]` of its site here (`blocks.0.attn.qkv.lora[q]`), where genomes have
    `blocks.0.attn.qkv[q].lora`. Without the head it holds exactly `space.parameters(genome)` numbers.
    """
    kept = {
        f"{path}.{gene}.{part}": tensor.detach().contiguous().cpu()
        for path, forms in supernet.forms(genome).items()
        for gene, form in forms.items()
        for part, tensor in supernet.sites[path].stored(gene, form).items()
    }
    return kept | {f"head.{name}": tensor.detach().cpu() for name, tensor in supernet.head.named_parameters()}
