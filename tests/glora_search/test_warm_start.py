"""Under a budget a search starts from all that is known of its supernet, and pays for so many candidates alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from glora_search.control import Paused
from glora_search.drawing import Drawing
from glora_search.evolution import Evaluate, evolve
from glora_search.settings import SearchSettings
from supernet.errors import BadInput
from supernet.space import Space


def genomes(workshop: Any, name: str, where: str | None = None) -> list[str]:
    with workshop.store() as store:
        return [each.genome for each in store.candidates(name, where=where)]


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Genomes that a worker scored, from now on."""
    from supernet.evaluation import Scorer

    scored, score = list[str](), Scorer.score

    def listening(self: Scorer, genome: str, *rest: Any) -> Any:
        scored.append(genome)
        return score(self, genome, *rest)

    monkeypatch.setattr(Scorer, "score", listening)
    return scored


def test_a_budget_of_none_gives_the_front_of_what_is_known(
    workshop: Any, scored: list[str], watching: Callable[..., Any]
) -> None:
    workshop.launch()
    known = genomes(workshop, "tiny")
    scored.clear()
    watched = watching()
    report = workshop.launch(watched, name="second", search={"budget": 0})
    assert "train supernet" not in watched.bars
    assert genomes(workshop, "second") == known
    assert genomes(workshop, "second", "operator = 'remembered'") == known
    with workshop.store() as store:
        fronts = [[each.genome for each in store.candidates(name, front=True)] for name in ("tiny", "second")]
    assert fronts[0] == fronts[1]
    rest = 8 * 2 + 2  # chosen, five random, largest and the method on two splits, and the linear probe
    assert len(scored) <= len(report["finalists"]) + rest, "the report's own, in float32"
    assert report["test_examples"] == 60


def test_a_budget_of_none_keeps_to_the_limit(workshop: Any) -> None:
    workshop.launch()
    with workshop.store() as store:
        sizes = sorted(each.params for each in store.candidates("tiny"))
    limit = sizes[len(sizes) // 2]
    workshop.launch(name="second", search={"budget": 0, "max_parameters": limit})
    with workshop.store() as store:
        assert sorted(each.params for each in store.candidates("second")) == [size for size in sizes if size <= limit]
    with pytest.raises(BadInput, match=rf"of 18 subnets none has at most {sizes[0] - 1:,} parameters\. Launch without"):
        workshop.launch(name="third", search={"budget": 0, "max_parameters": sizes[0] - 1})


def test_a_budget_of_none_trains_nothing(workshop: Any, watching: Callable[..., Any]) -> None:
    watched = watching()
    with pytest.raises(BadInput, match=r"search\.budget is 0, .* no supernet was trained from this config's recipe"):
        workshop.launch(watched, search={"budget": 0})
    assert watched.bars == []


@pytest.mark.parametrize("interrupted", [False, True], ids=["at once", "interrupted"])
def test_a_budget_buys_so_many_new_candidates_on_top_of_what_is_known(
    workshop: Any, watching: Callable[..., Any], interrupted: bool
) -> None:
    workshop.launch()
    known = genomes(workshop, "tiny")
    if interrupted:
        with pytest.raises(Paused):
            workshop.launch(watching(interrupt=("search", 20)), name="second", seed=0, search={"budget": 8})
        workshop.launch(name="meanwhile", search={"budget": 2})  # what is known grows, the start stays
    workshop.launch(name="second", search={"budget": 8})
    found = genomes(workshop, "second")
    assert found[:18] == known
    assert len(found) == len(set(found)) == 18 + 8
    with workshop.store() as store:
        children = store.candidates("second", where="generation >= 1")
        assert {each.operator for each in children} <= {"crossover", "mutation", "random"}
        assert [each.status for each in children] == ["completed"] * 8


def test_without_anything_known_a_budget_ends_the_search_early(small: Space, answer: Callable[..., Evaluate]) -> None:
    settings = SearchSettings(population=5, parents=2, crossover=2, mutation=2, generations=4, budget=8)
    numbers = [len(each.proposals) for each in evolve(small, settings, 0, answer())]
    assert numbers == [5, 3]
    whole = list(evolve(small, settings.model_copy(update={"budget": None}), 0, answer()))
    cut = list(evolve(small, settings, 0, answer()))
    assert cut[0] == whole[0]
    assert cut[1].proposals == whole[1].proposals[:3]


def test_what_is_known_is_generation_0_and_costs_nothing(small: Space, answer: Callable[..., Evaluate]) -> None:
    start = list(small.feasible())[:7]
    settings = SearchSettings(population=5, parents=2, crossover=2, mutation=2, generations=4, budget=0)
    (only,) = evolve(small, settings, 0, answer(), start)
    assert [each.genome for each in only.proposals] == start
    assert {each.operator for each in only.proposals} == {"remembered"}
    more = list(evolve(small, settings.model_copy(update={"budget": 3}), 0, answer(), start))
    new = [each.genome for generation in more[1:] for each in generation.proposals]
    assert len(new) == 3
    assert not set(new) & set(start)


def test_after_a_start_from_what_is_known_the_method_is_the_first_that_is_new(
    small: Space, answer: Callable[..., Evaluate]
) -> None:
    genomes = list(small.feasible())
    settings = SearchSettings(population=5, parents=2, crossover=2, mutation=2, generations=4, budget=6)
    for start, fixed in ((genomes[:7], genomes[9]), (genomes[:7], genomes[3])):
        method = Drawing(small.draw, (fixed,))
        generations = list(evolve(small, settings, 0, answer(), start, method))
        new = [each for generation in generations[1:] for each in generation.proposals]
        assert len(new) == 6
        assert [(each.genome, each.operator) for each in new if each.operator == "fixed"] == (
            [] if fixed in start else [(fixed, "fixed")]
        )
        assert fixed in start or new[0].genome == fixed
