import json
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from typing import Any

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from supernet import onednn
from supernet.numerics import Numerics, autocast, device_kind, from_dict, probe, set_fused_attention

OTHER = Numerics("cuda NVIDIA H200", "bfloat16", True, "plain", 7, 99, "lean")


def test_numerics_survive_the_store(numerics: Numerics) -> None:
    assert from_dict(json.loads(json.dumps(numerics.as_dict()))) == numerics


def test_every_field_is_part_of_the_key(numerics: Numerics) -> None:
    changes = [{field.name: getattr(OTHER, field.name)} for field in fields(Numerics)]
    keys = {replace(numerics, **change).key() for change in changes} | {numerics.key()}
    assert len(keys) == len(changes) + 1
    assert replace(numerics).key() == numerics.key()
    assert "\n" not in numerics.key()


def test_what_was_stored_before_there_was_a_choice_of_kernels_keeps_its_key(numerics: Numerics) -> None:
    before = {name: value for name, value in asdict(numerics).items() if name != "kernels"}
    assert from_dict(before) == numerics
    assert from_dict(before).as_dict() == before, "or no campaign of then could be resumed"
    assert numerics.key() == json.dumps(before, sort_keys=True)


def test_float32_changes_the_precision_and_computes_as_timm_does() -> None:
    assert OTHER.in_float32() == replace(OTHER, precision="float32", kernels="timm")
    assert OTHER.in_float32().in_float32() == OTHER.in_float32()


def test_a_probe_offers_what_this_machine_provides() -> None:
    found, why = probe(threads=2)
    assert found.device_kind == device_kind(gpu=False)
    assert (found.threads_per_worker, found.device.type) == (2, "cpu")
    assert why.startswith(f"{found.precision}, 2 threads a worker: cpu ")
    assert ("no fast bfloat16" in why) == (found.precision == "float32")
    assert ("oneDNN" in why) == (found.kernels == "onednn")


@pytest.mark.parametrize(("amx", "has"), [(True, True), (True, False), (False, True), (False, False)])
def test_a_probe_takes_onednns_kernels_where_bfloat16_is_fast_and_they_are_right(
    monkeypatch: pytest.MonkeyPatch, amx: bool, has: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False, raising=False)
    monkeypatch.setattr(onednn, "works", lambda: has)
    assert probe(threads=1)[0].kernels == ("onednn" if amx and has else "lean")


@pytest.mark.skipif(torch.cuda.is_available(), reason="the sentence is about a machine without a GPU")
def test_a_reserved_gpu_that_torch_does_not_see_is_mentioned() -> None:
    found, why = probe(threads=1, gpu=True)
    assert found.device.type == "cpu"
    assert why.endswith("a GPU was reserved, but torch sees none there")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_named_when_one_is_wanted() -> None:
    found, _ = probe(threads=1, gpu=True)
    assert found.device_kind == f"cuda {torch.cuda.get_device_name()}"
    assert probe(threads=1)[0].device.type == "cpu"


@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_autocast_is_on_where_asked_and_off_afterwards(numerics: Numerics, precision: Any, dtype: torch.dtype) -> None:
    x = torch.ones(2, 2)
    with autocast(replace(numerics, precision=precision)):
        assert (x @ x).dtype == dtype
    assert (x @ x).dtype == torch.float32


def test_attention_is_set_in_every_block(vit_of: Callable[..., VisionTransformer]) -> None:
    model = vit_of()
    for fused in (False, True):
        set_fused_attention(model, fused)
        assert {block.attn.fused_attn for block in model.blocks} == {fused}
