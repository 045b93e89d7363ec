"""The methods that merge, each held against its paper's formula, computed with hooks on the plain model's own ops."""

import copy
from collections.abc import Callable
from typing import Any

import peft
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from supernet.merging import merge_into
from supernet.methods import fixed_genome
from supernet.model import Supernet
from supernet.settings import SpaceSettings

PairOf = Callable[..., tuple[VisionTransformer, Supernet]]
Layer = Callable[[Tensor, Tensor, dict[str, Tensor]], Tensor]  # (input, output, supports) -> output
MODELS = [{}, {"init_values": 0.5}, {"qk_norm": True}]


def by_hand(plain: VisionTransformer, supernet: Supernet, images: Tensor, layer: Layer) -> Tensor:
    """The plain model with `layer` behind every op that has genes; supports by their names within the op."""
    model, trained = copy.deepcopy(plain), supernet.trained()
    model.head.load_state_dict(supernet.head.state_dict())
    for path in supernet.ops:
        supports = {k.removeprefix(f"{path}."): v for k, v in trained.items() if k.startswith(f"{path}.")}
        model.get_submodule(path).register_forward_hook(lambda op, x, y, s=supports: layer(x[0], y, s))
    with torch.no_grad():
        logits: Tensor = model(images)
    return logits


def assert_computes(plain: VisionTransformer, supernet: Supernet, images: Tensor, expected: Tensor) -> None:
    """Before and after merging."""
    largest = supernet.space.largest
    with torch.no_grad(), supernet.active(largest):
        assert_close(supernet(images), expected)
    merge_into(plain, supernet, largest)
    with torch.no_grad():
        assert_close(plain(images), expected)


def assert_close(found: Tensor, expected: Tensor) -> None:
    assert (found - expected).abs().max() <= 1e-11 * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize("arguments", MODELS, ids=str)
def test_ssf_scales_and_shifts_after_every_op(pair_of: PairOf, images: Tensor, arguments: dict[str, Any]) -> None:
    """Patch embedding and norms among them; the patch embedding has its channels in another place."""
    plain, supernet = pair_of(SpaceSettings(name="ssf"), **arguments)
    sites = {"patch_embed.proj", "norm", "blocks.0.norm1", "blocks.1.norm2", "blocks.0.attn.qkv", "blocks.1.mlp.fc2"}
    assert sites <= set(supernet.ops)

    def layer(x: Tensor, y: Tensor, s: dict[str, Tensor]) -> Tensor:
        shape = (-1, 1, 1) if x.ndim == 4 and x.shape[1] == 3 else (-1,)
        return y * (1 + s["ssf.gain"]).view(shape) + s["ssf.shift"].view(shape)

    assert_computes(plain, supernet, images, by_hand(plain, supernet, images, layer))


def test_bitfit_moves_every_bias_and_nothing_else(pair_of: PairOf, images: Tensor) -> None:
    plain, supernet = pair_of(SpaceSettings(name="bitfit"))
    before = copy.deepcopy(plain.state_dict())

    def layer(x: Tensor, y: Tensor, s: dict[str, Tensor]) -> Tensor:
        return y + s["bias.shift"].view((-1, 1, 1) if x.ndim == 4 else (-1,))

    assert_computes(plain, supernet, images, by_hand(plain, supernet, images, layer))
    changed = {name for name, value in plain.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if name.endswith("bias")} | {"head.weight"}


def test_the_k_third_of_a_bias_moves_no_logit(pair_of: PairOf, images: Tensor) -> None:
    plain, supernet = pair_of(SpaceSettings(name="bitfit"))
    with torch.no_grad():
        before = plain(images)
        for block in plain.blocks:
            block.attn.qkv.bias[16:32] += 3.0
        assert_close(plain(images), before)
    assert supernet.ops["blocks.0.attn.qkv"].op.bias[16:32].numel() == 16


