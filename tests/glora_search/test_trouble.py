"""Which errors are the world's and pause a campaign, and which are its own and fail it."""

from __future__ import annotations

import errno
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from safetensors import SafetensorError

from db.errors import LeaseLost, NameTaken, NotFound, StoreError
from db.records import State
from db.store import Store
from glora_search.control import Paused
from glora_search.driving import STALE_AFTER, driving, utc
from glora_search.trouble import trouble
from supernet.errors import BadInput

FULL = OSError(errno.ENOSPC, "No space left on device", "runs/x")


def as_bad_input(cause: Exception) -> BadInput:
    """As the supernet raises it: the cause is hidden from readers, and there."""
    try:
        try:
            raise cause
        except Exception:
            raise BadInput("runs/x cannot be written.") from None
    except BadInput as error:
        return error


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (StoreError("the disk that holds the database is full"), "the disk that holds the database is full"),
        (FULL, "runs/x cannot be used: No space left on device; make room or give access"),
        (as_bad_input(FULL), "runs/x cannot be written."),
        (as_bad_input(OSError(errno.EROFS, "Read-only file system")), "runs/x cannot be written."),
        (
            as_bad_input(SafetensorError("I/O error: no space (os error 28)")),
            "runs/x cannot be written.",
        ),
        (as_bad_input(FileNotFoundError(errno.ENOENT, "No such file")), None),
        (as_bad_input(SafetensorError("invalid header")), None),
        (BadInput("a setting"), None),
        (NameTaken("another config"), None),
        (NotFound("no campaign"), None),
        (LeaseLost("another driver"), None),
        (ValueError("ours"), None),
    ],
    ids=repr,
)
def test_what_the_world_did_is_told_from_what_we_did(error: Exception, sentence: str | None) -> None:
    assert trouble(error) == sentence


def test_only_a_pause_that_nobody_asked_for_has_a_reason() -> None:
    assert str(Paused("tiny")) == "tiny"
    assert Paused("tiny").reason == ""
    assert Paused("tiny", "the disk is full").reason == "the disk is full"


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def failing(verb: str, error: Exception) -> None:
        """One of the store's verbs raises from now on."""

        def fail(*arguments: Any, **options: Any) -> None:
            raise error

        monkeypatch.setattr(Store, verb, fail)

    return failing


def test_a_campaign_pauses_and_says_why_in_its_row(workshop: Any, finished: Any, failing: Any, command: Any) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("supernet.checkpoint.save_file", lambda *arguments, **options: (_ for _ in ()).throw(FULL))
        with pytest.raises(Paused, match="No space left"):
            workshop.launch()
    with workshop.store() as store:
        campaign = store.campaign("tiny")
    assert campaign.state == State.PAUSED
    assert "No space left" in (campaign.error or "")
    workshop.launch()
    assert workshop.found() == finished.found()


def test_a_store_that_takes_nothing_more_hides_no_reason(workshop: Any, failing: Any) -> None:
    gone = StoreError("the database answered: server closed the connection")

    def all_at_once(*arguments: Any) -> None:
        for verb in ("propose", "set_state", "release", "beat"):
            failing(verb, gone)
        raise gone

    failing("begin_search", gone)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Store, "begin_search", all_at_once)
        with pytest.raises(Paused, match="server closed the connection"):
            workshop.launch()


def test_a_lease_that_cannot_be_given_back_goes_stale(finished: Any, failing: Any) -> None:
    with finished.store() as store:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Store, "release", lambda *arguments: (_ for _ in ()).throw(StoreError("gone")))
            with driving(store, "tiny"):
                pass
        with driving(store, "tiny", lambda: utc() + STALE_AFTER + timedelta(seconds=1)):
            pass
