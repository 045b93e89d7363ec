"""The comparison: every row under one protocol, the test set opened last, and whatever stops it, nothing done twice."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.errors import NameTaken
from glora_search.comparison.chart import draw, spread
from glora_search.comparison.engine import compare
from glora_search.comparison.ledger import Ledger
from glora_search.comparison.methods import METHODS, Fixed
from glora_search.comparison.standing import rows
from glora_search.control import Paused
from glora_search.display import Advance
from supernet.errors import BadInput, Corrupt, Missing
from supernet.pace import Pace

EVERY = tuple(METHODS)
FIXED = [name for name, row in METHODS.items() if isinstance(row, Fixed)]
LONGER = 4  # epochs, of 2
SEARCH = {"population": 5, "generations": 1, "parents": 2, "crossover": 2, "mutation": 2, "finalists": 2}
TIMES = ("train_seconds", "search_seconds")


def ledger_of(workshop: Any, **sections: Any) -> Ledger:
    settings = workshop.settings(search=SEARCH, **sections)
    return Ledger(workshop.places.comparison(settings.name), settings)


def compared(
    workshop: Any, display: Any, seeds: Sequence[int] = (101,), methods: Sequence[str] = EVERY, **sections: Any
) -> Any:
    """A comparison whose longer trainings are of LONGER epochs, so that no clock decides what is found."""
    ledger = ledger_of(workshop, **sections)
    with ledger.held():
        for method in FIXED:
            ledger.keep_longer(method, LONGER, Pace(1.0, 1.0, 1.0))
    return compare(ledger.settings, methods, seeds, workshop.db, workshop.places, display)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, finished: Any, watching: Any) -> tuple[Any, Any, Any]:
    """(a workshop, its comparison of all rows under two seeds, what its display saw)."""
    workshop, display = replace(finished, folder=tmp_path_factory.mktemp("compared")), watching()
    return workshop, compared(workshop, display, (101, 102)), display


def timeless(found: Any) -> Any:
    """Plain data without what a clock says."""
    if isinstance(found, dict):
        return {key: timeless(value) for key, value in found.items() if key not in TIMES}
    return [timeless(each) for each in found] if isinstance(found, list) else found


# ---- rows


def test_there_is_exactly_one_row_a_method_in_the_contracts_order(whole: Any) -> None:
    found = rows(whole[1])
    names = "linear_probe bias_of_linears lora ssf largest mean_size random paper ours"
    assert [row["method"] for row in found] == names.split()
    keys = {"method", "params", "val_accuracy", "test_accuracy", "test_std", "train_seconds", "search_seconds"}
    more = {"epochs", "seeds", "difference", "interval", "p_value", "wilson", "longer"}
    assert all(set(row) == keys | more for row in found)
    assert json.loads(json.dumps(found)) == found


def test_figures_are_what_they_are_called(whole: Any) -> None:
    for row in rows(whole[1]):
        accuracies = [each["test_accuracy"] for each in row["seeds"]]
        assert [each["seed"] for each in row["seeds"]] == [101, 102]
        assert row["test_accuracy"] == pytest.approx(sum(accuracies) / 2)
        assert row["test_std"] == pytest.approx(abs(accuracies[0] - accuracies[1]) / 2**0.5)
        assert row["wilson"][0] <= row["test_accuracy"] <= row["wilson"][1]
        assert row["train_seconds"] > 0
        assert (row["search_seconds"] > 0) == (row["method"] in ("random", "paper", "ours"))
        assert (row["longer"] is not None) == (row["method"] in FIXED)
        if row["method"] != "ours":
            ours = rows(whole[1])[-1]["test_accuracy"]
            assert row["difference"] == pytest.approx(ours - row["test_accuracy"])
            assert row["interval"][0] <= row["difference"] <= row["interval"][1]
            assert 0 <= row["p_value"] <= 1


def test_what_was_answered_rightly_is_kept_and_makes_up_the_accuracy(whole: Any) -> None:
    for outcomes in whole[1].values():
        for outcome in outcomes:
            for scores in filter(None, (outcome.scores, outcome.longer)):
                assert scores.right(60).mean() == pytest.approx(scores.test_accuracy)


def test_searches_are_of_one_size_under_the_size_of_lora(whole: Any) -> None:
    found = whole[1]
    limit = found["lora"][0].params
    for method in ("random", "paper", "ours"):
        for outcome in found[method]:
            assert outcome.params <= outcome.limit == limit
            assert outcome.candidates == found["ours"][0].candidates
    assert found["linear_probe"][0].params == 0 < found["bias_of_linears"][0].params < found["ssf"][0].params
    assert found["mean_size"][0].params < max(limit, found["largest"][0].params) == found["largest"][0].params


def test_a_lower_limit_of_the_configs_own_stays(workshop: Any, watching: Any) -> None:
    search = SEARCH | {"max_parameters": 3000}
    settings = workshop.settings(search=search)
    (ours,) = compare(settings, ["ours"], [7], workshop.db, workshop.places, watching())["ours"]
    assert (ours.limit, ours.seed) == (3000, 7)
    assert ours.params <= 3000


def test_random_searches_the_supernet_of_ours_and_the_paper_trains_its_own(whole: Any) -> None:
    workshop, _, display = whole
    with workshop.store() as store:
        prints = {campaign.name: campaign.fingerprint for campaign in store.campaigns()}
    for seed in (101, 102):
        ours, random, paper = (prints[f"tiny.compare.{method}.{seed}"] for method in ("ours", "random", "paper"))
        assert ours == random != paper
    assert Counter(display.bars)["train supernet"] == 4, "two rows of two seeds"
    assert Counter(display.bars)["train linear probe"] == 6, "each of the three campaigns once"


def test_a_longer_training_is_another_than_the_plain_one(whole: Any) -> None:
    for method in FIXED:
        for outcome in whole[1][method]:
            assert (outcome.scores.epochs, outcome.longer.epochs) == (2, LONGER)
    bars = Counter(bar for bar in whole[2].bars if "epochs" in bar)
    assert bars == Counter(f"{m}, seed {s}, {e} epochs" for m in FIXED for s in (101, 102) for e in (2, LONGER))


def test_no_trained_tensors_and_no_checkpoints_of_fixed_methods_are_left(whole: Any) -> None:
    names = {path.name for path in whole[0].places.comparison("tiny").iterdir()}
    assert names == {f"{m}.{s}.json" for m in METHODS for s in (101, 102)} | {f"{m}.pace.json" for m in FIXED} | {
        ".lock"
    }


# ---- going on


def test_a_finished_comparison_is_only_printed(whole: Any, watching: Any) -> None:
    workshop, before, _ = whole
    display = watching()
    assert compared(workshop, display, (101, 102)) == before
    assert display.notes == display.bars == []


def test_other_methods_and_seeds_join_what_is_there(whole: Any, watching: Any) -> None:
    workshop, before, _ = whole
    display = watching()
    found = compared(workshop, display, (103, 101), ("lora", "ours"))
    assert {method: outcomes[1] for method, outcomes in found.items()} == {m: before[m][0] for m in ("lora", "ours")}
    assert not any("101" in bar for bar in display.bars)


def test_interrupted_at_any_row_it_goes_on_to_the_same_and_trains_nothing_twice(
    workshop: Any, whole: Any, watching: Any
) -> None:
    some = ("linear_probe", "lora", "mean_size", "random", "paper", "ours")
    fixed = [method for method in FIXED if method in some]
    trainings = [(f"{method}, seed 101, {epochs} epochs", 1) for method in fixed for epochs in (2, LONGER)]
    campaigns = [("train supernet", 2), ("search", 6)]
    moments = [*campaigns, ("linear_probe, seed 101", 3), *trainings, campaigns[1], *campaigns]
    bars = Counter[str]()
    for moment in moments:
        display = watching(interrupt=moment)
        with pytest.raises((Paused, KeyboardInterrupt)):
            compared(workshop, display, methods=some)
        bars.update(display.bars)
    found = compared(workshop, watching(), methods=some)
    alone = {method: whole[1][method][:1] for method in some}
    assert timeless(json.loads(json.dumps(rows(found)))) == timeless(json.loads(json.dumps(rows(alone))))
    assert all(bars[title] == 2 for title, _ in trainings), "begun, and gone on with"
    assert bars["train supernet"] == 4, "begun and gone on with, by ours and by the paper's"


class Pressing:
    """A display whose bar presses Ctrl-C once it has come so far."""

    def __init__(self, moment: tuple[str, int]) -> None:
        self.moment, self.notes, self.seen = moment, list[str](), list[tuple[str, int]]()

    def note(self, text: str) -> None:
        self.notes.append(text)

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Advance]:
        def advance(done: int, text: str) -> None:
            self.seen.append((title, done))
            if (title, done) == self.moment:
                os.kill(os.getpid(), signal.SIGINT)

        yield advance


def test_ctrl_c_ends_a_fixed_training_at_its_step_and_checkpoints_begin_the_next(
    workshop: Any, whole: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glora_search.shared_weights.CHECKPOINT_EVERY", 0.0)
    title, before = f"ssf, seed 101, {LONGER} epochs", signal.getsignal(signal.SIGINT)
    display = Pressing((title, 5))
    with pytest.raises(Paused):
        compared(workshop, display, methods=("ssf", "ours"))
    assert display.seen[-1] == (title, 5)
    assert signal.getsignal(signal.SIGINT) is before
    again = Pressing(("none", 0))
    found = compared(workshop, again, methods=("ssf", "ours"))
    assert again.seen[0] == (title, 5), "the plain training is finished, and this one goes on from its last checkpoint"
    assert timeless(found["ssf"][0].as_dict()) == timeless(whole[1]["ssf"][0].as_dict())


def test_longer_epochs_are_measured_once_before_anything_runs(workshop: Any, whole: Any, watching: Any) -> None:
    settings = ledger_of(workshop).settings
    first = watching()
    measured = compare(settings, ["lora", "ours"], [101], workshop.db, workshop.places, first)["lora"][0]
    epochs = ledger_of(workshop).longer("lora")
    assert f": {epochs} epochs take as long as ours" in first.notes[0]
    assert not any("take as long as ours" in note for note in [*first.notes[1:], *whole[2].notes])
    assert measured.longer is None if epochs <= 2 else measured.longer.epochs == epochs


# ---- the test set


@pytest.mark.parametrize("method", ["linear_probe", "lora"])
def test_a_row_opens_the_test_set_after_its_training_and_no_row_without_it_is_kept(
    workshop: Any, watching: Any, write_task: Any, tmp_path: Path, method: str
) -> None:
    data = {"root": str(write_task(tmp_path / "greys"))}
    compared(workshop, watching(), methods=("ours",), data=data)
    listed = tmp_path / "greys/test.txt"
    kept = listed.read_text()
    listed.unlink()
    display = watching()
    with pytest.raises(Missing, match=r"test\.txt"):
        compared(workshop, display, methods=(method, "ours"), data=data)
    titles = {"lora": [f"lora, seed 101, {epochs} epochs" for epochs in (2, LONGER)]}
    assert display.bars == titles.get(method, [f"{method}, seed 101"]), "trained without it"
    assert ledger_of(workshop, data=data).outcome(method, 101) is None
    listed.write_text(kept)
    again = watching()
    found = compared(workshop, again, methods=(method, "ours"), data=data)
    assert found[method][0].examples["test"] == 60
    assert [bar for bar in again.bars if "epochs" in bar] == [], "what was trained is not trained again"


def test_images_that_changed_between_two_rows_are_not_compared(
    workshop: Any, watching: Any, write_task: Any, tmp_path: Path
) -> None:
    data = {"root": str(write_task(tmp_path / "greys"))}
    compared(workshop, watching(), methods=("ours",), data=data)
    listed = tmp_path / "greys/test.txt"
    listed.write_text("".join(listed.read_text().splitlines(keepends=True)[:-1]))
    found = compared(workshop, watching(), methods=("linear_probe", "ours"), data=data)
    with pytest.raises(Corrupt, match="not the same: the data changed"):
        rows(found)


# ---- what is refused


def test_another_config_in_the_folder_is_refused_with_the_difference(whole: Any, watching: Any) -> None:
    workshop, display = whole[0], watching()
    changed = workshop.settings(search=SEARCH, training={"epochs": 3})
    with pytest.raises(NameTaken, match=r"training\.epochs: 2 -> 3"):
        compare(changed, EVERY, (101, 102), workshop.db, workshop.places, display)
    assert display.bars == []


def test_how_many_workers_there_are_is_no_other_config(whole: Any, watching: Any) -> None:
    settings = whole[0].settings(search=SEARCH, workers={"timeout": 7.0})
    found = compare(settings, EVERY, (101, 102), whole[0].db, whole[0].places, watching())
    assert found == whole[1]


def test_a_search_that_begins_from_what_others_found_is_refused(workshop: Any, watching: Any) -> None:
    settings = workshop.settings(search=SEARCH | {"budget": 5})
    with pytest.raises(BadInput, match=r"search\.budget"):
        compare(settings, EVERY, [1], workshop.db, workshop.places, watching())
    assert not (workshop.folder / "runs").exists()


def test_only_one_process_runs_a_comparison(workshop: Any, watching: Any) -> None:
    with ledger_of(workshop).held(), pytest.raises(BadInput, match="Another process"):
        compare(ledger_of(workshop).settings, ["ours"], [1], workshop.db, workshop.places, watching())


def test_a_file_that_is_not_what_was_written_is_refused(workshop: Any) -> None:
    ledger = ledger_of(workshop)
    ledger.folder.mkdir(parents=True)
    (ledger.folder / "lora.101.json").write_text('{"config": ')
    with pytest.raises(Corrupt, match=r"lora\.101\.json"):
        ledger.outcome("lora", 101)


def written(workshop: Any) -> tuple[Ledger, Path, dict[str, Any]]:
    """A ledger with one file, and what the file holds."""
    ledger = ledger_of(workshop)
    with ledger.held():
        ledger.keep_longer("lora", LONGER, Pace(1.0, 1.0, 1.0))
    (path,) = ledger.folder.glob("lora*")
    return ledger, path, json.loads(path.read_text())


def test_rows_of_a_version_that_trained_otherwise_are_of_another_config(workshop: Any) -> None:
    """A setting that it did not have is not read as today's default."""
    ledger, path, kept = written(workshop)
    assert kept["config"]["training"].pop("vector_rate") == 5
    path.write_text(json.dumps(kept))
    with pytest.raises(NameTaken, match=r"training\.vector_rate: 1\.0 -> 5\.0"):
        ledger.longer("lora")


