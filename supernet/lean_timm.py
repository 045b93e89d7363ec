"""timm without torch's compiler, for whoever imports this package first.

torchvision and timm load torch._dynamo when they are imported: roi_align for a question that it asks when it is called,
tensors of images and NaFlex models for a decorator. That takes longer than all the rest of timm, in every process. So
while timm is imported a stand-in takes the question, and the decorator is torch's own lazy one. Each loads the compiler
once it is called, and who asks for anything else of it gets it at once. A torch that has neither is left alone.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

COMPILER = "torch._dynamo"
ASKED = "torch._dynamo.utils"  # by roi_align, for is_compile_supported


class Finder(MetaPathFinder):
    """Finds timm as ever, and has it loaded without the compiler, the first time that it is loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname == "timm" else None
        if spec is not None and spec.loader is not None:
            spec.loader = _Lean(spec.loader, self)
        return spec


class _Lean(Loader):
    """timm's own loader, but for the moment of loading."""

    def __init__(self, loader: Loader, finder: Finder) -> None:
        self._loader, self._finder = loader, finder

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader  # who asks the module about itself meets timm's own
        with suppress(ValueError):
            sys.meta_path.remove(self._finder)
        with without_compiler():
            self._loader.exec_module(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


@contextmanager
def without_compiler() -> Iterator[None]:
    """Within the context, importing torchvision and timm does not load torch._dynamo."""
    import torch.compiler

    lazily = getattr(torch, "_compile", None) and getattr(torch._compile, "_disable_dynamo", None)
    if lazily is None or COMPILER in sys.modules:
        yield
        return

    def disabled(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
        return lazily(fn, recursive)

    disable, finder = torch.compiler.disable, _Compiler()
    sys.modules[ASKED] = _StandIn(ASKED)
    sys.meta_path.insert(0, finder)
    torch.compiler.disable = disabled
    try:
        yield
    finally:
        torch.compiler.disable = disable
        sys.meta_path.remove(finder)
        _leave()


class _StandIn(ModuleType):
    """For torch._dynamo.utils: everything in it but the one function loads the real one."""

    def is_compile_supported(self, device_type: Any) -> Any:
        return _real().is_compile_supported(device_type)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system asks for these
            raise AttributeError(name)
        return getattr(_real(), name)


class _Compiler(MetaPathFinder):
    """Whoever does load the compiler meanwhile finds no stand-in in its place."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == COMPILER:
            _leave()
        return None


def _real() -> ModuleType:
    _leave()
    return importlib.import_module(ASKED)


def _leave() -> None:
    with suppress(KeyError):
        if isinstance(sys.modules[ASKED], _StandIn):
            del sys.modules[ASKED]


if "timm" not in sys.modules:
    sys.meta_path.insert(0, Finder())
