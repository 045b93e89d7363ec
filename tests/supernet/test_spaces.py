"""Every table as a space: counts of the papers, starts, gradients, slices, merging, training and scoring."""

import copy
import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from timm.models.vision_transformer import ResPostBlock, VisionTransformer
from torch import Tensor, nn

from supernet import choices, tables
from supernet.choices.slices import sized
from supernet.delta import delta_of
from supernet.errors import BadInput
from supernet.evaluation import ScoringTask
from supernet.merging import merge_into
from supernet.model import Supernet
from supernet.settings import SpaceSettings, TrainingSettings
from supernet.space import Gene, Space
from supernet.spaces import choices_of, options_of, space_of, table_of
from supernet.trained import Trained, recipe
from supernet.training import TrainingTask

PairOf = Callable[..., tuple[VisionTransformer, Supernet]]
MOVED = {"vpt_shallow", "vpt_deep", "prefix", "mam", "noah", "unified"}  # tokens of their own from the start
SETTINGS = [SpaceSettings(name=name) for name in tables.TABLES]


def named(settings: SpaceSettings) -> str:
    return settings.name


every_table = pytest.mark.parametrize("settings", SETTINGS, ids=named)


@torch.no_grad()
def subnet(supernet: Supernet, genome: str, images: Tensor) -> Tensor:
    with supernet.active(genome):
        return supernet(images)


def drawn(supernet: Supernet, count: int) -> list[str]:
    space = supernet.space
    return [space.largest, space.smallest, *(space.draw(np.random.default_rng(seed)) for seed in range(count))]


# Counts


@pytest.fixture(scope="module")
def vit_b() -> VisionTransformer:
    with torch.device("meta"):
        return timm.create_model("vit_base_patch16_224", num_classes=0)


def space_at(model: nn.Module, settings: SpaceSettings) -> Space:
    """Of a model without memory."""
    generator, genes = torch.Generator().manual_seed(0), []
    for place, rows in table_of(model, settings):
        found = choices_of(place, settings, generator, rows)
        genes += [Gene(f"{place.name}.{gene}", forms) for gene, _, forms in found]
    return space_of(genes, settings)


@pytest.mark.parametrize(
    ("name", "options", "parameters"),
    [
        ("linear_probe", {}, 0),
        ("bitfit", {}, 102_912),
        ("lora", {}, 294_912),
        ("ssf", {}, 205_824),
        ("repadapter", {}, 239_808),
        ("vpt_shallow", {}, 38_400),
        ("vpt_deep", {}, 92_160),
        ("vpt_deep", {"prompt": {"lengths": [50]}}, 460_800),
        ("adapter", {}, 156_768),
        ("adaptformer", {}, 156_768),
        ("adaptformer", {"adapter": {"ranks": [64]}}, 1_189_632),
        ("parallel_adapter", {}, 156_768),
        ("scaled_parallel_adapter", {}, 156_768),
        ("multihead_parallel_adapter", {}, 184_320),
        ("prefix", {}, 184_320),
        ("mam", {}, 341_088),
        ("control", {}, 1_189_632),
        ("multihead_control", {}, 1_189_632),
        ("noah", {}, 654_456),
        ("glora", {}, 1_603_776),
    ],
)
def test_a_vit_b_has_the_papers_counts(
    vit_b: VisionTransformer, name: str, options: dict[str, Any], parameters: int
) -> None:
    space = space_at(vit_b, SpaceSettings(name=name, options=options))
    assert space.parameters(space.largest) == parameters
    assert space.parameters(space.smallest) == 0


def test_full_is_every_number_of_a_vit_b_but_its_tokens(vit_b: VisionTransformer) -> None:
    with torch.device("meta"):
        space = space_at(vit_b, SpaceSettings(name="full"))
    numbers = sum(parameter.numel() for parameter in vit_b.parameters())
    assert numbers == 85_798_656
    assert space.parameters(space.largest) == numbers - vit_b.cls_token.numel() - vit_b.pos_embed.numel()


# The start, and what training reaches