def test_rows_whose_training_computed_other_numbers_are_not_gone_on_with(workshop: Any) -> None:
    ledger, path, kept = written(workshop)
    path.write_text(json.dumps(kept | {"numbers": kept["numbers"] - 1}))
    with pytest.raises(BadInput, match="whose training computes other numbers"):
        ledger.longer("lora")


# ---- the picture


def test_the_picture_is_drawn(whole: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from PIL import Image

    to = draw("tiny", rows(whole[1]), tmp_path / "a folder" / "comparison.png")
    assert to is not None
    with Image.open(to) as image:
        assert min(image.size) > 500
        assert len(image.convert("L").getcolors() or ()) > 20


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_labels_keep_their_order_and_do_not_touch(heights: list[float]) -> None:
    falling = sorted(heights, reverse=True)
    found = spread(falling, 0.05)
    assert all(above - below >= 0.05 - 1e-9 for above, below in pairwise(found))
    assert min(found) >= -1e-9
    assert max(found) <= 1 + 1e-9


def test_labels_that_have_room_stay_where_they_are() -> None:
    assert spread([0.9, 0.5, 0.1], 0.05) == pytest.approx([0.9, 0.5, 0.1])
    assert spread([0.5, 0.5], 0.1) == pytest.approx([0.55, 0.45])
