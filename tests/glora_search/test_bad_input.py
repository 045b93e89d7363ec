"""A person's mistake ends in a sentence on stderr and an exit code, with nothing written: no row, file or folder."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from glora_search.places import Places

USAGE, NOT_FOUND, INFEASIBLE = 2, 3, 4

Command = Callable[..., Any]


def snapshot(folder: Path) -> dict[str, str]:
    """Every file below with a hash of what it holds; SQLite's shared memory and journal apart."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(("-shm", "-wal")))
    found = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return found | {str(path.relative_to(folder)): "folder" for path in folder.rglob("*") if path.is_dir()}


@pytest.fixture
def folder(tmp_path: Path, config: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a valid config in it, and some data sets that are not."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config()))
    return tmp_path


@pytest.fixture
def refused(command: Command, folder: Path) -> Callable[..., str]:
    def refused(*arguments: object, code: int = USAGE) -> str:
        """What stderr says of a command that is refused and changes nothing."""
        before = snapshot(folder)
        said = command(*arguments)
        assert (said.code, said.out) == (code, ""), said.err
        assert snapshot(folder) == before
        assert said.err.strip()
        assert "Traceback" not in said.err
        return str(said.err)

    return refused


@pytest.fixture
def task(folder: Path) -> Callable[..., str]:
    def task(name: str = "greys", **lists: str) -> str:
        """A VTAB-1K task with the given lists, as an override of the config's data."""
        (folder / name / "images").mkdir(parents=True)
        for number in range(12):
            Image.new("RGB", (8, 8), (number * 20,) * 3).save(folder / name / f"images/{number}.png")
        lines = [f"images/{number}.png {number % 2}\n" for number in range(12)]
        given = {"train800": "".join(lines[:8]), "val200": "".join(lines[8:10]), "test": "".join(lines[10:])} | lists
        for each, text in given.items():
            (folder / name / f"{each}.txt").write_text(text)
        return f"data={{source: vtab, root: {name}}}"

    return task


# ---- launch


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("search.populaton=3", "'population'"),
        ("search.population=many", "search.population"),
        ("search.population=0", "search.population"),
        ("search.mutation_rate=0", "search.mutation_rate"),
        ("data.mean=[123.7, 116.3, 103.5]", "divide by 255"),
        ("data.std=[58.4, 57.1, 57.4]", "divide by 255"),
        ("training.draws=sandwich", "training.subnets = 1"),
        ("training.subnets=25", "a step has 24 images"),
        ("search.mutation_rate=2", "search.mutation_rate"),
        ("training.epochs=0", "training.epochs"),
        ("workers.count=0", "workers.count"),
        ("workers.count=2", "workers.backend"),
        ("space.ranks=[0]", "space.ranks"),
        ("space.ranks=[]", "space.ranks"),
        ("space.forms={F: [none]}", "space.forms"),
        ("space.forms={A: [lora8]}", "lora4"),
        ("space.forms={A: []}", "space.forms.A"),
        ("name=../x", "../x"),
        ("seed=100000000000000000000", "seed"),
        ("nonsense", "KEY=VALUE"),
        ("data.mean=[0.5]", "data.mean"),
        ("data.std=[1, 1, 1, 1]", "data.std"),
        ("data={source: digits, val: 5000}", "data.val"),
        ("backbone.image_size=33", "32 or 48"),
        ("backbone.model=vit_tiny_patch16_22", "vit_tiny_patch16_224"),
        ("backbone.model=resnet18", "VisionTransformer"),
        ("backbone.model=test_vit2", "test_vit2"),
        ("backbone.weights=absent.safetensors", "absent.safetensors"),
        ("backbone.weights=c.yaml", "c.yaml"),
        ("backbone.weights=hub", "hub"),
        ("data={source: vtab, root: absent}", "absent"),
        ("data={source: folder, root: absent}", "absent"),
        ("data={source: vtab}", "data.root"),
    ],
)
def test_a_setting_that_cannot_be_used(refused: Callable[..., str], setting: str, said: str) -> None:
    assert said in refused("launch", "c.yaml", "--set", setting)


def test_weights_that_are_no_weights(refused: Callable[..., str], folder: Path) -> None:
    (folder / "junk.safetensors").write_bytes(b"junk")
    assert "junk.safetensors" in refused("launch", "c.yaml", "--set", "backbone.weights=junk.safetensors")


def test_a_limit_that_no_subnet_meets(refused: Callable[..., str]) -> None:
    least = ["--set", "space.forms={E: [vector]}", "--set", "search.max_parameters=10"]
    said = refused("launch", "c.yaml", *least, code=INFEASIBLE)
    assert "at least" in said