@every_table
def test_a_method_starts_as_the_backbone_unless_it_adds_tokens(
    vit_of: Callable[..., VisionTransformer], images: Tensor, settings: SpaceSettings
) -> None:
    plain = vit_of(init_values=0.5, drop_path_rate=0.3).double()
    supernet = Supernet(copy.deepcopy(plain), settings, torch.Generator().manual_seed(0)).double().eval()
    plain.head.load_state_dict(supernet.head.state_dict())
    with torch.no_grad():
        expected = plain(images)
    moved = (subnet(supernet, supernet.space.largest, images) - expected).abs().max() / expected.abs().max()
    assert moved > 1e-6 if settings.name in MOVED else moved <= 1e-12
    none = supernet.space.encode({gene.name: "none" for gene in supernet.space.genes})
    assert (subnet(supernet, none, images) - expected).abs().max() <= 1e-12 * expected.abs().max()


def test_ssf_can_start_as_its_source_does(vit_of: Callable[..., VisionTransformer]) -> None:
    settings = SpaceSettings(name="ssf", options={"ssf": {"start": "source"}})
    trained = Supernet(vit_of(embed_dim=64), settings, torch.Generator().manual_seed(0)).trained()
    numbers = torch.cat([value.detach().flatten() for name, value in trained.items() if not name.startswith("head.")])
    assert float(numbers.std()) == pytest.approx(0.02, rel=0.05)
    assert abs(numbers.mean()) < 0.001


@every_table
def test_every_tensor_gets_a_gradient_at_the_start_or_after_a_step(
    vit_of: Callable[..., VisionTransformer], images: Tensor, settings: SpaceSettings
) -> None:
    """A factor that is zero has a gradient where the other is not, and both once one has moved."""
    supernet = Supernet(vit_of(), settings, torch.Generator().manual_seed(0)).double()
    moved: set[str] = set()
    forms = [[form.name for form in gene.forms if form.name != "none"] for gene in supernet.space.genes]
    for step in range(2 * max((len(names) for names in forms), default=1)):
        chosen = {g.name: names[step % len(names)] for g, names in zip(supernet.space.genes, forms, strict=True)}
        supernet.zero_grad()
        with supernet.active(supernet.space.encode(chosen)):
            supernet(images).square().sum().backward()
        with torch.no_grad():
            for name, parameter in supernet.trained().items():
                if parameter.grad is not None and parameter.grad.abs().max() > 0:
                    moved.add(name)
                    parameter -= 1e-2 * parameter.grad / parameter.grad.abs().max()
    assert set(supernet.trained()) - moved == set()


@every_table
def test_what_is_trained_is_the_choices_and_the_head(pair_of: PairOf, settings: SpaceSettings) -> None:
    plain, supernet = pair_of(settings)
    trained = {id(parameter) for parameter in supernet.trained().values()}
    assert trained == {id(parameter) for parameter in supernet.parameters() if parameter.requires_grad}
    frozen = sum(parameter.numel() for parameter in supernet.parameters() if not parameter.requires_grad)
    assert frozen == sum(p.numel() for name, p in plain.named_parameters() if not name.startswith("head."))


# Slices


@every_table
def test_a_genome_costs_the_entries_it_marks_and_the_numbers_it_stores(
    pair_of: PairOf, settings: SpaceSettings
) -> None:
    _, supernet = pair_of(settings)
    for genome in drawn(supernet, 5):
        marked = sum(int(mark.sum()) for mark in marks_of(supernet, genome).values())
        stored = [value for name, value in delta_of(supernet, genome).items() if not name.startswith("head.")]
        assert supernet.space.parameters(genome) == marked == sum(value.numel() for value in stored)


@every_table
def test_a_subnet_depends_on_its_entries_alone_and_on_each(
    pair_of: PairOf, images: Tensor, settings: SpaceSettings
) -> None:
    """Numbers that a genome does not mark may be anything: smaller forms are slices of larger ones."""
    _, supernet = pair_of(settings)
    for genome in drawn(supernet, 4):
        changed, marks = copy.deepcopy(supernet), marks_of(supernet, genome)
        with torch.no_grad():
            for name, parameter in changed.trained().items():
                if not name.startswith("head."):
                    parameter[~marks[name]] = 1e3
        assert torch.equal(subnet(changed, genome, images), subnet(supernet, genome, images))


def marks_of(supernet: Supernet, genome: str) -> dict[str, Tensor]:
    marks = {name: torch.zeros(p.shape, dtype=torch.bool) for name, p in supernet.trained().items()}
    for name, index in supernet.entries(genome):
        marks[name][index] = True
    return marks


# Merged


