"""timm is imported without torch's compiler, which is there once it is asked for. Each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOADED = "import sys\nloaded = lambda: 'torch._dynamo' in sys.modules or 'torch._dynamo.utils' in sys.modules\n"
LEAN = LOADED + "import supernet, timm\nassert not loaded()\n"


def run(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_a_campaign_imports_leaves_the_compiler_alone() -> None:
    run(LOADED + "import glora_search.campaign, workers.actors\nassert 'timm' in sys.modules\nassert not loaded()")


def test_vision_transformers_without_memory_are_made_without_it() -> None:
    """To fill such tensors with numbers torch would load it."""
    names = ("vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2", "vit_base_patch16_siglip_224")
    run(
        LOADED + "import torch\nfrom supernet.backbone import _made\n"
        f"for name in {names}:\n"
        "    model = _made(name, num_classes=3)\n"
        "    assert all(each.is_meta for each in model.parameters()), name\n"
        "    assert not loaded(), name"
    )


def test_the_import_leaves_nothing_behind_and_timm_is_whole() -> None:
    run(
        LEAN + "import torch\n"
        "assert not [each for each in sys.meta_path if 'supernet' in type(each).__module__]\n"
        "assert torch.compiler.disable.__module__ == 'torch.compiler'\n"
        "assert timm.__spec__.loader.get_source('timm')\n"
        "assert timm.create_model('test_vit')(torch.zeros(1, 3, 160, 160)).shape == (1, 1000)\n"
        "assert not loaded()"
    )


@pytest.mark.parametrize(
    "asks",
    [
        "assert torch.compile(lambda x: x + 1, backend='eager')(torch.zeros(2)).tolist() == [1, 1]",
        "from torchvision.ops import roi_align\n"
        "found = sys.modules['torchvision.ops.roi_align'].is_compile_supported('cpu')\n"
        "assert found is sys.modules['torch._dynamo.utils'].is_compile_supported('cpu')",
        "from timm.layers.typing import disable_compiler\nassert disable_compiler(lambda x: x + 1)(1) == 2\n"
        "assert disable_compiler(reason='none')(lambda x: x + 1)(1) == 2",
    ],
    ids=["compile", "roi_align", "decorated"],
)
def test_whoever_asks_for_the_compiler_gets_it(asks: str) -> None:
    run(LEAN + f"import torch\n{asks}\nassert loaded()")


def test_what_loads_the_compiler_meanwhile_gets_the_real_one() -> None:
    """By its name, or through the stand-in."""
    for how in ("import torch._dynamo", "from torch._dynamo.utils import counters"):
        run(
            "import sys, torch\nfrom supernet.lean_timm import without_compiler\n"
            f"with without_compiler():\n    {how}\n"
            "from torch._dynamo.utils import counters\n"
            "assert type(sys.modules['torch._dynamo.utils']).__name__ == 'module'\n"
            "assert torch.compile(lambda x: x + 1, backend='eager')(torch.zeros(2)).tolist() == [1, 1]"
        )


def test_a_process_that_had_the_compiler_or_timm_first_keeps_them() -> None:
    run(
        "import timm, torch._dynamo.utils as before, supernet, sys\nassert sys.modules['torch._dynamo.utils'] is before"
    )
    run(
        "import torch._dynamo.utils as before, supernet, timm, sys\nassert sys.modules['torch._dynamo.utils'] is before"
    )


def test_looking_for_timm_and_a_finder_of_another_kind_change_nothing() -> None:
    run(
        LOADED + "import importlib.util, supernet\n"
        "assert importlib.util.find_spec('timm').loader.get_source('timm')\n"
        "import timm\nassert not loaded()"
    )
    run(
        "import sys, importlib.machinery, supernet\n"
        "found = importlib.machinery.PathFinder.find_spec('timm')\n"
        "class Other:\n"
        "    @staticmethod\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        return found if name == 'timm' else None\n"
        "sys.path_importer_cache.clear()\n"
        "old = importlib.machinery.PathFinder.find_spec\n"
        "importlib.machinery.PathFinder.find_spec = classmethod(\n"
        "    lambda cls, name, *rest: None if name == 'timm' else old(name, *rest)\n"
        ")\n"
        "sys.meta_path.insert(1, Other)\n"
        "import timm\nassert timm.list_models()"
    )