def test_a_generation_without_children(refused: Callable[..., str]) -> None:
    both = ["--set", "search.crossover=0", "--set", "search.mutation=0"]
    assert "children" in refused("launch", "c.yaml", *both)


@pytest.mark.parametrize(
    ("lists", "said"),
    [
        ({"train800": "images/99.png 0\n"}, "images/99.png"),
        ({"train800": ""}, "empty"),
        ({"val200": "\n\n"}, "empty"),
        ({"train800": "images/0.png -1\n"}, "line 1"),
        ({"train800": "images/0.png\n"}, "line 1"),
        ({"val200": "images/0.png 0\n"}, "another split"),
        ({"classes": "cat\ndog\n", "train800": "images/0.png 1\nimages/1.png 2\n"}, "line 2"),
    ],
    ids=str,
)
def test_lists_that_do_not_fit(
    refused: Callable[..., str], task: Callable[..., str], lists: dict[str, str], said: str
) -> None:
    assert said in refused("launch", "c.yaml", "--set", task(**lists))


def test_a_label_that_the_named_task_does_not_have(refused: Callable[..., str], task: Callable[..., str]) -> None:
    said = refused("launch", "c.yaml", "--set", task("svhn", train800="images/0.png 0\nimages/1.png 10\n"))
    assert "line 2: label 10" in said


def test_a_list_that_is_not_there(refused: Callable[..., str], task: Callable[..., str], folder: Path) -> None:
    override = task()
    (folder / "greys/val200.txt").unlink()
    assert "val200.txt" in refused("launch", "c.yaml", "--set", override)


def test_an_image_that_does_not_decode(refused: Callable[..., str], task: Callable[..., str], folder: Path) -> None:
    override = task()
    (folder / "greys/images/3.png").write_bytes(b"no image")
    assert "images/3.png" in refused("launch", "c.yaml", "--set", override)


def test_a_config_that_is_missing_a_folder_or_empty(refused: Callable[..., str], folder: Path) -> None:
    (folder / "empty.yaml").touch()
    for config in ("absent.yaml", folder, "empty.yaml"):
        assert str(config) in refused("launch", config)
        assert str(config) in refused("plan", config)


@pytest.mark.parametrize("runs", ["c.yaml", "c.yaml/runs"])
def test_a_runs_folder_that_cannot_be_written(refused: Callable[..., str], runs: str) -> None:
    assert "--runs" in refused("launch", "c.yaml", "--runs", runs)


@pytest.mark.parametrize(
    ("db", "said"),
    [
        ("absent/glora.db", "absent"),
        (".", "folder"),
        ("c.yaml/glora.db", "c.yaml"),
        ("c.yaml", "not a SQLite database"),
        ("mysql://host/name", "mysql"),
        ("postgresql://me:secret@127.0.0.1:1/name", "127.0.0.1"),
    ],
)
def test_a_database_that_cannot_be_used(refused: Callable[..., str], db: str, said: str) -> None:
    for arguments in (("launch", "c.yaml"), ("list",)):
        sentence = refused(*arguments, "--db", db)
        assert said in sentence
        assert "secret" not in sentence


@pytest.mark.parametrize(
    "arguments",
    [
        ("list",),
        ("status", "tiny"),
        ("candidates", "tiny"),
        ("show", "tiny", 0),
        ("diff", "tiny", 0, 1),
        ("explain", "tiny"),
        ("ablate", "tiny"),
        ("resume", "tiny"),
        ("export", "tiny", "--to", "to"),
        ("db", "check"),
        ("db", "upgrade"),
    ],
    ids=lambda arguments: " ".join(map(str, arguments)),
)
def test_a_database_that_is_not_there_is_not_made(refused: Callable[..., str], arguments: tuple[object, ...]) -> None:
    assert "glora-search.db" in refused(*arguments, code=NOT_FOUND)


@pytest.mark.parametrize("tables", [True, False])
def test_a_check_of_a_database_does_not_show_its_password(
    command: Command, postgres: Callable[..., Any], tables: bool
) -> None:
    with postgres(tables=tables) as address:
        said = command("db", "check", "--db", address.replace("postgres@", "postgres:pa55@"))
    shown = said.out if tables else said.err
    assert said.code == (0 if tables else USAGE)
    assert "postgres:***@" in shown
    assert ("are sound" if tables else "schema none, newest is") in shown
    assert "pa55" not in said.out + said.err


def test_a_limit_that_no_database_can_count_to_is_refused(refused: Callable[..., str]) -> None:
    assert "--limit" in refused("candidates", "tiny", "--limit", 10**30)


# ---- beside a campaign that is finished


