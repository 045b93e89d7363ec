"""What a person asks of a campaign reaches whoever runs it, and the strongest request stays."""

from itertools import product

import pytest

from db.control import WEAKEST_FIRST
from db.errors import NotFound
from db.store import Store, open_store


def test_nothing_is_requested_at_first(searched: Store) -> None:
    assert searched.requested("digits") is None
    searched.clear_request("digits")


def test_a_request_reaches_another_process_and_stands_until_cleared(searched: Store, database: str) -> None:
    with open_store(database, create=False) as shell:
        shell.request("digits", "pause")
    assert (searched.requested("digits"), searched.requested("digits")) == ("pause", "pause")
    searched.clear_request("digits")
    assert searched.requested("digits") is None


@pytest.mark.parametrize(("one", "other"), list(product(WEAKEST_FIRST, repeat=2)))
def test_the_stronger_of_two_requests_stays(searched: Store, one: str, other: str) -> None:
    searched.request("digits", one)
    searched.request("digits", other)
    assert searched.requested("digits") == max(one, other, key=["pause", "stop", "cancel"].index)


def test_a_cleared_campaign_takes_a_weak_request_again(searched: Store) -> None:
    searched.request("digits", "cancel")
    searched.clear_request("digits")
    searched.request("digits", "pause")
    assert searched.requested("digits") == "pause"


def test_clearing_what_was_done_does_not_lose_what_was_asked_meanwhile(searched: Store) -> None:
    searched.request("digits", "pause")
    searched.request("digits", "cancel")
    searched.clear_request("digits", only="pause")
    assert searched.requested("digits") == "cancel"
    searched.clear_request("digits", only="cancel")
    assert searched.requested("digits") is None


def test_requests_are_of_one_campaign(searched: Store, begin) -> None:
    begin(searched, "other")
    searched.request("other", "stop")
    assert searched.requested("digits") is None


def test_an_unknown_campaign_or_command_is_refused(searched: Store) -> None:
    for ask in (lambda: searched.request("digit", "stop"), lambda: searched.requested("digit")):
        with pytest.raises(NotFound, match="did you mean 'digits'"):
            ask()
    with pytest.raises(ValueError, match="expected one of pause, stop, cancel, got 'halt'"):
        searched.request("digits", "halt")


def test_a_request_does_not_look_like_progress(searched: Store) -> None:
    before = searched.campaign("digits")
    searched.request("digits", "stop")
    assert searched.campaign("digits") == before