@every_table
@pytest.mark.parametrize("arguments", [{}, {"init_values": 0.5}, {"qkv_bias": False}, {"qk_norm": True}], ids=str)
def test_the_merged_model_computes_the_subnet(
    pair_of: PairOf, images: Tensor, settings: SpaceSettings, arguments: dict[str, Any]
) -> None:
    """With what does not merge wired around it, and no trace of the subnet before."""
    plain, supernet = pair_of(settings, **arguments)
    for genome in drawn(supernet, 3):
        merge_into(plain, supernet, genome)
        expected = subnet(supernet, genome, images)
        with torch.no_grad():
            assert (plain(images) - expected).abs().max() <= 1e-12 * max(1.0, float(expected.abs().max()))


@every_table
def test_nothing_is_wrapped_where_nothing_is_chosen(pair_of: PairOf, settings: SpaceSettings) -> None:
    plain, supernet = pair_of(settings)
    before = dict(plain.named_modules())
    for genome in drawn(supernet, 1):
        merge_into(plain, supernet, genome)
    merge_into(plain, supernet, supernet.space.encode({gene.name: "none" for gene in supernet.space.genes}))
    assert not any("forward" in vars(module) for module in plain.modules())
    assert dict(plain.named_modules()) == before


@pytest.mark.parametrize("rows", [1, 5, 16, 1000])
def test_thirds_are_merged_in_parts_as_at_once(pair_of: PairOf, rows: int) -> None:
    _, supernet = pair_of(SpaceSettings(name="unified"))
    for path, site in supernet.ops.items():
        for forms in ({"lora[q]": "lora8"}, {"lora[v]": "lora4"}, {"lora[q]": "lora4", "lora[v]": "lora8"}):
            weight, bias = torch.empty_like(site.op.weight), torch.empty_like(site.op.bias)
            site.merge(forms, weight, bias, weight.new_empty(2, 16 * rows))
            expected = site.op.weight + sum(
                each
                for gene, form in forms.items()
                if (each := site.choices[gene].delta(form, *site.op.parameters())[0]) is not None
            )
            assert (weight - expected).abs().max() < 1e-14, path


# Through training and scoring


@pytest.mark.parametrize("name", ["ssf", "noah", "unified", "multihead_control", "vpt_shallow", "linear_probe"])
def test_a_space_is_trained_and_scored_as_any_other(
    scoring: ScoringTask, trained_of: Callable[..., Trained], images: Tensor, name: str
) -> None:
    """Entries that no step drew stay bit by bit, and a score is that of the subnet."""
    space = SpaceSettings(name=name, options={"control": {"ranks": [4]}} if "control" in name else {})
    settings = TrainingSettings(epochs=1, batch_size=16, warmup_epochs=0.0, learning_rate=0.01)
    task = TrainingTask(scoring.backbone, space, settings, scoring.split, 0, scoring.numerics)
    *_, trained = task.run()
    assert isinstance(trained, Trained)
    scorer = replace(scoring, space=space, trained=trained_of(scoring.backbone, space)).scorer()
    scorer.check()
    found = scorer.score(scorer.supernet.space.largest)
    with torch.no_grad(), scorer.supernet.active(scorer.supernet.space.largest):
        logits = scorer.supernet(scorer.images[: len(scoring.split)])
    expected = torch.nn.functional.cross_entropy(logits, scorer.split.labels)
    assert found.loss == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("name", ["ssf", "repadapter", "full", "noah", "unified", "control", "vpt_shallow"])
def test_a_space_works_in_bfloat16(scoring: ScoringTask, name: str) -> None:
    """In training under autocast, and in scoring, where Linears hold their weights in it."""
    space, half = SpaceSettings(name=name), replace(scoring.numerics, precision="bfloat16")
    settings = TrainingSettings(epochs=1, batch_size=32, warmup_epochs=0.0)
    *_, trained = TrainingTask(scoring.backbone, space, settings, scoring.split, 0, half).run()
    assert all(np.isfinite(array).all() for array in trained.tensors.values())
    task = replace(scoring, space=space, trained=trained)
    exact, rounded = (replace(task, numerics=each).scorer() for each in (scoring.numerics, half))
    genome = exact.supernet.space.largest
    assert rounded.score(genome).loss == pytest.approx(exact.score(genome).loss, rel=0.05)


# Where a space cannot stand


