"""A running campaign does what it is asked, by a row of the database or by a signal, and only one driver runs it."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from db.errors import Held, LeaseLost, NameTaken
from db.records import State
from glora_search import report
from glora_search.control import Cancelled, Control, Paused
from glora_search.display import Advance
from glora_search.driving import STALE_AFTER, driving
from supernet.errors import BadInput

SEARCH = ("search", 8)  # in the second generation of three


class Acting:
    """A display that does something when a bar has come so far."""

    def __init__(self, moment: tuple[str, int], act: Callable[[], None]) -> None:
        self.moment, self.act, self.notes = moment, act, list[str]()

    def note(self, text: str) -> None:
        self.notes.append(text)

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Advance]:
        def advance(done: int, text: str) -> None:
            if (title, done) == self.moment:
                self.act()

        yield advance


@pytest.fixture
def asking(workshop: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Callable[[], None]]:
    monkeypatch.setattr("glora_search.control.POLL", 0.0)

    def asking(request: str) -> Callable[[], None]:
        def ask() -> None:
            with workshop.store() as store:
                store.request("tiny", request)

        return ask

    return asking


def hits(*numbers: signal.Signals) -> Callable[[], None]:
    def hit() -> None:
        for number in numbers:
            os.kill(os.getpid(), number)

    return hit


# ---- requests


@pytest.mark.parametrize(
    ("request_", "ending", "state"), [("pause", Paused, "paused"), ("cancel", Cancelled, "cancelled")]
)
@pytest.mark.parametrize("moment", [SEARCH, ("train supernet", 2)], ids=str)
def test_a_request_ends_a_campaign_which_resumes_to_the_same(
    workshop: Any, finished: Any, asking: Any, request_: str, ending: type[Exception], state: str, moment: Any
) -> None:
    with pytest.raises(ending):
        workshop.launch(Acting(moment, asking(request_)))
    with workshop.store() as store:
        assert store.campaign("tiny").state == State(state)
        progress = store.progress("tiny")
    assert progress.completed == (8 if moment == SEARCH else 0), "nothing is scored once it was asked"
    workshop.launch()
    assert workshop.found() == finished.found()


def test_a_campaign_asked_to_stop_finishes_its_generation_and_exports(
    workshop: Any, finished: Any, asking: Any
) -> None:
    report = workshop.launch(Acting(SEARCH, asking("stop")))
    assert workshop.found() == finished.found()[:12], "generations 0 and 1, whole"
    assert report["chosen"] < 12
    assert (workshop.folder / "runs/tiny/export/config.json").is_file()


def test_a_request_to_an_earlier_run_says_nothing_to_the_next(workshop: Any, finished: Any, asking: Any) -> None:
    with pytest.raises(Paused):
        workshop.launch(Acting(SEARCH, asking("pause")))
    asking("pause")()
    workshop.launch()
    assert workshop.found() == finished.found()


@pytest.mark.parametrize("name", ["pause", "stop", "cancel"])
def test_a_campaign_that_does_not_run_cannot_be_asked(in_finished: Any, command: Any, name: str) -> None:
    said = command(name, "tiny", "--db", in_finished.db)
    assert said.code == 2
    assert f"there is nothing to {name}" in said.err


# ---- signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_pauses_after_what_is_in_flight(workshop: Any, finished: Any, number: signal.Signals) -> None:
    display = Acting(SEARCH, hits(number))
    with pytest.raises(Paused):
        workshop.launch(display)
    assert any("Pausing" in note for note in display.notes)
    with workshop.store() as store:
        assert store.progress("tiny").completed == 8
    workshop.launch()
    assert workshop.found() == finished.found()


def test_the_second_signal_stops_at_once(workshop: Any, finished: Any) -> None:
    with pytest.raises(Paused):
        workshop.launch(Acting(("train supernet", 1), hits(signal.SIGINT, signal.SIGINT)))
    with workshop.store() as store:
        assert store.campaign("tiny").state == State.PAUSED
    workshop.launch()
    assert workshop.found() == finished.found()


def test_signals_are_given_back_at_the_end(workshop: Any) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Paused):
        workshop.launch(Acting(SEARCH, hits(signal.SIGINT)))
    assert signal.getsignal(signal.SIGINT) is before


# ---- one driver


def test_a_second_driver_is_told_who_holds_the_campaign(workshop: Any) -> None:
    told: list[str] = []

    def launch_another() -> None:
        with pytest.raises(Held) as error:
            workshop.launch()
        told.append(str(error.value))

    workshop.launch(Acting(SEARCH, launch_another))
    assert f"process {os.getpid()}" in told[0]


def test_a_driver_whose_lease_was_taken_over_writes_no_more(workshop: Any) -> None:
    def oversleep() -> None:
        later = datetime.now(UTC) + 2 * STALE_AFTER
        with workshop.store() as store:
            store.acquire("tiny", "another machine, process 7", later, STALE_AFTER)

    with pytest.raises(LeaseLost, match="another machine, process 7"):
        workshop.launch(Acting(SEARCH, oversleep))
    with workshop.store() as store:
        assert store.campaign("tiny").state == State.SEARCHING, "how it stands is for the new holder to say"
        assert store.progress("tiny").completed == 8


def test_a_lease_without_a_heartbeat_is_free_once_it_is_stale(finished: Any) -> None:
    moment = datetime.now(UTC)
    with finished.store() as store:
        store.acquire("tiny", "a machine that died", moment, STALE_AFTER)
        with pytest.raises(Held), driving(store, "tiny", lambda: moment + STALE_AFTER / 2):
            pass
        with driving(store, "tiny", lambda: moment + STALE_AFTER + timedelta(seconds=1)) as fenced:
            fenced.set_state("tiny", State.FINISHED)


def test_control_looks_at_the_database_now_and_then_only(finished: Any) -> None:
    clock = [0.0]
    with finished.store() as store:
        control = Control(store, "tiny", lambda: clock[0])
        assert control.asked() is None
        store.request("tiny", "stop")
        assert control.asked() is None, "within the same half second"
        clock[0] = 1.0
        assert control.stopping()
        control.interrupt()
        assert control.closing(), "a signal pauses also what is stopping"
        store.clear_request("tiny")


# ---- retry and delete


def test_retry_queues_failures_alone_and_the_search_ends_as_if_they_had_not_failed(
    workshop: Any, finished: Any, command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from supernet.evaluation import Measurement, Scorer

    score, broken = Scorer.score, {finished.found()[2][1], finished.found()[4][1]}  # genomes of generation 0

    def failing(self: Scorer, genome: str, hopeless: Any = None, chunk: int | None = None) -> Measurement:
        if genome in broken:
            raise MemoryError("out of memory")
        return score(self, genome, hopeless, chunk)

    with monkeypatch.context() as patched:
        patched.setattr(Scorer, "score", failing)
        with pytest.raises(Paused):
            workshop.launch(Acting(("search", 12), hits(signal.SIGINT)))
    with workshop.store() as store:
        assert {each.id for each in store.candidates("tiny", where="status = 'failed'")} == {2, 4}
    said = command("retry", "tiny", "--db", workshop.db)
    assert "Queued 2 failed candidates" in said.out
    workshop.launch()
    assert workshop.found() == finished.found()


def test_retry_is_refused_once_the_test_was_opened(in_finished: Any, command: Any) -> None:
    said = command("retry", "tiny", "--db", in_finished.db)
    assert said.code == 2
    assert "has reported" in said.err


def test_a_stop_outlives_an_interruption_of_the_report(
    workshop: Any, finished: Any, asking: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any) -> None:
        raise BadInput("the test set is gone")

    with monkeypatch.context() as patched:
        patched.setattr("glora_search.campaign.conclude", broken)
        with pytest.raises(BadInput):
            workshop.launch(Acting(SEARCH, asking("stop")))
    workshop.launch()
    assert workshop.found() == finished.found()[:12], "the generations up to the stop, and no more"
    with workshop.store() as store:
        assert store.requested("tiny") is None


def test_a_pause_asked_for_after_the_search_leaves_the_test_unopened(
    workshop: Any, asking: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("glora_search.report.baseline_genomes", lambda *arguments: opened.append("test"))
    with pytest.raises(Paused):
        workshop.launch(Acting(("search", 18), asking("pause")))
    assert opened == []


def test_a_pause_asked_for_while_the_report_is_made_leaves_it_unopened_too(
    workshop: Any, watching: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However soon after the last look at the database."""
    score, display = report.score_most, watching()

    def asks(*arguments: Any) -> Any:
        with workshop.store() as store:
            store.request("tiny", "pause")
        return score(*arguments)

    monkeypatch.setattr("glora_search.report.score_most", asks)
    monkeypatch.setattr("glora_search.control.POLL", 3600.0)
    with pytest.raises(Paused):
        workshop.launch(display)
    assert not any("Opening" in note for note in display.notes)


