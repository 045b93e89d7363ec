"""The rows of a comparison: what each changes of a config, and that no setting is forgotten."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from glora_search.comparison import recipes
from glora_search.comparison.methods import METHODS, Fixed, Searched, of_mean_size
from glora_search.comparison.pace import longer_epochs
from glora_search.comparison.recipes import alone, at_rate, campaign_of, of_seed, reference, searching_table
from glora_search.comparison.suites import ALL, DEFAULT, Suite, chosen
from glora_search.inputs import prepare
from glora_search.settings import CampaignSettings, SearchSettings, candidates, difference, parse, read_config
from supernet.errors import BadInput
from supernet.methods import within
from supernet.pace import Pace
from supernet.settings import Settings, SpaceSettings, TrainingSettings
from supernet.space import Space

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ("linear_probe", "bias_of_linears", "lora", "ssf", "largest", "mean_size", "random", "paper", "ours")


@pytest.fixture
def settings(config: Callable[..., dict[str, Any]]) -> CampaignSettings:
    return parse(config(), "the test's config")


# ---- which rows


def test_the_rows_names_and_their_order_are_the_contract() -> None:
    assert tuple(METHODS) == NAMES


@pytest.mark.parametrize(
    ("text", "names"),
    [("default", NAMES), ("lora", ("lora", "ours")), ("ours,ssf, lora", ("lora", "ssf", "ours")), ("ours", ("ours",))],
)
def test_methods_come_in_the_tables_order_with_ours_among_them(text: str, names: tuple[str, ...]) -> None:
    assert chosen(text) == (DEFAULT, names)


def test_what_the_search_begins_with_is_a_row_when_it_is_named() -> None:
    assert chosen("scaled_lora, lora") == (DEFAULT, ("lora", "scaled_lora", "ours"))
    assert chosen("default,scaled_lora") == (DEFAULT, (*NAMES[:-1], "scaled_lora", "ours"))


@pytest.mark.parametrize("limit", [None, 300_000, 10**7])
def test_that_row_has_no_more_parameters_than_ours_may_have(vit_b: Space, limit: int | None) -> None:
    row = DEFAULT.rows["scaled_lora"]
    assert isinstance(row, Fixed)
    genome = row.genome(vit_b, 101, limit)
    assert genome == within(vit_b, "scaled_lora", limit)
    assert limit is None or vit_b.parameters(genome) <= limit


def test_an_unknown_method_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(BadInput, match=r"'randm'.*Did you mean 'random'"):
        chosen("lora,randm")
    with pytest.raises(BadInput, match="There are linear_probe, bias_of_linears"):
        chosen("xyzzy")


def test_the_fields_rows_and_their_order_are_the_contract() -> None:
    names = (
        "full linear_probe bitfit vpt_shallow vpt_deep lora adapter adaptformer ssf repadapter prefix parallel_adapter "
        "scaled_parallel_adapter multihead_parallel_adapter mam control multihead_control noah glora"
    )
    assert tuple(ALL.rows) == tuple(names.split())
    assert chosen("all") == chosen("all:") == (ALL, tuple(ALL.rows))


@pytest.mark.parametrize(
    ("text", "suite", "names"),
    [
        ("lora,ssf", DEFAULT, ("lora", "ssf", "ours")),
        ("default:ssf", DEFAULT, ("ssf", "ours")),
        ("all:ssf, lora", ALL, ("lora", "ssf", "glora")),
        ("noah", ALL, ("noah", "glora")),
        ("noah,ssf", ALL, ("ssf", "noah", "glora")),
    ],
)
def test_a_list_is_of_the_first_table_that_has_all_of_it(text: str, suite: Suite, names: tuple[str, ...]) -> None:
    assert chosen(text) == (suite, names)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("random,noah,lora", "only default has random; only all has noah. Run them apart"),
        ("all,default", "two comparisons"),
        ("al:lora", "expected `default` or `all` before the colon, got 'al'. Did you mean 'all'"),
        ("all:random", "no method is named 'random'"),
        ("all:adaptfrmer", "Did you mean 'adaptformer'"),
        ("prefx", "Did you mean 'prefix'"),
    ],
)
def test_a_mixture_of_tables_and_a_wrong_name_are_refused(text: str, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        chosen(text)


def test_a_rate_of_its_own_changes_the_learning_rates_alone(settings: CampaignSettings) -> None:
    changed = at_rate(settings.training, 0.5)
    lines = difference(settings.training.model_dump(), changed.model_dump())
    assert [line.partition(":")[0] for line in lines] == ["learning_rate", "final_learning_rate"]
    assert changed.learning_rate == settings.training.learning_rate / 2
    assert at_rate(settings.training, 1.0) == settings.training


def test_a_searched_table_is_the_configs_own_or_one_that_parses(settings: CampaignSettings) -> None:
    around = {"draws": "near", "around": "ssf"}
    near = settings.model_copy(update={"training": settings.training.model_copy(update=around)})
    assert searching_table("glora", near) == near
    noah = searching_table("noah", near)
    assert parse(noah.model_dump(mode="json"), "the store") == noah
    assert (noah.space.name, noah.training.draws) == ("noah", "near")
    assert noah.training.around == "auto", "ssf is a genome of GLoRA"
    assert searching_table("glora", noah).space == settings.space


def test_mean_size_is_the_median_of_its_draws(vit_b: Space) -> None:
    genome = of_mean_size(vit_b, 101)
    assert genome == of_mean_size(vit_b, 101) != of_mean_size(vit_b, 102)
    draws = [vit_b.parameters(vit_b.draw(np.random.default_rng(number))) for number in range(300)]
    low, high = np.quantile(draws, (0.3, 0.7))
    assert low < vit_b.parameters(genome) < high


# ---- what they change


@pytest.mark.parametrize(
    ("settings_class", "same", "reference_values"),
    [
        (TrainingSettings, recipes.SAME_TRAINING, recipes.REFERENCE_TRAINING),
        (SpaceSettings, recipes.SAME_SPACE, recipes.REFERENCE_SPACE),
        (SearchSettings, recipes.SAME_SEARCH, recipes.REFERENCE_SEARCH),
    ],
)
def test_the_references_recipe_says_something_of_every_setting(
    settings_class: type[Settings], same: tuple[str, ...], reference_values: dict[str, Any]
) -> None:
    """If a new setting fails this: name what the reference does, or that the comparison leaves it as it is."""
    assert set(settings_class.model_fields) == set(same) | set(reference_values)
    assert not set(same) & set(reference_values)
    settings_class.model_validate(dict(reference_values))
    assert set(recipes.SUPERNET_ONLY) <= set(TrainingSettings.model_fields)


def test_the_papers_example_has_the_references_recipe() -> None:
    example = read_config(EXAMPLES / "vtab_vit_b16.yaml")
    assert reference(example) == example


def test_the_reference_keeps_epochs_candidates_and_limit(settings: CampaignSettings) -> None:
    changed = reference(campaign_of(settings, "paper", 101, 5000))
    assert changed.training.epochs == settings.training.epochs
    assert candidates(changed.search) == candidates(settings.search)
    assert changed.search.max_parameters == 5000
    assert (changed.training.recipe, changed.space.scales, changed.search.algorithm) == ("paper", "raw", "evolution")


@pytest.mark.parametrize("method", [name for name, row in METHODS.items() if isinstance(row, Searched)])
def test_a_rows_campaign_has_a_name_and_a_folder_of_its_own(settings: CampaignSettings, method: str) -> None:
    row = METHODS[method]
    assert isinstance(row, Searched)
    there = settings.model_copy(update={"export": settings.export.model_copy(update={"to": "elsewhere"})})
    changed = row.settings(campaign_of(there, method, 101, 5000))
    assert changed.name == f"tiny.compare.{method}.101"
    assert changed.export.to is None
    assert (changed.seed, changed.data.seed) == (101, 101)
    parse(changed.model_dump(mode="json"), "the store")


def test_a_name_that_leaves_no_room_is_refused(settings: CampaignSettings) -> None:
    long = settings.model_copy(update={"name": "n" * 95})
    with pytest.raises(BadInput, match="name"):
        campaign_of(long, "ours", 101, 5000)


def test_ours_and_random_differ_in_the_algorithm_alone(settings: CampaignSettings) -> None:
    ours, random = (METHODS[name] for name in ("ours", "random"))
    assert isinstance(ours, Searched)
    assert isinstance(random, Searched)
    before, after = (row.settings(settings).model_dump() for row in (ours, random))
    assert before == settings.model_dump()
    assert difference(before, after) == ["search.algorithm: evolution -> random"]


def test_a_fixed_methods_training_differs_in_nothing_that_it_needs(settings: CampaignSettings) -> None:
    changed = alone(settings.training, 7)
    before = settings.training.model_dump() | dict(recipes.SUPERNET_ONLY) | {"epochs": 7}
    assert changed.model_dump() == before


# ---- splits


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of two classes, without splits."""
    for label in range(2):
        (tmp_path / "pictures" / str(label)).mkdir(parents=True)
        for number in range(30):
            Image.new("RGB", (8, 8), (number, 100 * label, 0)).save(
                tmp_path / "pictures" / str(label) / f"{number}.png"
            )
    return tmp_path / "pictures"


def test_a_seed_draws_fresh_splits_where_the_source_has_none(
    settings: CampaignSettings, config: Callable[..., dict[str, Any]], pictures: Path
) -> None:
    drawn = parse(config() | {"data": {"source": "folder", "root": str(pictures), "train": 20, "val": 10}}, "here")
    for each, fresh in ((drawn, True), (settings, False)):
        one, other, again = (prepare(of_seed(each, seed)).data for seed in (101, 102, 101))
        assert (one.val.key() != other.val.key()) == fresh
        assert (one.tests["test"]().key() != other.tests["test"]().key()) == fresh
        assert one.val.key() == again.val.key()


# ---- time


def test_longer_epochs_take_what_training_and_search_take(settings: CampaignSettings) -> None:
    """2 epochs of 2 steps at 3 s and 18 candidates at 0.5 s are 21 s: 7 epochs of 2 steps at 1.5 s."""
    pace = Pace(supernet=3.0, fixed=1.5, candidate=0.5)
    assert longer_epochs(settings, pace, examples=48) == 7
    two = settings.model_copy(update={"workers": settings.workers.model_copy(update={"count": 2})})
    assert longer_epochs(two, pace, examples=48) == 6  # 16.5 s, and half an epoch is rounded to even: 5.5
