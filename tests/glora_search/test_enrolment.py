"""A campaign is found again under the settings that it began with, also by a version that has more of them."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from db.errors import NameTaken
from glora_search.commands.launching import resume
from glora_search.control import Paused
from glora_search.settings import parse, recalled
from supernet.errors import BadInput


def rewritten(workshop: Any, sql: str, *values: Any) -> None:
    """Changes the database behind the program's back."""
    with sqlite3.connect(workshop.db) as connection:
        connection.execute(sql, values)
    connection.close()


def forget(workshop: Any, *keys: str) -> None:
    """As if the campaign had been launched by a version without these settings of the search."""
    with workshop.store() as store:
        config = dict(store.campaign("tiny").config)
    config["search"] = {key: value for key, value in config["search"].items() if key not in keys}
    rewritten(workshop, "UPDATE campaigns SET config = ?", json.dumps(config))


def test_a_campaign_from_before_a_setting_was_there_is_found_again(workshop: Any) -> None:
    report = workshop.launch()
    forget(workshop, "racing", "lag", "budget")
    assert workshop.launch() == report


def test_a_campaign_from_when_races_went_by_rounds_is_found_again(workshop: Any) -> None:
    report = workshop.launch()
    with workshop.store() as store:
        config = dict(store.campaign("tiny").config)
    before = {key: value for key, value in config["search"].items() if key != "lag"} | {"round": 4}
    rewritten(workshop, "UPDATE campaigns SET config = ?", json.dumps(config | {"search": before}))
    assert workshop.launch() == report
    with pytest.raises(BadInput, match="unknown setting"):
        workshop.launch(search={"round": 4})


EARLIER = {"rank": "accuracy", "first": "trained", "choice": "best"}  # what a search did before it could be said


def test_a_campaign_from_before_it_could_be_said_ranks_by_accuracy_and_begins_as_it_was_trained(workshop: Any) -> None:
    workshop.launch(search=EARLIER)
    before = workshop.found()
    forget(workshop, "rank", "first", "views", "choice")
    with workshop.store() as store:
        config = store.campaign("tiny").config
    assert recalled(config, "tiny") == workshop.settings(search=EARLIER)
    with pytest.raises(NameTaken, match=r"search\.rank: accuracy -> loss\n  search\.first: trained -> stratified"):
        workshop.launch(search={"rank": "loss", "first": "stratified"})
    rewritten(workshop, "UPDATE campaigns SET state = 'paused', report = NULL")
    rewritten(workshop, "DELETE FROM candidates WHERE generation > 0")
    resume("tiny", workshop.db, workshop.places.runs, "json")
    assert workshop.found() == before, "it went on as it had begun"


@pytest.mark.parametrize("other", [{"racing": False}, {"lag": 3}], ids=str)
def test_what_changes_no_number_may_change_between_two_runs(workshop: Any, other: dict[str, Any]) -> None:
    report = workshop.launch()
    assert workshop.launch(search=other) == report


@pytest.mark.parametrize(
    "then",
    [{"training": {"draws": "sandwich", "subnets": 1}}, {"data": {"std": [1.2, 1.2, 1.2]}}],
    ids=str,
)
def test_what_was_valid_when_a_campaign_began_is_so_for_ever(workshop: Any, command: Any, then: Any) -> None:
    """A younger rule is for what is launched now."""
    workshop.launch()
    with workshop.store() as store:
        config = dict(store.campaign("tiny").config)
    for section, values in then.items():
        config[section] = config[section] | values
    with pytest.raises(BadInput):
        parse(config, "a config of today")
    rewritten(workshop, "UPDATE campaigns SET config = ?", json.dumps(config))
    assert recalled(config, "tiny").model_dump(mode="json") == config
    resume("tiny", workshop.db, workshop.places.runs, "json")
    assert command("explain", "tiny", "--top", 3, "--db", workshop.db).code == 0


def test_where_the_export_goes_may_change_until_there_is_one(workshop: Any, watching: Any, tmp_path: Path) -> None:
    with pytest.raises(Paused):
        workshop.launch(watching(interrupt=("train supernet", 1)))
    elsewhere = str(tmp_path / "elsewhere")
    report = workshop.launch(export={"to": elsewhere})
    assert report["export"] == elsewhere
    assert workshop.launch(export={"to": elsewhere}) == report
    with pytest.raises(NameTaken, match=r"export\.to: .*elsewhere -> third"):
        workshop.launch(export={"to": "third"})


def test_what_changes_numbers_may_not(workshop: Any) -> None:
    workshop.launch()
    forget(workshop, "racing")
    with pytest.raises(NameTaken, match=r"search\.mutation_rate: 0\.05 -> 0\.3"):
        workshop.launch(search={"mutation_rate": 0.3})


def test_a_search_on_a_supernet_of_another_version_is_not_trained_for(workshop: Any, watching: Any) -> None:
    workshop.launch()
    rewritten(workshop, "UPDATE campaigns SET state = 'paused', report = NULL")
    rewritten(workshop, "UPDATE supernets SET recipe = 'of another version'")
    watched = watching()
    with pytest.raises(BadInput, match="another version of glora-search trained"):
        workshop.launch(watched)
    assert watched.bars == []
