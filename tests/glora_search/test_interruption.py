"""Whatever stops a campaign, what was recorded is kept, and going on gives what would have been found at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from db.records import State
from glora_search.campaign import Paused
from supernet.errors import BadInput, Corrupt, Missing
from supernet.verification import verify


@pytest.fixture
def task(tmp_path: Path, write_task: Callable[[Path], Path]) -> dict[str, Any]:
    """Sections of a config whose data set may be broken."""
    return {"data": {"root": str(write_task(tmp_path / "greys"))}}


# ---- the test set is opened by the report alone


@pytest.mark.parametrize("gone", [pytest.param("test.txt", marks=pytest.mark.experiment), "images/test/007.png"])
def test_without_its_test_set_a_campaign_fails_at_the_report_and_is_resumed(
    workshop: Any, task: dict[str, Any], watching: Callable[..., Any], gone: str
) -> None:
    file = Path(task["data"]["root"]) / gone
    kept = file.read_bytes()
    file.unlink()
    first = watching()
    with pytest.raises(Missing, match=file.name.replace(".", r"\.")):
        workshop.launch(first, **task)
    assert {"train supernet", "search"} <= set(first.bars)
    with workshop.store() as store:
        campaign, progress = store.campaign("tiny"), store.progress("tiny")
        before = store.candidates("tiny")
    assert campaign.state == State.FAILED
    assert file.name in (campaign.error or "")
    assert campaign.report is None
    assert (progress.proposed, progress.completed) == (0, 18)
    assert not (workshop.folder / "runs/tiny/export").exists()

    file.write_bytes(kept)
    again = watching()
    report = workshop.launch(again, **task)
    assert "train supernet" not in again.bars
    with workshop.store() as store:
        assert store.campaign("tiny").state == State.FINISHED
        assert store.campaign("tiny").error is None
        after = store.candidates("tiny")
    assert [each.seconds for each in after] == [each.seconds for each in before]  # none was evaluated again
    assert [each.finished_at for each in after] == [each.finished_at for each in before]
    assert report["test_examples"] == 60
    verify(Path(report["export"]))


def test_a_test_image_that_was_trained_on_fails_the_report(workshop: Any, task: dict[str, Any]) -> None:
    folder = Path(task["data"]["root"])
    with (folder / "test.txt").open("a") as file:
        file.write("images/train800/000.png 0\n")
    with pytest.raises(BadInput, match=r"images/train800/000\.png"):
        workshop.launch(**task)


# ---- Ctrl-C


@pytest.mark.parametrize("moment", [("train supernet", 2), ("search", 8)], ids=str)
def test_an_interrupted_campaign_is_paused_and_resumes_to_the_same(
    workshop: Any, finished: Any, watching: Callable[..., Any], moment: tuple[str, int]
) -> None:
    with pytest.raises(Paused):
        workshop.launch(watching(interrupt=moment))
    with workshop.store() as store:
        assert store.campaign("tiny").state == State.PAUSED
        kept = store.progress("tiny")
    assert kept.completed == (moment[1] if moment[0] == "search" else 0)
    again = watching()
    report = workshop.launch(again)
    assert ("train supernet" in again.bars) == (moment[0] != "search")
    assert workshop.found() == finished.found()
    assert report["chosen"] == finished.launch()["chosen"]
    assert report["test_accuracy"] == finished.launch()["test_accuracy"]
    with workshop.store() as store:
        assert store.campaign("tiny").state == State.FINISHED


# ---- files that are not what was written


def test_a_supernet_that_was_altered_is_refused_and_once_removed_trained_again(
    workshop: Any, finished: Any, watching: Callable[..., Any]
) -> None:
    with pytest.raises(Paused):
        workshop.launch(watching(interrupt=("search", 8)))
    (path,) = (workshop.folder / "runs/supernets").glob("*.safetensors")
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(Corrupt, match="altered"):
        workshop.launch()
    with workshop.store() as store:
        assert store.campaign("tiny").state == State.FAILED
    path.unlink()
    workshop.launch()
    assert workshop.found() == finished.found()
