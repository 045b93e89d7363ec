"""The store's experiments at sizes of seconds, on both databases, and each with a fault that it must find."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos import database
from chaos.figures import Figure, unmet


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """None for a file in the experiment's folder."""
    if request.param == "sqlite":
        yield None
        return
    with request.getfixturevalue("postgres")() as address:
        yield address


def missed(figures: list[Figure]) -> list[str]:
    """What was found otherwise than it must be, times aside."""
    return [f"{figure.what}: {figure.found}" for figure in unmet(figures, timed=False)]


def test_a_crowd_of_writers_and_a_reader_do_not_fail_each_other(tmp_path: Path, url: str | None) -> None:
    assert missed(database.transactions(tmp_path, processes=6, each=20, url=url)) == []


def test_writers_that_do_not_say_so_are_found_out(tmp_path: Path) -> None:
    found = missed(database.transactions(tmp_path, processes=6, each=20, how="deferred"))
    assert any(line.startswith("errors of 6 writers") for line in found)


def test_every_campaign_is_claimed_once(tmp_path: Path, url: str | None) -> None:
    assert missed(database.claims(tmp_path, processes=4, claims=20, url=url)) == []


def test_looking_first_and_then_claiming_is_found_out(tmp_path: Path, url: str | None) -> None:
    found = missed(database.claims(tmp_path, processes=4, claims=20, how="naively", url=url))
    assert any(line.startswith("campaigns claimed twice") for line in found)


def test_kills_of_a_writer_lose_nothing(tmp_path: Path, url: str | None) -> None:
    assert missed(database.writer_kills(tmp_path, kills=8, url=url)) == []


def test_acknowledging_too_soon_is_found_out(tmp_path: Path, url: str | None) -> None:
    found = missed(database.writer_kills(tmp_path, kills=1, how="before", url=url))
    assert found == ["commits lost, of 1 acknowledged, by 1 kills: 1"]


def test_a_large_campaign_is_looked_at_whole(tmp_path: Path, url: str | None) -> None:
    assert missed(database.large(tmp_path, candidates=1500, repeats=1, url=url)) == []


def test_a_disk_that_refuses_leaves_the_database_sound(tmp_path: Path) -> None:
    assert missed(database.full_disk(tmp_path)) == []


def test_a_damaged_database_is_found_out(tmp_path: Path) -> None:
    found = missed(database.full_disk(tmp_path, damage=True))
    assert any(line.startswith("faults of the database") for line in found)
