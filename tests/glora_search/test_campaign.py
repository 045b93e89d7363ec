"""Campaigns on a Vision Transformer of a few blocks, from config to verified export."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from db.errors import NameTaken
from db.records import State
from glora_search.control import Paused
from glora_search.inputs import prepare
from glora_search.shared_weights import recipe_of
from supernet.checkpoint import load_trained, save_trained
from supernet.data import load_data
from supernet.evaluation import NotFinite, Scorer
from supernet.exported import accuracy, load_export
from supernet.numerics import probe
from supernet.verification import verify
from workers import forerunner

SIZES = {"population": 5, "generations": 1, "parents": 2, "crossover": 2, "mutation": 2, "finalists": 2}


# ---- from config to verified export


def test_the_report_holds_the_choice_and_its_baselines(finished: Any) -> None:
    report = finished.launch()
    assert set(report["baselines"]) == {"linear_probe", "random_subnet", "largest_subnet", "scaled_lora"}
    for row in (report, *report["baselines"].values()):
        assert 0 <= row["val_accuracy"] <= 1
        assert 0 <= row["test_accuracy"] <= 1
    assert report["baselines"]["linear_probe"]["params"] == 0
    assert report["baselines"]["largest_subnet"]["params"] > report["params"]
    assert report["test_examples"] == 60
    low, high = report["test_interval"]
    assert low <= report["test_accuracy"] <= high
    json.dumps(report)


def test_the_choice_is_the_best_of_the_candidates(finished: Any) -> None:
    report = finished.launch(name="best-of-all", search=SIZES | {"choice": "best"})
    with finished.store() as store:
        completed = store.candidates("best-of-all", where="status = 'completed'")
        best = min(completed, key=lambda each: (-each.accuracy, each.loss, each.id))
        finalists = [each for each in store.candidates("best-of-all") if each.accuracy_float32 is not None]
        chosen = store.candidate("best-of-all", report["chosen"])
    assert len(finalists) in (2, 3), "the method is one too"
    assert best.id in {each.id for each in finalists}
    key = (-chosen.accuracy_float32, chosen.loss_float32, chosen.id)
    assert key == min((-each.accuracy_float32, each.loss_float32, each.id) for each in finalists)
    assert (chosen.genome, chosen.params) == (report["genome"], report["params"])
    assert report["val_accuracy"] == chosen.accuracy_float32


def test_the_export_is_verified_and_scores_what_the_report_says(finished: Any) -> None:
    from pathlib import Path

    report = finished.launch()
    assert verify(Path(report["export"])).tensors
    data = load_data(finished.settings().data, 32)
    exported = load_export(Path(report["export"]))
    assert accuracy(exported, data.tests["test"]()) == pytest.approx(report["test_accuracy"], abs=1e-9)
    assert accuracy(exported, data.val) == pytest.approx(report["val_accuracy"], abs=1e-9)
    assert exported.manifest["genome"] == report["genome"]


def test_the_campaigns_row_says_where_it_stands_and_what_genomes_mean(finished: Any) -> None:
    with finished.store() as store:
        campaign, candidates = store.campaign("tiny"), store.candidates("tiny")
    assert campaign.state == State.FINISHED
    assert campaign.error is None
    assert campaign.config == finished.settings().model_dump(mode="json")
    assert len(candidates) == 18
    for each in candidates:
        assert all(letter in gene["alphabet"] for gene, letter in zip(campaign.genes, each.genome, strict=True))


@pytest.mark.parametrize("choice", ["best", "smallest_tied", "surely_better"])
def test_views_and_ties_decide_the_choice_and_are_in_the_report(finished: Any, choice: str) -> None:
    sizes = SIZES | {"finalists": 5}
    report = finished.launch(name=choice, search=sizes | {"views": 2, "choice": choice})
    plain = finished.launch(name="plain", search=sizes)
    rows, n = report["finalists"], report["val_examples"]
    assert n == 24
    assert len(rows) in (5, 6), "the method is a finalist too"
    for row, other in zip(rows, plain["finalists"], strict=True):
        assert row | {"view_loss": None, "p": other["p"]} == other, "figures are those of the images themselves"
        assert row["view_loss"] != row["val_loss"]
    best = min(rows, key=lambda row: (row["view_loss"], -row["val_accuracy"], row["id"]))
    chosen = next(row for row in rows if row["p"] is None)
    assert chosen["id"] == report["chosen"]
    assert chosen["params"] <= best["params"] or choice != "smallest_tied"
    assert chosen == best or choice != "best"
    if choice == "surely_better" and chosen != best:
        with finished.store() as store:
            (method,) = store.candidates(choice, where="operator = 'fixed'")
        assert chosen["id"] == method.id
    tied = [row for row in rows if row["p"] is not None and row["p"] > 0.05]
    assert report["tied"]["count"] == len(tied)


def test_calibration_changes_losses_and_no_answer(finished: Any, watching: Callable[..., Any]) -> None:
    watched, training = watching(), {**finished.settings().training.model_dump(), "epochs": 1}
    sections = {"training": training, "search": SIZES | {"algorithm": "random", "racing": False}}
    finished.launch(name="uncalibrated", **sections | {"training": training | {"calibration": False}})
    finished.launch(watched, name="calibrated", **sections)
    assert any(note.startswith("Temperature ") for note in watched.notes)
    assert "train supernet" in watched.bars, "what is calibrated is another supernet"
    plain, calibrated = finished.found("uncalibrated"), finished.found("calibrated")
    assert [each[:-1] for each in calibrated] == [each[:-1] for each in plain]
    assert sum(each[-1] for each in calibrated) < sum(each[-1] for each in plain)
    again = watching()
    finished.launch(again, name="again", **sections)
    assert any("not trained again" in note for note in again.notes)


# ---- launching again


def test_launching_again_returns_the_report_without_work(finished: Any, watching: Callable[..., Any]) -> None:
    once, before = finished.launch(), finished.found()
    watched = watching()
    assert finished.launch(watched) == once
    assert watched.notes == watched.bars == []
    assert finished.found() == before


def test_another_config_under_the_name_is_refused_with_the_difference(finished: Any) -> None:
    before = finished.found()
    with pytest.raises(NameTaken) as refused:
        finished.launch(search={"population": 7}, seed=1)
    assert "search.population: 6 -> 7" in str(refused.value)
    assert "seed: 0 -> 1" in str(refused.value)
    assert "generations" not in str(refused.value)
    assert finished.found() == before


def test_another_search_of_the_recipe_reuses_the_supernet_and_what_is_known(
    finished: Any, watching: Callable[..., Any]
) -> None:
    watched = watching()
    finished.launch(watched, name="other", search={"algorithm": "nsga2", "generations": 1})
    assert "train supernet" not in watched.bars
    assert any("not trained again" in note for note in watched.notes)
    with finished.store() as store:
        one, other = store.campaign("tiny"), store.campaign("other")
        known = {each.genome: each for each in store.candidates("tiny")}
        shared = [each for each in store.candidates("other") if each.genome in known]
    assert one.fingerprint == other.fingerprint
    assert len(shared) >= 6  # generation 0 at least
    for each in shared:  # the seconds of the evaluation are those of the first one: it was not repeated
        assert (each.accuracy, each.loss, each.seconds) == (
            known[each.genome].accuracy,
            known[each.genome].loss,
            known[each.genome].seconds,
        )


# ---- limits and algorithms


@pytest.mark.parametrize("algorithm", ["evolution", "nsga2", "random"])
@pytest.mark.parametrize("limit", [5_000])
def test_every_algorithm_finishes_under_the_limit(finished: Any, algorithm: str, limit: int) -> None:
    name = f"{algorithm}-{limit}"
    report = finished.launch(name=name, search=SIZES | {"algorithm": algorithm, "max_parameters": limit})
    with finished.store() as store:
        candidates = store.candidates(name)
    assert len(candidates) == 9
    assert max(each.params for each in candidates) <= limit
    assert report["params"] <= limit
    assert report["baselines"]["random_subnet"]["params"] <= limit


def test_a_limit_of_0_exports_the_backbone_with_its_head(finished: Any) -> None:
    from pathlib import Path

    report = finished.launch(name="nothing", search=SIZES | {"max_parameters": 0})
    assert report["params"] == 0
    assert len(finished.found("nothing")) == 1
    verify(Path(report["export"]))


# ---- workers


def test_what_training_computes_does_not_depend_on_the_number_of_workers(finished: Any) -> None:
    """Sums of larger batches differ in their last bits with the number of threads, and so would the supernet."""
    numerics, _ = probe(1)
    one, three = (
        prepare(finished.settings(workers={"backend": "ray", "count": count})).training(numerics) for count in (1, 3)
    )
    assert one.numerics == three.numerics


def test_a_subnet_of_the_report_that_cannot_be_scored_has_no_row_and_ends_nothing(
    finished: Any, workshop: Any, watching: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest, score = prepare(finished.settings()).space.largest, Scorer.score

    def fails(scorer: Scorer, genome: str, *arguments: Any) -> Any:
        if genome == largest:
            raise NotFinite("The loss of 3 examples is not finite.")
        return score(scorer, genome, *arguments)

    monkeypatch.setattr(Scorer, "score", fails)
    display = watching()
    report = workshop.launch(display)
    assert set(report["baselines"]) == {"linear_probe", "random_subnet", "scaled_lora"}
    assert report["test_accuracy"] == finished.launch()["test_accuracy"]
    (said,) = (note for note in display.notes if "could not be scored" in note)
    assert said.startswith("1 of the subnets")


def test_the_linear_probe_is_of_the_backbone_alone_also_where_every_subnet_has_numbers(
    finished: Any, workshop: Any
) -> None:
    space = {
        "name": "vpt_deep",
        "options": {"prompt": {"lengths": [4, 2]}},
        "forms": {"prompt": ["prompt4", "prompt2"]},
    }
    report = workshop.launch(space=space, search={"generations": 0, "population": 3})
    assert report["baselines"]["linear_probe"] == finished.launch()["baselines"]["linear_probe"]


def test_a_supernet_that_another_campaign_trained_meanwhile_is_taken(
    finished: Any, workshop: Any, watching: Any
) -> None:
    """Two of one recipe need not have the same bits, and the other one may be searching it."""
    trained, about = load_trained(finished.places.supernet(recipe_of(prepare(finished.settings()))))
    other = replace(trained, tensors={name: array * np.float32(1.01) for name, array in trained.tensors.items()})

    class Meanwhile(watching):  # type: ignore[misc]
        def note(self, text: str) -> None:
            super().note(text)
            if text.startswith("Temperature"):
                save_trained(other, workshop.places.supernet(about["recipe"]), about)

    display = Meanwhile()
    workshop.launch(display)
    with workshop.store() as store:
        assert store.campaign("tiny").fingerprint == other.fingerprint
    assert any("trained from the same recipe meanwhile" in note for note in display.notes)


def test_the_linear_probe_is_trained_beside_the_supernet_or_else_after_the_search(workshop: Any, watching: Any) -> None:
    """While the pool has a worker for training; the next run has none before its report."""
    first, then = watching(interrupt=("search", 8)), watching()
    with pytest.raises(Paused):
        workshop.launch(first)
    workshop.launch(then)
    assert first.bars == ["train supernet", "train linear probe", "search"]
    assert then.bars == ["search", "train linear probe"]


@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    "ahead",
    [pytest.param(False, marks=pytest.mark.experiment, id="alone"), pytest.param(True, id="behind a forerunner")],
)
def test_ray_with_3_workers_finds_what_one_process_finds(
    finished: Any, workshop: Any, monkeypatch: pytest.MonkeyPatch, ahead: bool
) -> None:
    """In a database and a runs folder of its own, so that nothing is answered from what was found before."""
    monkeypatch.setattr(forerunner, "forked", lambda settings: forerunner.fork() if ahead else nullcontext())
    report, own = workshop.launch(workers={"backend": "ray", "count": 3}), finished.launch()
    with workshop.store() as here, finished.store() as there:
        assert here.campaign("tiny").fingerprint == there.campaign("tiny").fingerprint
        workers = {each.worker for each in here.candidates("tiny")}
        assert workers <= {"ray-0", "ray-1", "ray-2"} | ({forerunner.NAME} if ahead else set())
        assert (forerunner.NAME in workers) == ahead
    assert workshop.found() == finished.found()
    figures = set(report) - {"export", "picture", "seconds"}
    assert {name: report[name] for name in figures} == {name: own[name] for name in figures}
