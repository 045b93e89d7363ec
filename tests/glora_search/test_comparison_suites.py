"""Every method of the field: kept apart from the default rows, trained as it would be alone, its cost in use."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from math import isfinite
from typing import Any

import pytest
import yaml

from glora_search.comparison import overview, spectrum
from glora_search.comparison.deployed import deployed_rows, flat, is_smoke
from glora_search.comparison.engine import compare
from glora_search.comparison.ledger import Ledger
from glora_search.comparison.methods import Fixed, Searched
from glora_search.comparison.outcome import Compared, from_dict
from glora_search.comparison.recipes import alone, of_seed
from glora_search.comparison.suites import ALL, DEFAULT
from glora_search.control import Paused
from glora_search.inputs import prepare
from supernet.compiling import mergeable, outcomes
from supernet.deployment import BATCHES
from supernet.errors import BadInput
from supernet.evaluation import Scorer, ScoringTask
from supernet.numerics import from_dict as numerics_from
from supernet.pace import Pace
from supernet.settings import SpaceSettings
from supernet.tables import row
from supernet.trained import Trained
from supernet.training import adapt, train

SOME = ("linear_probe", "vpt_deep", "lora", "adapter", "noah", "glora")
SEARCH = {"population": 3, "generations": 1, "parents": 2, "crossover": 1, "mutation": 1, "finalists": 1}


def field(workshop: Any, display: Any, methods: tuple[str, ...] = SOME, suite: Any = ALL) -> Compared:
    settings = workshop.settings(search=SEARCH)
    return compare(settings, methods, [101], workshop.db, workshop.places, display, suite=suite)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, finished: Any, watching: Any) -> tuple[Any, Compared]:
    """(a workshop, its comparison of some of the field's rows)."""
    workshop = replace(finished, folder=tmp_path_factory.mktemp("field"))
    return workshop, field(workshop, watching())


@pytest.fixture(scope="module")
def lines(whole: tuple[Any, Compared]) -> list[dict[str, Any]]:
    return deployed_rows(whole[1], ALL)


# ---- rows


def test_rows_are_plain_data_in_the_tables_order(lines: list[dict[str, Any]]) -> None:
    assert [line["method"] for line in lines] == list(SOME)
    assert json.loads(json.dumps(lines)) == lines
    assert all(line["longer"] is None for line in lines), "no extra trainings"
    assert [line["difference"] is None for line in lines] == [name == "glora" for name in SOME]


def test_a_fixed_row_is_what_its_space_trained_alone_gives(whole: tuple[Any, Compared]) -> None:
    workshop, found = whole
    settings = of_seed(workshop.settings(search=SEARCH, space={"name": "lora"}), 101)
    settings = settings.model_copy(update={"training": alone(settings.training, settings.training.epochs)})
    (outcome,) = found["lora"]
    numerics, inputs = numerics_from(dict(outcome.numerics)), prepare(settings)
    *_, trained = train(replace(inputs.training(numerics), genome=inputs.space.largest))
    assert isinstance(trained, Trained)
    test = inputs.data.tests["test"]()
    scorer = Scorer(ScoringTask(inputs.backbone, settings.space, trained, test, numerics.in_float32()))
    assert scorer.score(inputs.space.largest).correct.hex() == outcome.scores.test_correct
    assert outcome.params == inputs.space.parameters(inputs.space.largest)


def test_a_searched_row_is_what_launching_its_space_gives(whole: tuple[Any, Compared], watching: Any) -> None:
    workshop, display = whole[0], watching()
    again = workshop.launch(display, name="again", seed=101, data={"seed": 101}, space={"name": "noah"}, search=SEARCH)
    assert again["genome"] == whole[1]["noah"][0].genome
    assert again["test_correct"] == whole[1]["noah"][0].scores.test_correct
    assert any("not trained again" in note for note in display.notes)


# ---- deployment


@pytest.mark.parametrize(("method", "expected"), [("lora", "yes"), ("vpt_deep", "yes"), ("adapter", "no")])
def test_mergeable_is_what_compiling_says(whole: tuple[Any, Compared], method: str, expected: str) -> None:
    inputs = prepare(whole[0].settings(search=SEARCH, space={"name": method}))
    supernet = adapt(inputs.backbone, inputs.settings.space, seed=0).eval()
    became = outcomes(supernet, inputs.space.largest)
    deployment = whole[1][method][0].deployment
    assert deployment is not None
    assert deployment.mergeable == mergeable(became) == expected
    assert sum(deployment.genes.values()) == len(became)


def test_a_forward_is_timed_before_and_after_merging_at_each_batch_size(lines: list[dict[str, Any]]) -> None:
    for line in lines:
        assert [entry["batch"] for entry in line["latency"]] == list(BATCHES)
        assert all(isfinite(value) and value > 0 for entry in line["latency"] for value in entry.values())


def test_an_outcome_is_read_back_and_one_of_an_earlier_version_has_no_deployment(whole: tuple[Any, Compared]) -> None:
    (outcome,) = whole[1]["adapter"]
    values = json.loads(json.dumps(outcome.as_dict()))
    assert from_dict(values) == outcome
    del values["deployment"]
    assert from_dict(values) == replace(outcome, deployment=None)


# ---- kept apart, and going on


def test_the_two_tables_go_on_independently_of_each_other(whole: tuple[Any, Compared], watching: Any) -> None:
    workshop, found = whole
    ledger = Ledger(workshop.places.comparison("tiny"), workshop.settings(search=SEARCH))
    with ledger.held():
        ledger.keep_longer("lora", 1, Pace(1.0, 1.0, 1.0))
    with pytest.raises((Paused, KeyboardInterrupt)):
        field(workshop, watching(interrupt=("lora, seed 101, 2 epochs", 2)), ("lora", "ours"), DEFAULT)
    display = watching()
    assert field(workshop, display) == found
    assert display.bars == display.notes == [], "a finished comparison is only printed"
    again = watching()
    default = field(workshop, again, ("lora", "ours"), DEFAULT)
    assert again.bars[0] == "lora, seed 101, 2 epochs", "ours was finished"
    assert default["lora"][0].genome != found["lora"][0].genome, "another method of the same name"
    with workshop.store() as store:
        names = {campaign.name for campaign in store.campaigns()}
    assert {"tiny.compare.ours.101", "tiny.methods.noah.101", "tiny.methods.glora.101"} <= names


def test_a_method_that_cannot_be_had_is_left_out_with_the_reason(whole: tuple[Any, Compared], watching: Any) -> None:
    nowhere = SpaceSettings(name="mix", rows=(row("blocks.*.moe", "lora", "lora"),))
    fixed = ALL.rows["adaptformer"]
    assert isinstance(fixed, Fixed)
    suite = replace(ALL, rows={**ALL.rows, "adaptformer": replace(fixed, space=lambda space: nowhere)})
    found = field(whole[0], watching(), ("lora", "adaptformer", "glora"), suite)
    lines = {line["method"]: line for line in deployed_rows(found, suite)}
    assert list(lines) == ["lora", "adaptformer", "glora"]
    assert "names no site of this backbone" in lines["adaptformer"]["left_out"]
    assert lines["lora"]["left_out"] is lines["glora"]["left_out"] is None
    assert any(note.startswith("left out: adaptformer: ") for note in overview.notes(found, [*lines.values()], suite))
    assert overview.table("tiny", [*lines.values()], suite).row_count == 3


def test_without_the_row_that_others_are_compared_with_there_is_no_comparison(workshop: Any, watching: Any) -> None:
    nowhere = SpaceSettings(name="mix", rows=(row("blocks.*.moe", "lora", "lora"),))
    base = Searched(lambda settings: settings.model_copy(update={"space": nowhere}))
    with pytest.raises(BadInput, match="names no site"):
        field(workshop, watching(), ("lora", "glora"), replace(ALL, rows={**ALL.rows, "glora": base}))


# ---- what is shown


def test_a_ranking_needs_epochs_and_seeds(whole: tuple[Any, Compared]) -> None:
    def trained(epochs: int, seeds: int) -> Compared:
        (one,) = whole[1]["glora"]
        return Compared({"glora": [replace(one, scores=replace(one.scores, epochs=epochs))] * seeds}, {})

    assert is_smoke(trained(2, 3), ALL)
    assert is_smoke(trained(100, 1), ALL)
    assert not is_smoke(trained(100, 3), ALL)


def test_the_command_prints_the_table_the_protocol_and_flat_csv(
    whole: tuple[Any, Compared],
    lines: list[dict[str, Any]],
    command: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = whole[0].folder
    (folder / "tiny.yaml").write_text(yaml.safe_dump(whole[0].config(search=SEARCH)))
    monkeypatch.chdir(folder)
    typed = ("compare", "tiny.yaml", "--seeds", 1, "--methods", f"all:{','.join(SOME)}")
    said = command(*typed)
    assert said.code == 0
    for line in lines:
        assert f"{line['test_accuracy']:.2%}" in said.out
        assert all(f"{entry['before']:.2f} -> {entry['after']:.2f}" in said.out for entry in line["latency"])
    assert "No ranking is claimed" in said.out
    assert json.loads(command(*typed, "--format", "json").out) == lines
    cells = list(csv.DictReader(io.StringIO(command(*typed, "--format", "csv").out)))
    assert [cell["method"] for cell in cells] == list(SOME)
    assert {"mergeable", "wilson_low", "genes_kept", "latency_1_before_ms", "latency_16_after"} <= set(cells[0])
    assert not any(isinstance(value, list | dict) for each in flat(lines) for value in each.values())


def test_the_picture_has_a_place_for_a_row_without_parameters(lines: list[dict[str, Any]], tmp_path: Any) -> None:
    pytest.importorskip("matplotlib")
    to = spectrum.draw("tiny", lines, tmp_path / "a folder" / "comparison.png")
    assert to is not None
    from PIL import Image

    with Image.open(to) as image:
        assert len(image.convert("RGB").getcolors(1 << 20) or ()) > 20