@pytest.fixture
def beside(folder: Path, finished: Any, command: Command, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory with a copy of the finished campaign's database, supernet and export."""
    with sqlite3.connect(finished.db) as source, sqlite3.connect(folder / "glora-search.db") as copy:
        source.backup(copy)
    source.close()
    copy.close()
    (folder / "runs/supernets").mkdir(parents=True)
    (supernet,) = finished.folder.glob("runs/supernets/*.safetensors")  # all its campaigns share one recipe
    shutil.copy(supernet, folder / "runs/supernets")
    shutil.copytree(finished.folder / "runs/tiny/export", folder / "export")
    return folder


def execute(folder: Path, statement: str) -> None:
    connection = sqlite3.connect(folder / "glora-search.db")
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_the_name_of_a_campaign_with_another_config(refused: Callable[..., str], beside: Path) -> None:
    said = refused("launch", "c.yaml", "--set", "search.population=7")
    assert "search.population: 6 -> 7" in said
    execute(beside, "UPDATE campaigns SET state = 'failed'")
    said = refused("launch", "c.yaml", "--set", "seed=7")
    assert "stopped early" not in said, "another campaign's failure is not this one's"


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("runs", "files of its own"),
        ("runs/tiny", "files of its own"),
        ("runs/supernets", "files of its own"),
        (".", "files of its own"),
        ("c.yaml/export", "c.yaml is not a folder. Choose another export.to"),
        ("c.yaml", "exists and holds more"),
        ("~nosuchuser/out", "export.to is ~nosuchuser/out"),
    ],
)
def test_an_export_that_could_not_be_written_at_the_end(refused: Callable[..., str], to: str, said: str) -> None:
    assert said in refused("launch", "c.yaml", "--set", f"export.to={to}")


def test_an_export_may_go_below_ones_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Places(Path("runs")).export("tiny", "~/out") == tmp_path / "out"


@pytest.mark.parametrize("name", ["pause", "cancel"])
@pytest.mark.parametrize("left", ["dead", "released"])
def test_a_request_that_nobody_would_hear(refused: Callable[..., str], beside: Path, name: str, left: str) -> None:
    execute(beside, "UPDATE campaigns SET state = 'searching'")
    execute(beside, f"UPDATE leases SET holder = {'NULL' if left == 'released' else repr(dead_process())}")
    assert "Nobody runs the campaign 'tiny' now" in refused(name, "tiny")


def test_a_request_that_the_next_run_or_perhaps_somebody_hears(command: Command, beside: Path) -> None:
    execute(beside, "UPDATE campaigns SET state = 'searching'")
    execute(beside, "UPDATE leases SET holder = NULL")
    assert "Nobody runs it now. It does so when it goes on" in command("stop", "tiny").out
    execute(beside, "UPDATE leases SET holder = 'elsewhere, process 1', heartbeat = '2000-01-01 00:00:00'")
    assert "Nothing was heard of elsewhere, process 1 since 2000-01-01" in command("pause", "tiny").out
    execute(beside, f"UPDATE leases SET heartbeat = '{datetime.now(UTC):%Y-%m-%d %H:%M:%S}'")
    assert "heard" not in command("cancel", "tiny").out


def dead_process() -> str:
    """The holder of a lease, which has ended."""
    return subprocess.run(
        [sys.executable, "-c", "from glora_search.processes import this_process; print(this_process())"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def test_a_campaign_whose_process_was_killed_is_deleted_at_once(command: Command, beside: Path) -> None:
    execute(
        beside, f"UPDATE leases SET holder = '{dead_process()}', heartbeat = '{datetime.now(UTC):%Y-%m-%d %H:%M:%S}'"
    )
    assert command("delete", "tiny").code == 0
    assert command("status", "tiny").code == NOT_FOUND


@pytest.mark.parametrize("command_", ["status", "candidates", "resume"])
def test_a_campaign_that_is_not_there(refused: Callable[..., str], beside: Path, command_: str) -> None:
    assert "'tiny'" in refused(command_, "tinny", code=NOT_FOUND)


@pytest.mark.parametrize(
    "arguments", [("show", "tiny", 99), ("diff", "tiny", 0, 99), ("export", "tiny", "--id", 99, "--to", "to")], ids=str
)
def test_a_candidate_that_is_not_there(
    refused: Callable[..., str], beside: Path, arguments: tuple[object, ...]
) -> None:
    assert "0 to 17" in refused(*arguments, code=NOT_FOUND)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--where", "acuracy > 0.5"), "accuracy"),
        (("--where", "accuracy >"), "^"),
        (("--where", ""), "condition"),
        (("--where", "blocks.0.attn.qkv.Q = 'none'"), "blocks.0.attn.qkv"),
        (("--order-by", "acuracy"), "accuracy"),
        (("--limit", "-1"), "--limit"),
        (("--format", "xml"), "--format"),
    ],
    ids=str,
)
def test_a_query_with_a_typo(refused: Callable[..., str], beside: Path, arguments: tuple[str, ...], said: str) -> None:
    assert said in refused("candidates", "tiny", *arguments)