def test_workers_may_change_between_runs_and_nothing_else(workshop: Any, finished: Any) -> None:
    with pytest.raises(Paused):
        workshop.launch(Acting(SEARCH, hits(signal.SIGINT)))
    with pytest.raises(NameTaken, match=r"workers\.threads: 1 -> 2"):
        workshop.launch(workers={"threads": 2, "timeout": 300.0})
    workshop.launch(workers={"timeout": 300.0, "attempts": 5})
    assert workshop.found() == finished.found()


def test_a_supernet_is_found_by_its_file_where_the_database_is_new(workshop: Any, finished: Any) -> None:
    workshop.launch()
    before = (workshop.folder / "runs/supernets").glob("*.safetensors").__next__().stat().st_mtime_ns
    for file in workshop.folder.glob("glora.db*"):
        file.unlink()
    workshop.launch()
    after = (workshop.folder / "runs/supernets").glob("*.safetensors").__next__().stat().st_mtime_ns
    assert after == before, "not trained again"
    assert workshop.found() == finished.found()


def test_what_is_finished_stays_so(finished: Any) -> None:
    with finished.store() as store:
        store.set_state("tiny", State.PAUSED, "a signal after the end")
        assert (store.campaign("tiny").state, store.campaign("tiny").error) == (State.FINISHED, None)


