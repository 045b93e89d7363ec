"""A refit stands beside the search and changes none of its figures; the test set is opened once, for both."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from db.errors import NameTaken
from db.records import State
from glora_search.campaign import Paused
from glora_search.places import Places
from glora_search.reopening import reopened
from supernet.checkpoint import load_trained
from supernet.data import load_data
from supernet.data.split import joined
from supernet.exported import accuracy, load_export
from supernet.training import adapt
from supernet.verification import verify

REFIT = {"epochs": 2, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def refitted(tmp_path_factory: pytest.TempPathFactory, finished: Any) -> Any:
    """A finished campaign with a refit, in a workshop of its own."""
    workshop = type(finished)(tmp_path_factory.mktemp("refitted"), finished.config)
    workshop.launch(refit=REFIT)
    return workshop


def exported(workshop: Any, name: str = "tiny") -> Path:
    return workshop.folder / "runs" / name / "export"


def test_the_searched_figures_stay_what_they_are(refitted: Any, finished: Any) -> None:
    with_it, without = refitted.launch(refit=REFIT), finished.launch()
    assert refitted.found() == finished.found()
    assert "refit" not in without
    assert not (finished.folder / "runs/tiny/refit.safetensors").exists()
    figures = set(without) - {"export", "picture", "seconds"}
    assert {name: with_it[name] for name in figures} == {name: without[name] for name in figures}


def test_the_report_has_the_refit_beside_them(refitted: Any) -> None:
    report = refitted.launch(refit=REFIT)
    again = report["refit"]
    assert set(again) == {"epochs", "test_accuracy", "test_interval", "seconds", "gain"}
    assert again["epochs"] == 2
    assert again["gain"] == again["test_accuracy"] - report["test_accuracy"]
    low, high = again["test_interval"]
    assert low <= again["test_accuracy"] <= high
    json.dumps(report)


def test_the_export_is_the_refitted_subnet_and_says_so(refitted: Any, finished: Any) -> None:
    report, folder = refitted.launch(refit=REFIT), exported(refitted)
    assert verify(folder).tensors
    test = load_data(refitted.settings().data, 32).tests["test"]()
    assert accuracy(load_export(folder), test) == pytest.approx(report["refit"]["test_accuracy"], abs=1e-9)
    for file in ("model.safetensors", "delta.safetensors"):
        assert (folder / file).read_bytes() != (exported(finished) / file).read_bytes()
    card = (folder / "README.md").read_text()
    assert "refitted for 2 epochs on training and validation images" in card
    assert "test accuracy, before the refit" in card
    with refitted.store() as store:
        assert json.loads((folder / "export.json").read_text())["fingerprint"] != store.campaign("tiny").fingerprint


def test_a_refit_moves_the_entries_of_its_subnet_alone(refitted: Any) -> None:
    places = Places(refitted.folder / "runs")
    with refitted.store() as store:
        campaign = store.campaign("tiny")
    inputs, before = reopened(campaign, places)
    after, _ = load_trained(places.refit("tiny"))
    supernet = adapt(inputs.backbone, inputs.settings.space, inputs.settings.seed)
    used = {name: np.zeros(array.shape, bool) for name, array in before.tensors.items()}
    for name, index in supernet.entries(campaign.report["genome"]):
        used[name][index] = True
    moved = 0
    for name, array in after.tensors.items():
        changed = array != before.tensors[name]
        assert name.startswith("head.") or not (changed & ~used[name]).any(), name
        moved += int(changed.sum())
    assert moved > campaign.report["params"] / 2


def test_a_refit_does_not_change_the_supernets_recipe(refitted: Any, watching: Callable[..., Any]) -> None:
    watched = watching()
    refitted.launch(watched, name="without")
    assert "train supernet" not in watched.bars
    assert "refit" not in watched.bars


def test_it_reads_train_and_val_together(refitted: Any) -> None:
    data = load_data(refitted.settings().data, 32)
    both = joined(data.train, data.val)
    assert len(both) == 48 + 24
    assert both.examples == data.train.examples + data.val.examples
    assert both.labels.tolist() == [*data.train.labels, *data.val.labels]
    assert (both.images[48:] == data.val.images).all()


def test_another_refit_is_another_campaign(refitted: Any) -> None:
    with pytest.raises(NameTaken, match=r"refit\.epochs: 2 -> 3"):
        refitted.launch(refit={"epochs": 3, "learning_rate": 1e-3})


# ---- resuming


def test_an_interrupted_refit_leaves_the_test_unopened_and_resumes_to_the_same(
    workshop: Any, refitted: Any, watching: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glora_search.shared_weights.CHECKPOINT_EVERY", 0.0)
    first = watching(interrupt=("refit", 4))
    with pytest.raises(Paused):
        workshop.launch(first, refit=REFIT)
    assert not any("Opening the test split" in note for note in first.notes)
    with workshop.store() as store:
        assert store.campaign("tiny").state == State.PAUSED
    again = watching()
    workshop.launch(again, refit=REFIT)
    assert any("goes on after step" in note for note in again.notes)
    assert "train supernet" not in again.bars
    assert not workshop.places.refit_checkpoint("tiny").exists()
    model = "model.safetensors"
    assert (exported(workshop) / model).read_bytes() == (exported(refitted) / model).read_bytes()


def test_a_campaign_that_ended_between_refit_and_export_does_not_refit_again(
    workshop: Any, refitted: Any, watching: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("glora_search.conclusion.export", broken)
        with pytest.raises(Paused):
            workshop.launch(refit=REFIT)
    again = watching()
    report = workshop.launch(again, refit=REFIT)
    assert "refit" not in again.bars
    assert report["refit"]["test_accuracy"] == refitted.launch(refit=REFIT)["refit"]["test_accuracy"]


# ---- commands


def test_exporting_the_choice_again_exports_the_refitted_one(refitted: Any, command: Any, tmp_path: Path) -> None:
    at = ["--db", refitted.db, "--runs", refitted.folder / "runs"]
    chosen = refitted.launch(refit=REFIT)["chosen"]
    assert command("export", "tiny", "--to", tmp_path / "again", *at).code == 0
    for file in ("model.safetensors", "README.md"):
        assert (tmp_path / "again" / file).read_bytes() == (exported(refitted) / file).read_bytes()
    other = next(row[0] for row in refitted.found() if row[0] != chosen and row[6] == "completed")
    assert command("export", "tiny", "--id", other, "--to", tmp_path / "other", *at).code == 0
    assert "refit" not in (tmp_path / "other" / "README.md").read_text()


def test_a_refitted_subnet_that_is_gone_is_not_replaced_by_the_searched_one(
    refitted: Any, command: Any, tmp_path: Path
) -> None:
    at = ["--db", refitted.db, "--runs", refitted.folder / "runs"]
    file = refitted.places.refit("tiny")
    file.rename(tmp_path / "kept")
    said = command("export", "tiny", "--to", tmp_path / "again", *at)
    (tmp_path / "kept").rename(file)
    assert said.code == 2
    assert str(file) in said.err
    assert not (tmp_path / "again").exists()


def test_the_summary_has_a_row_for_it(refitted: Any, command: Any) -> None:
    said = command("resume", "tiny", "--db", refitted.db, "--runs", refitted.folder / "runs")
    assert "searched subnet, refitted" in said.out
    assert "merged after 2 epochs of refit" in said.out
    assert "without retraining" not in said.out