@pytest.mark.parametrize(
    "arguments", ["list", "status tiny", "candidates tiny", "launch c.yaml", "resume tiny", "db upgrade"]
)
def test_a_schema_of_a_later_version(refused: Callable[..., str], beside: Path, arguments: str) -> None:
    execute(beside, "UPDATE glora_search_version SET version_num = '9999'")
    assert "9999" in refused(*arguments.split())


@pytest.mark.parametrize("status", ["failed", "proposed"])
def test_a_candidate_without_figures_is_not_exported(refused: Callable[..., str], beside: Path, status: str) -> None:
    execute(beside, f"UPDATE candidates SET status = '{status}' WHERE number = 1")
    assert status in refused("export", "tiny", "--id", 1, "--to", "to")


def test_an_explanation_of_more_than_racing_leaves_certain(
    refused: Callable[..., str], command: Command, beside: Path, config: Callable[..., dict[str, Any]]
) -> None:
    search = config()["search"]
    certain = max(search["parents"], search["finalists"])
    assert command("explain", "tiny", "--top", certain + 1).code == 0, "all were scored"
    execute(beside, "UPDATE candidates SET status = 'raced' WHERE number = (SELECT max(number) FROM candidates)")
    assert f"its best {certain} are certain" in refused("explain", "tiny", "--top", certain + 1)
    assert command("explain", "tiny", "--top", certain).code == 0


def test_an_export_over_what_is_not_one(refused: Callable[..., str], beside: Path) -> None:
    (beside / "mine").mkdir()
    (beside / "mine/thesis.txt").write_text("years of work")
    for to in ("mine", "c.yaml"):
        assert f"{to} exists" in refused("export", "tiny", "--to", to)
    assert "c.yaml/to" in refused("export", "tiny", "--to", "c.yaml/to")
    assert "not both" in refused("export", "tiny", "--best", "--id", 1, "--to", "to")


@pytest.mark.parametrize("damage", ["altered", "truncated", "removed"])
def test_a_supernet_that_is_not_what_was_trained(refused: Callable[..., str], beside: Path, damage: str) -> None:
    (path,) = beside.glob("runs/supernets/*.safetensors")
    content = path.read_bytes()
    path.unlink()
    if damage != "removed":
        path.write_bytes(content[:1000] if damage == "truncated" else content[:-1] + bytes([content[-1] ^ 1]))
    assert str(path.relative_to(beside)) in refused("export", "tiny", "--id", 0, "--to", "to")


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "export.json"])
@pytest.mark.parametrize("damage", ["altered", "removed"])
def test_an_export_that_is_not_what_was_written(
    refused: Callable[..., str], beside: Path, file: str, damage: str
) -> None:
    path = beside / "export" / file
    content = path.read_bytes()
    path.unlink()
    if damage == "altered":
        path.write_bytes(b"{" if file == "export.json" else content[:-1] + bytes([content[-1] ^ 1]))
    for arguments in (("verify", "export"), ("evaluate", "export", "--data", "digits"), ("predict", "export", "x.png")):
        assert f"{file}" in refused(*arguments)


def test_a_folder_that_is_no_export(refused: Callable[..., str], folder: Path) -> None:
    for place in ("absent", ".", "c.yaml"):
        assert "is no export" in refused("verify", place)
        assert "is no export" in refused("evaluate", place, "--data", "digits")
        assert "is no export" in refused("predict", place, "x.png")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("nonsense", "vtab:PATH"),
        ("vtab:absent", "absent"),
        ("vtab:", "data.root"),
        ("absent.yaml", "absent.yaml"),
        ("vtab:pets", "cat, dog"),
    ],
)
def test_an_export_evaluated_on_data_that_do_not_fit(
    refused: Callable[..., str], beside: Path, task: Callable[..., str], data: str, said: str
) -> None:
    task("pets", classes="cat\ndog\n")
    assert said in refused("evaluate", "export", "--data", data)


@pytest.mark.parametrize("image", ["absent.png", "c.yaml", "."])
def test_a_prediction_for_what_is_no_image(refused: Callable[..., str], beside: Path, image: str) -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(beside / "good.png")
    assert image in refused("predict", "export", "good.png", image)


def test_the_manifest_names_every_file_of_the_export(beside: Path) -> None:
    manifest = json.loads((beside / "export/export.json").read_text())
    assert set(manifest["sha256"]) == {path.name for path in (beside / "export").iterdir()} - {"export.json"}