def test_what_wraps_is_refused_by_type_and_what_reweights_is_not(vit_of: Callable[..., VisionTransformer]) -> None:
    generator = torch.Generator().manual_seed(0)
    for name in ("vpt_deep", "adaptformer", "prefix", "control", "vpt_shallow"):
        with pytest.raises(BadInput, match=r"wraps blocks.*blocks\.0 is a ResPostBlock; only those of a Block.*lora"):
            Supernet(vit_of(block_fn=ResPostBlock), SpaceSettings(name=name), generator)
    for name in ("lora", "ssf", "bitfit", "repadapter", "glora"):
        assert Supernet(vit_of(block_fn=ResPostBlock), SpaceSettings(name=name), generator).space.genes


def test_a_layer_without_a_bias_has_no_gene_that_needs_one(pair_of: PairOf, images: Tensor) -> None:
    for name, kept in (("ssf", False), ("bitfit", False), ("repadapter", False), ("lora", True)):
        names = [gene.name for gene in pair_of(SpaceSettings(name=name), qkv_bias=False)[1].space.genes]
        assert any("attn.qkv" in each for each in names) == kept, name
        assert names


# Mixes


def mix(*rows: dict[str, Any], **more: Any) -> SpaceSettings:
    return SpaceSettings(name="mix", rows=rows, **more)


def test_a_config_writes_down_a_mix_of_methods(pair_of: PairOf, images: Tensor) -> None:
    settings = mix(
        {"sites": "blocks.*.attn.qkv[q]", "gene": "lora", "choice": "lora", "options": {"ranks": [4, 2]}},
        {"sites": "blocks.1", "gene": "prompt", "choice": "prompt", "options": {"lengths": [3]}},
        {"sites": "blocks.*.norm1", "gene": "ssf", "choice": "ssf"},
        {"sites": "blocks.0.mlp.*", "gene": "E", "choice": "glora.E"},
        options={"prompt": {"lengths": [2]}},
        forms={"lora": ["lora4", "none"]},
    )
    _, supernet = pair_of(settings)
    assert {gene.name: [form.name for form in gene.forms] for gene in supernet.space.genes} == {
        "blocks.0.norm1.ssf": ["ssf", "none"],
        "blocks.0.attn.qkv[q].lora": ["lora4", "none"],
        "blocks.0.mlp.fc1.E": ["vector", "scalar", "none"],
        "blocks.0.mlp.fc2.E": ["vector", "scalar", "none"],
        "blocks.1.prompt": ["prompt2", "none"],
        "blocks.1.norm1.ssf": ["ssf", "none"],
        "blocks.1.attn.qkv[q].lora": ["lora4", "none"],
    }


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"choice": "lorra"}, "no choice is named 'lorra'.*Did you mean 'lora'"),
        (
            {"sites": "blocks.9.mlp.fc1"},
            r"lora \(lora\) can stand at a linear or conv; 'blocks.9.mlp.fc1' names no site",
        ),
        ({"sites": "blocks.*.norm1"}, "'blocks.\\*.norm1' is a norm"),
        ({"options": {"rank": [4]}}, r"space.options.lora: lora has no option 'rank'.*Did you mean 'ranks'"),
        ({"options": {"ranks": [0]}}, r"space.options.lora.ranks.0: .*greater than 0; got 0"),
        ({"options": {"ranks": [17]}}, r"has 17, but a Linear of this backbone is 32 x 16"),
        (
            {"choice": "repadapter", "options": {"ranks": [3], "groups": 3}},
            "groups is 3, which does not divide the width 16",
        ),
        ({"choice": "repadapter", "options": {"ranks": [3]}}, r"options.lora: ranks must be multiples of groups = 2"),
    ],
)
def test_a_row_that_cannot_stand_is_refused_with_the_reason(
    vit_of: Callable[..., VisionTransformer], row: dict[str, Any], said: str
) -> None:
    settings = mix({"sites": "blocks.*.mlp.fc1", "gene": "lora", "choice": "lora", **row})
    with pytest.raises(BadInput, match=said):
        Supernet(vit_of(), settings, torch.Generator())


SIZES = [
    ("lora", "ranks"),
    ("repadapter", "ranks"),
    ("bottleneck", "ranks"),
    ("control", "ranks"),
    ("prefix", "lengths"),
    ("head_adapter", "lengths"),
    ("prompt", "lengths"),
]


def refused(choice: str, **options: list[float]) -> str:
    """What is said of a row with these options."""
    row = tables.row("blocks.*", "gene", choice, **options)
    with pytest.raises(BadInput) as caught:
        options_of(choices.named(choice), row, SpaceSettings())
    return str(caught.value)


