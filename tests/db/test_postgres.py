"""What is PostgreSQL's alone: its refusals keep the password, many may make the tables at once."""

import re
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import UTC, datetime

import pytest
from sqlalchemy import insert, text

from db import lookup, schema
from db.engine import connect, writing
from db.errors import NotFound, StoreError
from db.models import SupernetRow
from db.proposals import propose
from db.records import Supernet
from db.store import Store, open_store


@pytest.fixture
def database(postgres: Callable[..., AbstractContextManager[str]]) -> Iterator[str]:
    with postgres() as address:
        yield address


def test_a_server_that_refuses_a_password_does_not_show_it(store: Store, database: str) -> None:
    with store._engine.begin() as connection:
        connection.execute(text("CREATE ROLE locked LOGIN PASSWORD 'pa55'"))
    wrong = "".join(reversed("terc3s"))
    with pytest.raises(StoreError, match="password authentication failed") as caught:
        open_store(database.replace("postgres@", f"locked:{wrong}@"))
    assert wrong not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(
        StoreError, match=r"permission denied .* grant you that right"
    ):  # the right one: what fails is the right to the tables
        open_store(database.replace("postgres@", "locked:pa55@")).campaigns()


def test_a_server_that_takes_no_writes_says_so(searched: Store, database: str) -> None:
    with open_store(f"{database}&options=-cdefault_transaction_read_only%3Don") as standby:
        assert standby.campaign("digits").name == "digits"
        with pytest.raises(StoreError, match="is read-only; pass the --db of a server that takes writes"):
            standby.set_state("digits", "paused")


def test_an_unknown_database_is_a_sentence(database: str) -> None:
    with pytest.raises(StoreError, match='database "nowhere" does not exist; see that it can be reached'):
        open_store(re.sub("glora_[0-9]+", "nowhere", database))


def test_a_database_without_our_tables_is_left_as_it_was(bare_postgres: str) -> None:
    with pytest.raises(NotFound, match="holds no campaigns"):
        open_store(bare_postgres, create=False)
    engine = connect(bare_postgres)
    assert schema.current(engine) is None
    engine.dispose()


def test_several_processes_may_make_the_tables_at_once(bare_postgres: str, crowd) -> None:
    assert crowd("make", bare_postgres, 4) == [{"campaigns": 0}] * 4


def test_a_connection_that_the_server_ended_is_replaced(searched: Store, database: str) -> None:
    other = connect(database)
    with other.begin() as connection:
        others = "pid <> pg_backend_pid() AND datname = current_database()"
        connection.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))
    other.dispose()
    assert searched.campaign("digits").name == "digits"


def test_a_supernet_that_two_campaigns_record_at_once_is_the_latest(store: Store) -> None:
    one, two = (Supernet("recipe", name, f"runs/{name}", 10, 1.5, datetime.now(UTC)) for name in ("one", "two"))
    with ThreadPoolExecutor(1) as second, writing(store._engine) as first:
        first.execute(insert(SupernetRow).values(**asdict(one)))
        waiting = second.submit(store.record_supernet, two)
        assert wait([waiting], timeout=0.2).not_done == {waiting}
        first.commit()
        assert waiting.result(10) == two
    assert store.supernet("recipe") == two


def test_writes_of_one_campaign_come_one_after_the_other(searched: Store, proposals) -> None:
    with ThreadPoolExecutor(1) as second, writing(searched._engine) as first:
        propose(first, lookup.campaign_id(first, "digits", to_write=True), "digits", 0, proposals(["aaa", "aba"]))
        waiting = second.submit(searched.propose, "digits", 0, proposals(["aaa", "aba"]))
        assert wait([waiting], timeout=0.2).not_done == {waiting}
        first.commit()
        assert waiting.result(10) is None
    assert [candidate.genome for candidate in searched.candidates("digits")] == ["aaa", "aba"]