@pytest.mark.parametrize("alpha", [None, 4.0])
def test_lora_adds_a_product_to_q_and_v(pair_of: PairOf, images: Tensor, alpha: float | None) -> None:
    plain, supernet = pair_of(SpaceSettings(name="lora", options={"lora": {"ranks": [4], "alpha": alpha}}))

    def layer(x: Tensor, y: Tensor, s: dict[str, Tensor]) -> Tensor:
        q, v = (x @ s[f"lora[{t}].choice.up"].T @ s[f"lora[{t}].choice.down"].T for t in "qv")
        return y + (alpha or 4) / 4 * torch.cat([q, torch.zeros_like(q), v], dim=-1)

    assert_computes(plain, supernet, images, by_hand(plain, supernet, images, layer))


def test_repadapter_is_an_adapter_before_the_op(pair_of: PairOf, images: Tensor) -> None:
    """As the source writes it: two convolutions of one pixel, the second of two groups."""
    plain, supernet = pair_of(SpaceSettings(name="repadapter", options={"adapter": {"scale": 0.5}}))
    model = copy.deepcopy(plain)
    model.head.load_state_dict(supernet.head.state_dict())
    for path in supernet.ops:
        into, into_bias, back, back_bias = (
            supernet.trained()[f"{path}.adapter.{name}"].detach() for name in ("into", "into_bias", "back", "back_bias")
        )
        down, up = nn.Conv1d(16, 8, 1).double(), nn.Conv1d(8, 16, 1, groups=2).double()
        down.load_state_dict({"weight": into.reshape(8, 16, 1), "bias": into_bias.reshape(8)})
        up.load_state_dict({"weight": back.reshape(16, 4, 1), "bias": back_bias})
        model.get_submodule(path).register_forward_pre_hook(
            lambda op, x, down=down, up=up: (x[0] + 0.5 * up(down(x[0].transpose(1, 2))).transpose(1, 2),)
        )
    with torch.no_grad():
        expected = model(images)
    assert_computes(plain, supernet, images, expected)


def test_full_is_whatever_weights_and_biases_there_are(pair_of: PairOf, images: Tensor) -> None:
    plain, supernet = pair_of(SpaceSettings(name="full"))
    model, trained = copy.deepcopy(plain), supernet.trained()
    state = model.state_dict()
    for path in supernet.ops:
        state[f"{path}.weight"] += trained[f"{path}.weight.shift"].detach().view_as(state[f"{path}.weight"])
        state[f"{path}.bias"] += trained[f"{path}.bias.shift"].detach()
    model.head.load_state_dict(supernet.head.state_dict())
    assert_computes(plain, supernet, images, model(images).detach())


def test_lora_is_pefts_lora(pair_of: PairOf, images: Tensor) -> None:
    """On the whole of qkv, where their layers can stand too."""
    row = {"sites": "blocks.*.attn.qkv", "gene": "lora", "choice": "lora", "options": {"ranks": [4], "alpha": 8.0}}
    plain, supernet = pair_of(SpaceSettings(name="mix", rows=(row,)))
    theirs = peft.get_peft_model(copy.deepcopy(plain), peft.LoraConfig(r=4, lora_alpha=8, target_modules=["qkv"]))
    theirs.base_model.model.head.load_state_dict(supernet.head.state_dict())
    for block in range(2):
        layer = theirs.base_model.model.blocks[block].attn.qkv
        trained = {key: supernet.trained()[f"blocks.{block}.attn.qkv.lora.{key}"] for key in ("down", "up")}
        layer.lora_A["default"].weight.data = trained["up"].detach()
        layer.lora_B["default"].weight.data = trained["down"].detach()
    with torch.no_grad():
        expected = theirs.eval().double()(images)
    assert_computes(plain, supernet, images, expected)


# Special cases of GLoRA


def copied(into: Supernet, values: dict[str, Tensor]) -> None:
    """Zero everywhere else."""
    with torch.no_grad():
        for name, parameter in into.trained().items():
            parameter.copy_(values.get(name, torch.zeros_like(parameter)))


def assert_same_subnet(one: Supernet, two: Supernet, of_two: str, images: Tensor) -> None:
    with torch.no_grad(), one.active(one.space.largest), two.active(of_two):
        assert_close(one(images), two(images))


def heads(supernet: Supernet) -> dict[str, Tensor]:
    return {f"head.{name}": value.detach() for name, value in supernet.head.named_parameters()}


