"""Which numbers learn faster: those of forms that have one number for a whole row or weight, and no factor's."""

from collections.abc import Mapping

import pytest
from torch import nn

from supernet.backbone import Backbone
from supernet.rates import rates
from supernet.settings import SpaceSettings
from supernet.training import adapt


def of_forms(backbone: Backbone, space: SpaceSettings) -> tuple[dict[str, nn.Parameter], Mapping[str, set[str]]]:
    """What is trained, and for each form the parameters that only it and its like use."""
    supernet = adapt(backbone, space, seed=0)
    used: dict[str, set[str]] = {}
    for gene in supernet.space.genes:
        for form in gene.forms:
            genome = supernet.space.encode(
                {each.name: "none" for each in supernet.space.genes} | {gene.name: form.name}
            )
            used.setdefault(form.name, set()).update(name for name, _ in supernet.entries(genome))
    return supernet.trained(), used


@pytest.mark.parametrize("space", ["glora", "ssf"])
def test_vectors_and_scalars_with_numbers_of_their_own_have_the_rate(backbone: Backbone, space: str) -> None:
    settings = SpaceSettings(name=space)
    found = rates(adapt(backbone, settings, seed=0), 5.0)
    _, used = of_forms(backbone, settings)
    assert found.keys() == {name for form, names in used.items() if not form.startswith("lora") for name in names}
    assert set(found.values()) == {5.0}


def test_what_is_shared_with_a_lora_has_its_rate(backbone: Backbone) -> None:
    found = rates(adapt(backbone, SpaceSettings(storage="shared"), seed=0), 5.0)
    assert {name.split(".")[-2] for name in found} == {"D", "E"}


@pytest.mark.parametrize("space", ["lora", "adaptformer", "vpt_deep", "repadapter", "control", "full", "bitfit"])
def test_nothing_else_has_it(backbone: Backbone, space: str) -> None:
    assert rates(adapt(backbone, SpaceSettings(name=space), seed=0), 5.0) == {}


@pytest.mark.parametrize("choice", ["ssf", "glora.E"])
def test_thirds_of_a_fused_linear_have_it_as_the_whole_does(backbone: Backbone, choice: str) -> None:
    def found(sites: str) -> dict[str, float]:
        rows = ({"sites": sites, "gene": "only", "choice": choice},)
        return rates(adapt(backbone, SpaceSettings(name="mix", rows=rows), seed=0), 5.0)

    whole, third = found("blocks.*.attn.qkv"), found("blocks.*.attn.qkv[v]")
    assert whole
    assert {name.replace("[v].choice", "") for name in third} == whole.keys()


def test_a_rate_of_one_is_none(backbone: Backbone) -> None:
    assert rates(adapt(backbone, SpaceSettings(), seed=0), 1.0) == {}
