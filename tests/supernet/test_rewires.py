"""The methods that wrap, each held against its paper's formula in a forward written out block by block."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor
from torch.nn import functional as F

from supernet.choices.prefix import gate
from supernet.errors import BadInput
from supernet.model import Supernet
from supernet.settings import SpaceSettings

PairOf = Callable[..., tuple[VisionTransformer, Supernet]]
Supports = dict[str, Tensor]
MODELS = [{}, {"init_values": 0.5, "qk_norm": True}, {"qkv_bias": False, "class_token": False, "global_pool": "avg"}]
every_model = pytest.mark.parametrize("arguments", MODELS, ids=str)


class ByHand:
    """A ViT's forward in formulas, with a place for each kind of change. It is overridden where a method differs."""

    def __init__(self, plain: VisionTransformer, supernet: Supernet) -> None:
        self.model, self.trained = copy.deepcopy(plain), {k: v.detach() for k, v in supernet.trained().items()}
        self.model.head.load_state_dict(supernet.head.state_dict())

    def supports(self, site: str) -> Supports:
        return {k.removeprefix(f"{site}."): v for k, v in self.trained.items() if k.startswith(f"{site}.")}

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        x = self.model.norm_pre(self.model._pos_embed(self.model.patch_embed(images)))
        x = self.blocks(x)
        logits: Tensor = self.model.forward_head(self.model.norm(x))
        return logits

    def blocks(self, x: Tensor) -> Tensor:
        for number in range(len(self.model.blocks)):
            x = self.block(number, x)
        return x

    def block(self, number: int, x: Tensor) -> Tensor:
        block = self.model.blocks[number]
        x = x + block.ls1(self.attention(number, block.norm1(x)))
        return x + self.ffn(number, x)

    def ffn(self, number: int, x: Tensor) -> Tensor:
        block = self.model.blocks[number]
        return block.ls2(self.mlp(number, block.norm2(x)))

    def mlp(self, number: int, x: Tensor) -> Tensor:
        mlp = self.model.blocks[number].mlp
        return F.gelu(x @ mlp.fc1.weight.T + mlp.fc1.bias) @ mlp.fc2.weight.T + mlp.fc2.bias

    def attention(self, number: int, x: Tensor) -> Tensor:
        """Head by head."""
        attention = self.model.blocks[number].attn
        q, k, v = attention.qkv(x).chunk(3, dim=-1)
        parts = []
        for head in range(2):
            at = slice(8 * head, 8 * head + 8)
            mine = attention.q_norm(q[..., at]), attention.k_norm(k[..., at]), v[..., at]
            parts.append(self.head(number, head, *mine))
        return attention.proj(torch.cat(parts, dim=-1))

    def head(self, number: int, head: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return torch.softmax(torch.einsum("bnd,bmd->bnm", q, k) / 8**0.5, dim=-1) @ v


def bottleneck(x: Tensor, s: Supports, act: Callable[[Tensor], Tensor], scale: float = 1.0) -> Tensor:
    return scale * (act(x @ s["into"].T + s["into_bias"]) @ s["back"].T + s["back_bias"])


class Shallow(ByHand):
    def blocks(self, x: Tensor) -> Tensor:
        """As the source: behind the first token."""
        prompts = self.trained["blocks.prompt.prompts"].expand(len(x), -1, -1)
        x = torch.cat([x[:, :1], prompts, x[:, 1:]], dim=1)
        x = super().blocks(x)
        return torch.cat([x[:, :1], x[:, 1 + prompts.shape[1] :]], dim=1)


class Deep(ByHand):
    def blocks(self, x: Tensor) -> Tensor:
        """As the source: those of a block are replaced by those of the next."""
        for number in range(2):
            prompts = self.trained[f"blocks.{number}.prompt.prompts"].expand(len(x), -1, -1)
            x = self.block(number, torch.cat([x[:, :1], prompts, x[:, 1:]], dim=1))
            x = torch.cat([x[:, :1], x[:, 1 + prompts.shape[1] :]], dim=1)
        return x


class Adapter(ByHand):
    def mlp(self, number: int, x: Tensor) -> Tensor:
        y = super().mlp(number, x)
        return y + bottleneck(y, self.supports(f"blocks.{number}.mlp.adapter"), F.gelu)


class AdaptFormer(ByHand):
    def ffn(self, number: int, x: Tensor) -> Tensor:
        """Of the raw residual stream, as its code has it."""
        s = self.supports(f"blocks.{number}.ffn.adapter")
        return super().ffn(number, x) + bottleneck(x, s, F.relu, scale=0.1)


class Parallel(ByHand):
    scale = 1.0

    def mlp(self, number: int, x: Tensor) -> Tensor:
        s = self.supports(f"blocks.{number}.mlp.adapter")
        return super().mlp(number, x) + bottleneck(x, s, F.relu, self.scale)


class ScaledParallel(Parallel):
    scale = 4.0


class Prefixed(ByHand):
    def head(self, number: int, head: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """As the gate has it: (1 - lambda) attention + lambda attention to the prefix."""
        s = self.supports(f"blocks.{number}.attn.core.prefix")
        keys, values = s["keys"][head], s["values"][head]
        to_prefix, to_tokens = torch.exp(q @ keys.T / 8**0.5), torch.exp(q @ k.transpose(1, 2) / 8**0.5)
        share = to_prefix.sum(-1, keepdim=True) / (to_prefix.sum(-1, keepdim=True) + to_tokens.sum(-1, keepdim=True))
        among = to_prefix / to_prefix.sum(-1, keepdim=True)
        return (1 - share) * super().head(number, head, q, k, v) + share * (among @ values)


class Mam(Prefixed, ScaledParallel):
    pass


class HeadParallel(ByHand):
    def head(self, number: int, head: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        s = self.supports(f"blocks.{number}.attn.core.adapter")
        hidden = F.relu(q @ s["keys"][head].T / 8**0.5)
        return super().head(number, head, q, k, v) + hidden @ s["values"][head]


class Controlled(ByHand):
    heads = 1

    def mlp(self, number: int, x: Tensor) -> Tensor:
        """Token by token."""
        s = self.supports(f"blocks.{number}.mlp.control")
        u = (x @ s["into"].T + s["into_bias"]) @ s["back"].T + s["back_bias"]
        mixed = torch.zeros_like(u)
        for part in torch.arange(16).chunk(self.heads):
            slices = u[..., part]
            for i in range(u.shape[1]):
                weights = torch.softmax((slices * slices[:, i : i + 1]).sum(-1), dim=-1)
                mixed[:, i, part] = (weights[..., None] * slices).sum(1)
        return super().mlp(number, x) + u + mixed


class MultiHeadControlled(Controlled):
    heads = 2


METHODS: dict[str, type[ByHand]] = {
    "linear_probe": ByHand,
    "vpt_shallow": Shallow,
    "vpt_deep": Deep,
    "adapter": Adapter,
    "adaptformer": AdaptFormer,
    "parallel_adapter": Parallel,
    "scaled_parallel_adapter": ScaledParallel,
    "prefix": Prefixed,
    "mam": Mam,
    "multihead_parallel_adapter": HeadParallel,
    "control": Controlled,
    "multihead_control": MultiHeadControlled,
}


@every_model
@pytest.mark.parametrize("name", METHODS)
def test_a_method_computes_its_papers_formula(
    pair_of: PairOf, images: Tensor, name: str, arguments: dict[str, Any]
) -> None:
    plain, supernet = pair_of(SpaceSettings(name=name), **arguments)
    expected = METHODS[name](plain, supernet)(images)
    for fused in (True, False):
        for module in supernet.modules():
            if hasattr(module, "fused_attn"):
                module.fused_attn = fused
        assert_close(subnet(supernet, supernet.space.largest, images), expected)
    if name != "linear_probe":
        without = ByHand(plain, supernet)(images)
        assert (without - expected).abs().max() > 1e-3 * expected.abs().max(), "the method does something"


def test_an_adapter_of_the_raw_port_and_one_of_the_normed_port_are_one_class(pair_of: PairOf, images: Tensor) -> None:
    row = {"sites": "blocks.*.mlp", "gene": "adapter", "choice": "bottleneck", "options": {"scales": [0.1]}}
    plain, supernet = pair_of(SpaceSettings(name="mix", rows=(row,)))

    class Normed(Parallel):
        scale = 0.1

    assert_close(subnet(supernet, "8" * 2, images), Normed(plain, supernet)(images))


@pytest.mark.parametrize(("insertion", "activation"), [("before", "silu"), ("after", "quick_gelu")])
def test_a_bottleneck_stands_before_or_after_the_attention_too(
    pair_of: PairOf, images: Tensor, insertion: str, activation: str
) -> None:
    options = {"insertion": insertion, "activation": activation, "ranks": [4]}
    row = {"sites": "blocks.*.attn", "gene": "adapter", "choice": "bottleneck", "options": options}
    plain, supernet = pair_of(SpaceSettings(name="mix", rows=(row,)))
    beta = {"silu": 1.0, "quick_gelu": 1.702}[activation]

    class Around(ByHand):
        def attention(self, number: int, x: Tensor) -> Tensor:
            def change(x: Tensor) -> Tensor:
                return bottleneck(x, s, lambda h: h / (1 + torch.exp(-beta * h)))

            s = self.supports(f"blocks.{number}.attn.adapter")
            if insertion == "before":
                return super().attention(number, x + change(x))
            y = super().attention(number, x)
            return y + change(y)

    assert_close(subnet(supernet, "44", images), Around(plain, supernet)(images))


def test_ranks_and_scales_share_their_numbers(pair_of: PairOf, images: Tensor) -> None:
    """A form is a rank and a scale: rank4x2 is the first four units, twice."""
    options = {"scales": [1.0, 2.0], "ranks": [8, 4]}
    row = {"sites": "blocks.*.mlp", "gene": "adapter", "choice": "bottleneck", "options": options}
    plain, supernet = pair_of(SpaceSettings(name="mix", rows=(row,)))
    names = [form.name for form in supernet.space.genes[0].forms]
    assert names == ["rank8x1", "rank8x2", "rank4x1", "rank4x2", "none"]

    class Four(Parallel):
        scale = 2.0

        def supports(self, site: str) -> Supports:
            s = super().supports(site)
            return {**s, "into": s["into"][:4], "into_bias": s["into_bias"][:4], "back": s["back"][:, :4]}

    genome = supernet.space.encode({gene.name: "rank4x2" for gene in supernet.space.genes})
    assert_close(subnet(supernet, genome, images), Four(plain, supernet)(images))


def test_the_gate_says_how_much_attention_goes_to_the_prefix() -> None:
    """Equal logits share by number; it is the weight that the concatenated softmax gives the prefix."""
    generator = torch.Generator().manual_seed(0)
    q, k, keys = (torch.randn(*n, 8, generator=generator).double() for n in ((3, 2, 5), (3, 2, 7), (2, 4)))
    together = torch.softmax(q @ torch.cat([keys.expand(3, -1, -1, -1), k], 2).transpose(-2, -1) / 8**0.5, dim=-1)
    assert torch.allclose(gate(q, k, keys), together[..., :4].sum(-1, keepdim=True), rtol=0, atol=1e-14)
    assert torch.allclose(gate(q, k * 0, keys * 0), torch.tensor(4 / 11, dtype=torch.float64))


def test_drop_path_drops_what_stands_in_a_branch(pair_of: PairOf, images: Tensor) -> None:
    """A branch with its adapter is dropped whole, at mlp and at ffn, where the adapter's own part stays."""
    for name, stays in (("parallel_adapter", False), ("adaptformer", True)):
        _, supernet = pair_of(SpaceSettings(name=name), drop_path_rate=0.999)
        supernet.train()
        last = supernet.model.blocks[1]
        x = torch.randn(64, 5, 16, generator=torch.Generator().manual_seed(0)).double()
        with torch.no_grad(), supernet.active(supernet.space.largest), torch.random.fork_rng():
            torch.manual_seed(0)
            moved = (last(x) - x).abs().amax(dim=(1, 2)) > 0
        assert (moved.double().mean() > 0.9) == stays


def test_heads_that_do_not_divide_the_width_are_refused(vit_of: Callable[..., VisionTransformer]) -> None:
    settings = SpaceSettings(name="control", options={"control": {"heads": 3}})
    with pytest.raises(BadInput, match="heads is 3, which does not divide the width 16"):
        Supernet(vit_of(), settings, torch.Generator().manual_seed(0))


def subnet(supernet: Supernet, genome: str, images: Tensor) -> Tensor:
    with torch.no_grad(), supernet.active(genome):
        logits: Tensor = supernet(images)
    return logits


def assert_close(found: Tensor, expected: Tensor) -> None:
    assert (found - expected).abs().max() <= 1e-11 * max(1.0, float(expected.abs().max()))