@pytest.mark.parametrize(("choice", "setting"), [*SIZES, ("bottleneck", "scales")])
def test_no_size_or_one_twice_is_refused(choice: str, setting: str) -> None:
    for sizes in ([], [4, 4]):
        said = refused(choice, **{setting: sizes})
        assert said.startswith(f"space.options.gene.{setting}: expected one or more different numbers; got (")


@pytest.mark.parametrize(("choice", "setting"), SIZES)
def test_every_size_has_a_letter_and_more_are_refused(choice: str, setting: str) -> None:
    sizes = [*range(2, 10, 2), *range(10, 62, 2)]
    options = options_of(choices.named(choice), tables.row("*", "gene", choice, **{setting: sizes}), SpaceSettings())
    forms = sized("size", getattr(options, setting), lambda size: size)
    assert len({form.letter for form in forms}) == len(sizes) == 30
    said = refused(choice, **{setting: [*sizes, 62]})
    assert said.startswith(f"space.options.gene.{setting}: expected at most 26 numbers above 9")


def test_every_rank_and_scale_has_a_letter_and_more_are_refused() -> None:
    scales = [number / 4 for number in range(1, 14)]
    row = tables.row("*", "gene", "bottleneck", ranks=[4, 2], scales=scales)
    options = options_of(choices.named("bottleneck"), row, SpaceSettings())
    made = choices.named("bottleneck")(16, 2, options, torch.Generator())
    assert len({form.letter for form in made.forms}) == 27
    said = refused("bottleneck", ranks=[4, 2], scales=[*scales, 9.0])
    assert said.startswith("space.options.gene.scales: expected at most 26 forms, a scale for each of the ranks; got")
    assert "different" in refused("bottleneck", scales=[0.1, 0.10000001]), "both would be rank8x0.1"


