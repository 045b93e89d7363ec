"""A config is read once, at the edge; every mistake is a sentence that names the file and the setting."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from glora_search.settings import CampaignSettings, difference, parse, read_config
from supernet.errors import BadInput, Missing

PLAIN: dict[str, Any] = {
    "name": "digits",
    "backbone": {"model": "test_vit"},
    "data": {"source": "digits"},
}
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


@pytest.fixture
def written(tmp_path: Path) -> Callable[[Any], Path]:
    def written(content: Any) -> Path:
        path = tmp_path / "my.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    return written


def mistake(path: Path, *overrides: str, name: str | None = None) -> str:
    with pytest.raises(BadInput) as caught:
        read_config(path, overrides, name)
    return str(caught.value)


def placed(setting: str, value: Any) -> dict[str, Any]:
    """PLAIN with `a.b` set."""
    *groups, last = setting.split(".")
    whole = inner = {key: dict(part) if isinstance(part, dict) else part for key, part in PLAIN.items()}
    for group in groups:
        inner = inner.setdefault(group, {})
    inner[last] = value
    return whole


def test_only_name_model_and_source_are_needed(written: Callable[[Any], Path]) -> None:
    settings = read_config(written(PLAIN))
    assert settings == parse(PLAIN, "plain data")
    assert settings.search.population + settings.search.generations * 50 == 1050


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_are_valid_and_survive_the_way_through_the_store(path: Path) -> None:
    settings = read_config(path)
    assert parse(settings.model_dump(mode="json"), "the store") == settings


@pytest.mark.parametrize(
    ("setting", "hint"),
    [
        ("trainig", "'training'"),
        ("training.epoch", "'epochs'"),
        ("search.populaton", "'population'"),
        ("search.max_params", "'max_parameters'"),
        ("backbone.modell", "'model'"),
        ("workers.adress", "'address'"),
        ("refit.epoch", "'epochs'"),
        ("export.too", "'to'"),
        ("export.xyzzy", "Known: to"),
    ],
)
def test_an_unknown_setting_is_refused_with_the_nearest_known_one(
    written: Callable[[Any], Path], setting: str, hint: str
) -> None:
    path = written(placed(setting, 1))
    said = mistake(path)
    assert str(path) in said
    assert f"unknown setting {setting!r}" in said
    assert hint in said


def test_an_unknown_setting_of_a_row_is_refused_with_the_nearest_of_a_rows(written: Callable[[Any], Path]) -> None:
    said = mistake(written(placed("space.rows", [{"site": "*.qkv", "gene": "lora", "choice": "lora"}])))
    assert "unknown setting 'space.rows.0.site'. Did you mean 'sites'?" in said


@pytest.mark.parametrize("text", ['!!float ""', "!!bool maybe", "!!timestamp x", "!!int x", "[1,"])
def test_what_yaml_cannot_read_is_no_traceback(written: Callable[[Any], Path], tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput, match="not valid YAML"):
        read_config(written(PLAIN), [f"seed={text}"])
    (tmp_path / "broken.yaml").write_text(f"name: x\nseed: {text}\n")
    assert "is not valid YAML" in mistake(tmp_path / "broken.yaml")


@pytest.mark.parametrize(("first", "last"), [(0.8, None), (0.5, 0.5), (0.0, 0.99), (0.8, 0.1)])
def test_the_methods_steps_leave_some_to_other_subnets(
    written: Callable[[Any], Path], first: float, last: float | None
) -> None:
    given = {"method_first": first} | ({} if last is None else {"method_last": last})
    path = written(placed("training", given))
    if first + (0.25 if last is None else last) < 1:
        assert read_config(path).training.method_first == first
    else:
        assert f"after method_first ({first:g}) no step is left to other subnets" in mistake(path)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("seed", "zero"),
        ("seed", -1),
        ("seed", True),
        ("seed", 1.5),
        ("training", 3),
        ("training", None),
        ("training.epochs", 0),
        ("training.epochs", "many"),
        ("training.learning_rate", "fast"),
        ("training.learning_rate", 0),
        ("training.learning_rate", True),
        ("training.drop_path", 1.0),
        ("search.algorithm", "evolutoin"),
        ("search.population", 0),
        ("search.mutation_rate", 0),
        ("search.mutation_rate", 2),
        ("search.max_parameters", -1),
        ("search.max_parameters", "300k"),
        ("workers.count", 0),
        ("workers.backend", "spark"),
        ("space.ranks", []),
        ("space.ranks", [0]),
        ("space.ranks", [4, 4]),
        ("space.ranks", 4),
        ("space.forms", {"F": ["none"]}),
        ("space.forms", {"A": "none"}),
        ("space.name", "no such method"),
        ("data.mean", [0.5]),
        ("data.std", [0.5, 0.5, "x"]),
        ("data.source", "imagenet"),
        ("data.val", 0),
        ("refit.epochs", -1),
        ("refit.learning_rate", 0),
        ("backbone.model", 7),
        ("backbone.image_size", "32"),
        ("name", "../x"),
        ("name", "a/b"),
        ("name", ".hidden"),
        ("name", ""),
        ("name", "a\n"),
        ("name", 7),
        ("name", "x" * 101),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused_and_named(written: Callable[[Any], Path], setting: str, value: Any) -> None:
    path = written(placed(setting, value))
    said = mistake(path)
    assert str(path) in said
    assert setting in said
    assert "pydantic" not in said


@pytest.mark.parametrize("setting", ["name", "backbone", "backbone.model", "data", "data.source"])
def test_a_missing_setting_is_named(written: Callable[[Any], Path], setting: str) -> None:
    whole = placed("seed", 1)
    *groups, last = setting.split(".")
    inner = whole[groups[0]] if groups else whole
    del inner[last]
    said = mistake(written(whole))
    assert f"the setting {setting!r} is missing" in said


def test_every_mistake_of_a_file_is_named_at_once(written: Callable[[Any], Path]) -> None:
    whole = placed("search.population", 0) | {"seeed": 1}
    said = mistake(written(whole))
    assert len(said.splitlines()) == 2
    assert "search.population" in said
    assert "'seed'" in said


@pytest.mark.parametrize(
    "content",
    ["name: [", "\tname: digits", "a: b: c", "name: !!python/object:os.system x", "date: 2024-13-45", "&a [*b]"],
)
def test_broken_yaml_is_refused_with_the_file(written: Callable[[Any], Path], content: str) -> None:
    path = written(content)
    said = mistake(path)
    assert str(path) in said
    assert "not valid YAML" in said
    assert "\n" not in said


@pytest.mark.parametrize("content", ["", "# nothing", "- name: digits", "digits", "7", "null"])
def test_a_file_that_holds_no_mapping_is_refused(written: Callable[[Any], Path], content: str) -> None:
    path = written(content)
    assert f"{path} must hold a mapping" in mistake(path)


def test_a_config_that_is_missing_a_folder_or_binary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="no config at"):
        read_config(tmp_path / "absent.yaml")
    assert str(tmp_path) in mistake(tmp_path)
    (tmp_path / "image.yaml").write_bytes(b"\xff\xd8\xff\xe0")
    assert "cannot be read" in mistake(tmp_path / "image.yaml")


@pytest.mark.parametrize("value", ["1e-3", "1E-3", "1.0e-3", "0.001", "10e-4", ".1e-2", "+1e-3", "1.e-3"])
def test_numbers_may_be_written_as_people_write_them(written: Callable[[Any], Path], value: str) -> None:
    """To YAML 1.1, and so to PyYAML, `1e-3` is a text."""
    text = yaml.safe_dump(PLAIN) + f"training: {{learning_rate: {value}}}\n"
    assert read_config(written(text)).training.learning_rate == 0.001
    overridden = read_config(written(PLAIN), [f"training.learning_rate={value}"])
    assert overridden.training.learning_rate == 0.001


@pytest.mark.parametrize(
    "setting",
    ["training.learning_rate", "training.final_learning_rate", "training.warmup_epochs", "training.weight_decay",
     "workers.timeout", "workers.gpus_per_worker", "search.mutation_rate"],
)  # fmt: skip
def test_a_whole_number_will_do_where_a_number_is_wanted(written: Callable[[Any], Path], setting: str) -> None:
    group, name = setting.split(".")
    assert getattr(getattr(read_config(written(placed(setting, 1))), group), name) == 1.0


@pytest.mark.parametrize("setting", ["training.drop_path", "training.label_smoothing"])
def test_a_fraction_may_be_written_as_0(written: Callable[[Any], Path], setting: str) -> None:
    group, name = setting.split(".")
    assert getattr(getattr(read_config(written(placed(setting, 0))), group), name) == 0.0


def test_reading_yaml_leaves_the_library_as_it_was(written: Callable[[Any], Path]) -> None:
    read_config(written(PLAIN))
    assert yaml.safe_load("1e-3") == "1e-3"


# ---- overrides


def test_overrides_are_applied_in_order_and_make_sections(written: Callable[[Any], Path]) -> None:
    path = written(PLAIN | {"search": None})
    given = read_config(path, ["search.population=7", "search.population=8", "space.ranks=[4, 2]", "seed=3"], "other")
    assert (given.search.population, given.space.ranks, given.seed, given.name) == (8, (4, 2), 3, "other")


def test_an_override_may_take_a_setting_away(written: Callable[[Any], Path]) -> None:
    path = written(placed("search.max_parameters", 100))
    assert read_config(path, ["search.max_parameters=null"]).search.max_parameters is None


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("nonsense", "KEY=VALUE"),
        ("=5", "KEY=VALUE"),
        ("", "KEY=VALUE"),
        ("search.generations", "KEY=VALUE"),
        ("seed=[", "not valid YAML"),
        ("backbone.model.size=3", "model holds no settings"),
        ("serach.generations=5", "'search'"),
        ("search.generation=5", "'generations'"),
        ("search..generations=5", "unknown setting"),
        ("search.generations=five", "search.generations = 'five'"),
        ("search=5", "search = 5"),
        ("name=../x", "name = '../x'"),
    ],
)
def test_an_override_that_means_nothing_is_refused(written: Callable[[Any], Path], override: str, said: str) -> None:
    assert said in mistake(written(PLAIN), override)


def test_the_name_on_the_command_line_is_checked_too(written: Callable[[Any], Path]) -> None:
    assert "name = 'a/b'" in mistake(written(PLAIN), name="a/b")


# ---- difference


settings_like = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["a", "b"]),
    lambda inner: st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from("xyz"), settings_like))
def test_nothing_differs_from_itself(values: dict[str, Any]) -> None:
    assert difference(values, values) == []


def test_a_difference_names_each_setting_with_both_values() -> None:
    old, new = parse(PLAIN, "old"), parse(placed("search.population", 7) | {"seed": 3}, "new")
    assert difference(old.model_dump(mode="json"), new.model_dump(mode="json")) == [
        "seed: 0 -> 3",
        "search.population: 50 -> 7",
    ]


def test_settings_are_values(written: Callable[[Any], Path]) -> None:
    settings = read_config(written(PLAIN))
    with pytest.raises(ValueError, match="frozen"):
        settings.seed = 1  # type: ignore[misc]
    assert isinstance(settings, CampaignSettings)