def test_a_search_that_was_resumed_took_as_long_as_its_candidates(workshop: Any, asking: Any) -> None:
    with pytest.raises(Paused):
        workshop.launch(Acting(SEARCH, asking("pause")))
    with sqlite3.connect(workshop.db) as connection:  # as if each of eight had taken an hour; two were known already
        connection.execute("UPDATE candidates SET seconds = 3600 WHERE finished_at IS NOT NULL")
        connection.execute("UPDATE candidates SET created_at = '2000-01-01 00:00:00.000000' WHERE number > 1")
    connection.close()
    assert 6 * 3600 < workshop.launch()["seconds"]["search"] < 7 * 3600


def test_a_deleted_campaign_is_gone_and_what_it_evaluated_is_known(workshop: Any, finished: Any, command: Any) -> None:
    workshop.launch()
    assert command("delete", "tiny", "--db", workshop.db).code == 0
    assert command("status", "tiny", "--db", workshop.db).code == 3
    with workshop.store() as store:
        assert store.campaigns() == []
    from supernet.evaluation import Scorer

    called: list[str] = []
    before = Scorer.score
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Scorer, "score", lambda self, genome, *_: called.append(genome) or before(self, genome))
        report = workshop.launch()
    assert workshop.found() == finished.found()
    searched = {row[1] for row in finished.found()}
    reported = {report["genome"], report["method"]["genome"]}
    final = len(report["finalists"]) + 2 * len(reported)  # finalists in float32, then these on both splits
    assert len([genome for genome in called if genome in searched]) == final, "none was evaluated for the search"