def test_lora_on_q_and_v_is_gloras_b_of_twice_the_rank(pair_of: PairOf, images: Tensor) -> None:
    """[B_q 0; 0 0; 0 B_v] [A_q; A_v]: one product whose k band is zero."""
    _, lora = pair_of(SpaceSettings(name="lora", options={"lora": {"ranks": [2]}}))
    _, glora = pair_of(SpaceSettings(ranks=(4,)))
    values = heads(lora)
    for block in range(2):
        path = f"blocks.{block}.attn.qkv"
        (bq, aq), (bv, av) = ([lora.trained()[f"{path}.lora[{t}].choice.{x}"] for x in ("down", "up")] for t in "qv")
        zero = torch.zeros_like(bq)
        down = torch.cat([torch.cat([bq, zero], 1), torch.cat([zero, zero], 1), torch.cat([zero, bv], 1)])
        values |= {f"{path}.B.down": down.detach(), f"{path}.B.up": torch.cat([aq, av]).detach()}
    copied(glora, values)
    assert_same_subnet(lora, glora, fixed_genome(glora.space, "lora"), images)


def test_ssf_after_linears_is_glora_with_one_gamma(pair_of: PairOf, images: Tensor) -> None:
    row = {"sites": "blocks.**", "gene": "ssf", "choice": "ssf"}
    _, ssf = pair_of(SpaceSettings(name="mix", rows=(row,)))
    _, glora = pair_of(SpaceSettings(ranks=(4,), storage="shared"))
    with torch.no_grad():
        for name, parameter in ssf.trained().items():
            if ".norm" in name:
                parameter.zero_()
    values = heads(ssf)
    for path in glora.ops:
        gain, shift = (ssf.trained()[f"{path}.ssf.{name}"].detach() for name in ("gain", "shift"))
        down = torch.zeros_like(glora.trained()[f"{path}.A.down"])
        down[:, 0] = gain
        values |= {f"{path}.A.down": down, f"{path}.D.down": gain, f"{path}.E.down": shift}
    copied(glora, values)
    assert_same_subnet(ssf, glora, fixed_genome(glora.space, "ssf"), images)


@pytest.mark.parametrize("product", ["elementwise", "matrix"])
def test_repadapter_is_gloras_b_or_matrix_a_and_c(pair_of: PairOf, images: Tensor, product: Any) -> None:
    """B = (W0 U) D, or A = U D as a matrix product; C = U b_D + b_U."""
    _, adapter = pair_of(SpaceSettings(name="repadapter", options={"adapter": {"ranks": [4]}}))
    _, glora = pair_of(SpaceSettings(ranks=(4,), product=product, storage="shared"))
    values, forms = heads(adapter), {}
    for path, site in adapter.ops.items():
        into, into_bias, back, back_bias = (
            adapter.trained()[f"{path}.adapter.{name}"].detach() for name in ("into", "into_bias", "back", "back_bias")
        )
        d, u = into.flatten(0, 1), torch.block_diag(*back)  # (4, 16), (16, 4)
        support = "B" if product == "elementwise" else "A"
        prompt = torch.zeros_like(glora.trained()[f"{path}.C.down"])
        prompt[:, 0] = u @ into_bias.flatten() + back_bias
        down = site.op.weight.detach() @ u if support == "B" else u
        values |= {f"{path}.{support}.down": down, f"{path}.{support}.up": d, f"{path}.C.down": prompt}
        forms |= {f"{path}.{support}": "lora4", f"{path}.C": "vector"}
    copied(glora, values)
    none = {gene.name: "none" for gene in glora.space.genes}
    assert_same_subnet(adapter, glora, glora.space.encode({**none, **forms}), images)


def test_bitfit_of_linears_is_gloras_e(pair_of: PairOf, images: Tensor) -> None:
    row = {"sites": "blocks.*.*.*", "gene": "bias", "choice": "bitfit"}
    _, bitfit = pair_of(SpaceSettings(name="mix", rows=(row,)))
    _, glora = pair_of(SpaceSettings())
    assert set(bitfit.ops) == set(glora.ops)
    shifts = {f"{path}.E.down": bitfit.trained()[f"{path}.bias.shift"].detach() for path in bitfit.ops}
    copied(glora, heads(bitfit) | shifts)
    assert_same_subnet(bitfit, glora, fixed_genome(glora.space, "bias_of_linears"), images)