def test_a_gene_twice_at_one_place_is_refused(vit_of: Callable[..., VisionTransformer]) -> None:
    several, one = {"sites": "blocks.*.mlp.*", "gene": "lora"}, {"sites": "blocks.1.mlp.fc2", "gene": "lora"}
    settings = mix({**several, "choice": "lora"}, {**one, "choice": "repadapter"})
    with pytest.raises(
        BadInput, match=r"^space\.rows: blocks\.1\.mlp\.fc2 has the gene 'lora' twice; name one of them"
    ):
        Supernet(vit_of(), settings, torch.Generator())
    apart = mix({**several, "choice": "lora"}, {**one, "gene": "adapter", "choice": "repadapter"})
    assert len(Supernet(vit_of(), apart, torch.Generator()).space.genes) == 5


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"name": "lorra"}, "did you mean 'lora'"),
        ({"name": "mix"}, "needs rows"),
        ({"name": "lora", "rows": [{"sites": "*", "gene": "a", "choice": "lora"}]}, "only a space named `mix`"),
        ({"name": "noah", "forms": {"A": ["none"]}}, "no gene 'A': it has prompt, lora, adapter"),
        ({"name": "noah", "options": {"promt": {}}}, "no gene 'promt'"),
    ],
)
def test_a_space_that_says_nothing_is_refused_before_torch(space: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SpaceSettings(**space)


@pytest.mark.parametrize(("blocks", "lengths"), [(2, (0, 1, 2)), (6, (0, 2, 3, 5, 6))])
def test_a_row_with_depths_stands_in_the_first_of_its_sites(
    pair_of: PairOf, blocks: int, lengths: tuple[int, ...]
) -> None:
    rows = (
        tables.row("blocks.*.attn.qkv[v]", "lora", "lora", depths=4),
        tables.row("blocks.*", "prompt", "prompt"),
        tables.row("blocks.*.mlp.fc1", "lora", "lora", depths=1),
    )
    space = pair_of(SpaceSettings(name="mix", rows=rows), depth=blocks)[1].space
    chained = [[space.genes[place].name for place in chain.genes] for chain in space.chains]
    assert chained == [
        [f"blocks.{block}.{site}.lora" for block in range(blocks)] for site in ("attn.qkv[v]", "mlp.fc1")
    ]
    assert [chain.lengths for chain in space.chains] == [lengths, (0, blocks)]
    assert space.size == len(lengths) * 2 * 2**blocks


def test_modules_with_depths_stand_in_quarters_of_a_vit_b(vit_b: VisionTransformer) -> None:
    space = space_at(vit_b, SpaceSettings(name="noah"))
    assert {tuple(space.genes[place].name for place in chain.genes) for chain in space.chains} == {
        tuple(f"blocks.{block}{module}" for block in range(12))
        for module in (".prompt", ".attn.qkv.lora", ".mlp.adapter")
    }
    assert {chain.lengths for chain in space.chains} == {(0, 3, 6, 9, 12)}
    assert not any(space_at(vit_b, SpaceSettings(name=name)).chains for name in tables.TABLES if name != "noah")


@pytest.mark.parametrize("forms", [["lora10"], ["none"]])
def test_a_row_with_depths_keeps_none_and_another_form(
    vit_of: Callable[..., VisionTransformer], forms: list[str]
) -> None:
    settings = SpaceSettings(name="noah", forms={"lora": forms})
    with pytest.raises(
        BadInput, match=r"space.forms.lora is \['.*'\], but a row with depths needs 'none'.*leave out depths"
    ):
        Supernet(vit_of(), settings, torch.Generator())


def test_only_depths_change_a_recipe(scoring: ScoringTask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mix without any is written as before there were depths; a table's name does not say its depths."""

    def recipe_of(settings: SpaceSettings) -> str:
        return recipe(scoring.backbone, settings, TrainingSettings(), scoring.split, 0)

    plain = tables.row("blocks.*.mlp.fc1", "lora", "lora")
    assert mix(plain.model_dump()).model_dump()["rows"] == (
        {"sites": "blocks.*.mlp.fc1", "gene": "lora", "choice": "lora", "options": {}},
    )
    deep = tables.row("blocks.*.mlp.fc1", "lora", "lora", depths=4)
    assert SpaceSettings.model_validate_json(mix(deep.model_dump()).model_dump_json()).rows == (deep,)
    monkeypatch.setitem(tables.TABLES, "plain", (plain,))
    before = recipe_of(SpaceSettings(name="plain"))
    monkeypatch.setitem(tables.TABLES, "plain", (deep,))
    assert recipe_of(SpaceSettings(name="plain")) != before


# A new method


METHOD = '''
"""A number a row, added to the bias: b = b0 + shift[0]."""

from torch import nn

from supernet.choices.reweight import Terms
from supernet.choices.slices import EVERY, NONE, taken, zeros
from supernet.space import Form
from supernet.strict import Settings


class Lift(nn.Module):
    class Options(Settings):
        """There are none."""

    on, needs_bias, weighs = ("linear",), True, False

    def __init__(self, out, width, options, generator):
        super().__init__()
        self.shift = zeros(1)
        self.forms = (Form("lift", "1", 1), NONE)

    def delta(self, form, weight, bias):
        return None, self.shift.expand_as(bias)

    def terms(self, form, weight, bias):
        return Terms(bias=self.shift.expand_as(bias))

    def add(self, form, rows, weight):
        rows.merged_bias.add_(self.shift)
        return weight

    def entries(self, form):
        return [] if form == "none" else [("shift", (EVERY,))]

    def stored(self, form):
        return taken(self, self.entries(form))
'''


def test_a_method_is_one_file_and_one_row(
    pair_of: PairOf, images: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lift.py").write_text(METHOD)
    assert len(METHOD.splitlines()) < 60
    monkeypatch.setattr(choices, "__path__", [*choices.__path__, str(tmp_path)])
    monkeypatch.setitem(tables.TABLES, "lift", (tables.row("blocks.*.mlp.*", "lift", "lift"),))
    plain, supernet = pair_of(SpaceSettings(name="lift"))
    assert [gene.name for gene in supernet.space.genes] == [
        f"blocks.{block}.mlp.{op}.lift" for block, op in itertools.product(range(2), ("fc1", "fc2"))
    ]
    merge_into(plain, supernet, supernet.space.largest)
    with torch.no_grad():
        assert torch.allclose(plain(images), subnet(supernet, supernet.space.largest, images), rtol=0, atol=1e-12)


def test_nothing_outside_the_tables_names_a_method() -> None:
    methods = set(tables.TABLES) - {"glora", "full", "linear_probe", "adapter", "prefix", "control", "lora", "ssf"}
    choice_files = {Path(choices.__file__).parent, Path(tables.__file__)}
    for path in Path(tables.__file__).parent.rglob("*.py"):
        if path not in choice_files and path.parent not in choice_files:
            quoted = {name for name in methods if f'"{name}"' in path.read_text()}
            assert not quoted, (path, quoted)
