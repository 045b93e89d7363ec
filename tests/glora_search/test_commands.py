"""The commands, as they are typed: what goes to stdout, and how they end."""

from __future__ import annotations

import csv
import io
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import yaml
from PIL import Image

from supernet.backbone import load_backbone
from supernet.data import load_data
from supernet.data.seen import seen
from supernet.export import Subnet, export
from supernet.settings import BackboneSettings, DataSettings, SpaceSettings
from supernet.training import adapt

Command = Callable[..., Any]


@pytest.fixture
def at(in_finished: Any) -> list[str]:
    """The options that lead to the finished campaign."""
    return ["--db", in_finished.db]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "an image.png"
    Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(path)
    return path


# ---- looking


def test_candidates_as_json_have_the_keys_that_programs_rely_on(command: Command, at: list[str]) -> None:
    said = command("candidates", "tiny", *at, "--format", "json")
    rows = json.loads(said.out)
    assert [row["id"] for row in rows] == list(range(18))
    keys = {"id", "genome", "status", "accuracy", "loss", "params", "generation", "operator"}
    assert all(keys <= set(row) for row in rows)
    assert (said.code, said.err) == (0, "")


@pytest.mark.parametrize("chosen", ["json", "jsonl", "csv", "parquet"])
def test_every_format_carries_the_same_candidates(command: Command, at: list[str], chosen: str) -> None:
    said = command("candidates", "tiny", *at, "--format", chosen)
    if chosen == "json":
        rows = json.loads(said.out)
    elif chosen == "jsonl":
        rows = [json.loads(line) for line in said.out.splitlines()]
    elif chosen == "csv":
        rows = list(csv.DictReader(io.StringIO(said.out)))
    else:
        rows = pytest.importorskip("pyarrow.parquet").read_table(io.BytesIO(said.raw)).to_pylist()
    reference = json.loads(command("candidates", "tiny", *at, "--format", "json").out)
    assert [str(row["id"]) for row in rows] == [str(row["id"]) for row in reference]
    assert [float(row["accuracy"]) for row in rows] == [row["accuracy"] for row in reference]
    assert [row["genome"] for row in rows] == [row["genome"] for row in reference]
    assert [set(row) for row in rows] == [set(row) for row in reference]


def test_candidates_are_filtered_ordered_and_limited(command: Command, at: list[str]) -> None:
    every = json.loads(command("candidates", "tiny", *at, "--format", "json").out)
    median = sorted(row["params"] for row in every)[9]
    few = command(
        "candidates", "tiny", *at, "--where", f"params < {median}", "--order-by", "-accuracy", "--limit", 4,
        "--format", "json",
    )  # fmt: skip
    rows = json.loads(few.out)
    assert len(rows) == 4
    assert all(row["params"] < median for row in rows)
    assert [row["accuracy"] for row in rows] == sorted((row["accuracy"] for row in rows), reverse=True)
    assert json.loads(command("candidates", "tiny", *at, "--limit", 0, "--format", "json").out) == []


def test_the_front_is_what_nothing_beats(command: Command, at: list[str]) -> None:
    every = json.loads(command("candidates", "tiny", *at, "--format", "json").out)
    front = json.loads(command("candidates", "tiny", *at, "--front", "--format", "json").out)

    def beaten(row: dict[str, Any]) -> bool:
        return any(
            (other["accuracy"] >= row["accuracy"] and other["params"] <= row["params"])
            and (other["accuracy"], other["params"]) != (row["accuracy"], row["params"])
            for other in every
        )

    assert {row["id"] for row in front} == {row["id"] for row in every if not beaten(row)}


def test_a_gene_may_be_asked_for(command: Command, at: list[str]) -> None:
    found = command("candidates", "tiny", *at, "--where", "blocks.0.attn.qkv.A = 'lora4'", "--format", "json")
    for row in json.loads(found.out):
        shown = json.loads(command("show", "tiny", row["id"], *at, "--format", "json").out)
        assert shown["forms"]["blocks.0.attn.qkv.A"] == "lora4"


def test_status_as_json_has_the_keys_that_programs_rely_on(command: Command, at: list[str]) -> None:
    found = json.loads(command("status", "tiny", *at, "--format", "json").out)
    assert {"name", "state", "evaluated", "best", "test_accuracy", "export", "baselines"} <= set(found)
    assert (found["name"], found["state"], found["evaluated"]) == ("tiny", "finished", 18)
    assert set(found["baselines"]) == {"linear_probe", "random_subnet", "largest_subnet", "scaled_lora"}


def test_what_is_not_known_yet_is_null(command: Command, workshop: Any, watching: Callable[..., Any]) -> None:
    from glora_search.campaign import Paused

    with pytest.raises(Paused):
        workshop.launch(watching(interrupt=("train supernet", 1)))
    found = json.loads(command("status", "tiny", "--db", workshop.db, "--format", "json").out)
    assert (found["state"], found["evaluated"]) == ("paused", 0)
    assert found["best"] is found["test_accuracy"] is found["export"] is found["baselines"] is None
    assert json.loads(command("candidates", "tiny", "--db", workshop.db, "--format", "json").out) == []


def test_list_and_status_without_a_name_are_the_same(command: Command, at: list[str]) -> None:
    listed = json.loads(command("list", *at, "--format", "json").out)
    assert "tiny" in [row["name"] for row in listed]
    assert json.loads(command("status", *at, "--format", "json").out) == listed


@pytest.mark.parametrize("chosen", ["table", "json", "jsonl", "csv"])
@pytest.mark.parametrize("arguments", [("show", "tiny", 3), ("diff", "tiny", 0, 1), ("status", "tiny"), ("list",)])
def test_looking_writes_to_stdout_in_every_format(
    command: Command, at: list[str], arguments: tuple[Any, ...], chosen: str
) -> None:
    said = command(*arguments, *at, "--format", chosen)
    assert (said.code, said.err) == (0, "")
    assert said.out.strip()


def test_status_names_the_best_as_the_search_ranks(command: Command, workshop: Any, watching: Any) -> None:
    from glora_search.campaign import Paused
    from glora_search.reopening import scored_candidate

    with pytest.raises(Paused):
        workshop.launch(watching(interrupt=("search", 8)))
    with sqlite3.connect(workshop.db) as connection:
        connection.execute("UPDATE candidates SET accuracy = 0.9, loss = 0.9 WHERE number = 1")
        connection.execute("UPDATE candidates SET accuracy = 0.1, loss = 0.0001 WHERE number = 2")
    connection.close()
    with workshop.store() as store:
        assert store.progress("tiny").best != store.progress("tiny", by="loss").best
        done = [each for each in store.candidates("tiny") if each.status == "completed"]
        lowest = min(done, key=lambda each: each.loss)
        assert store.progress("tiny", by="loss").best == lowest
        assert scored_candidate(store, store.campaign("tiny"), None) == lowest
    found = json.loads(command("status", "tiny", "--db", workshop.db, "--format", "json").out)
    assert found["best_id"] == lowest.id


def test_programs_get_the_status_as_it_is(command: Command, at: list[str]) -> None:
    whole = json.loads(command("status", "tiny", *at, "--format", "json").out)
    lines = command("status", "tiny", *at, "--format", "jsonl").out.splitlines()
    assert {line["what"]: line["value"] for line in map(json.loads, lines)} == whole


def test_parquet_holds_values_of_several_kinds_as_texts(command: Command, at: list[str]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = parquet.read_table(io.BytesIO(command("diff", "tiny", 0, 1, *at, "--format", "parquet").raw)).to_pylist()
    same = json.loads(command("diff", "tiny", 0, 1, *at, "--format", "json").out)
    assert [row["what"] for row in rows] == [row["what"] for row in same]
    assert rows[0] == {"what": "params", "0": str(same[0]["0"]), "1": str(same[0]["1"])}


@pytest.mark.parametrize("chosen", ["csv", "parquet"])
def test_no_candidates_have_the_columns_of_some(command: Command, at: list[str], chosen: str) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")

    def columns(*where: str) -> list[str]:
        said = command("candidates", "tiny", *at, *where, "--format", chosen)
        if chosen == "csv":
            return str(said.out.splitlines()[0]).split(",")
        return list(parquet.read_table(io.BytesIO(said.raw)).column_names)

    assert columns("--where", "accuracy > 2") == columns()


def test_diff_names_the_genes_that_differ_and_no_others(command: Command, at: list[str]) -> None:
    rows = json.loads(command("diff", "tiny", 0, 1, *at, "--format", "json").out)
    forms = [json.loads(command("show", "tiny", each, *at, "--format", "json").out)["forms"] for each in (0, 1)]
    genes = {row["what"]: (row["0"], row["1"]) for row in rows if row["what"] in forms[0]}
    assert genes == {name: (forms[0][name], forms[1][name]) for name in forms[0] if forms[0][name] != forms[1][name]}


# ---- carrying


def test_launch_resume_and_plan_as_they_are_typed(command: Command, workshop: Any, tmp_path: Path) -> None:
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(workshop.config()))
    options = ["--db", workshop.db, "--runs", tmp_path / "runs"]
    small = ["--set", "search.generations=0", "--set", "search.population=3", "--name", "typed"]

    planned = json.loads(command("plan", config, *small).out)
    assert planned["candidates"] == 3
    assert planned["parameters"]["smallest"] == 0
    assert not Path(workshop.db).exists()
    assert not (tmp_path / "runs").exists()

    launched = command("launch", config, *small, *options)
    assert launched.code == 0
    for line in ("linear probe", "searched subnet", "tied with it (McNemar", "Next:", "glora-search verify"):
        assert line in launched.out
    assert "Chosen: candidate" in launched.err
    again = command("launch", config, *small, *options, "--format", "json")
    resumed = command("resume", "typed", *options, "--format", "json")
    assert json.loads(again.out) == json.loads(resumed.out)
    assert again.err == resumed.err == ""


def test_an_interrupted_launch_says_how_to_go_on(
    command: Command, workshop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watching: Callable[..., Any]
) -> None:
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(workshop.config()))
    interrupting = watching(interrupt=("search", 4))
    monkeypatch.setattr("glora_search.commands.launching.terminal", lambda stream: interrupting)
    said = command("launch", config, "--db", workshop.db, "--runs", tmp_path / "runs")
    assert said.code == 5
    assert f"glora-search resume tiny --db {workshop.db} --runs {tmp_path / 'runs'}" in said.err
    monkeypatch.undo()
    assert command("resume", "tiny", "--db", workshop.db, "--runs", tmp_path / "runs").code == 0


# ---- exports


def test_an_export_of_a_candidate_is_verified_evaluated_and_predicts(
    command: Command, in_finished: Any, at: list[str], tmp_path: Path, image: Path, greys: Path
) -> None:
    to, runs = tmp_path / "export of 2", ["--runs", in_finished.folder / "runs"]
    assert command("export", "tiny", "--id", 2, "--to", to, *at, *runs).code == 0
    assert command("export", "tiny", "--id", 2, "--to", to, *at, *runs).code == 0  # an earlier one is replaced
    assert json.loads(command("verify", to, "--format", "json").out)["verified"] is True
    scored = json.loads(command("evaluate", to, "--data", f"vtab:{greys}", "--split", "val", "--format", "json").out)
    assert scored["examples"] == 24
    (predicted,) = json.loads(command("predict", to, image, "--format", "json").out)
    assert predicted["image"] == str(image)
    assert predicted["label"] in list("012")
    assert 0 < predicted["probability"] <= 1


@pytest.mark.parametrize(
    ("name", "loader", "became"),
    [
        ("bitfit", "timm loads all", ""),
        ("vpt_deep", "torch.export loads its program", "no plain timm model: 6 prompt compiled"),
        pytest.param(
            "control",
            "torch.export loads its program",
            "no plain timm model: 6 control kept",
            marks=pytest.mark.experiment,
        ),
    ],
)
def test_an_export_is_used_alike_whether_it_merges_compiles_or_is_kept(
    command: Command, weights: Path, trained_of: Any, tmp_path: Path, image: Path, greys: Path,
    name: str, loader: str, became: str,
) -> None:  # fmt: skip
    settings = BackboneSettings(model="test_vit", weights=str(weights), image_size=32)
    backbone, space = load_backbone(settings, classes=3), SpaceSettings(name=name)
    genome = adapt(backbone, space, 0).space.largest
    export(Subnet(backbone, space, trained_of(backbone, space), genome, tuple("012"), "tiny"), tmp_path / "to")
    said = command("verify", tmp_path / "to").out
    assert loader in said
    assert became in said
    assert ("no plain timm model" in said) == bool(became)
    data = ["--data", f"vtab:{greys}", "--split", "val", "--format", "json"]
    assert json.loads(command("evaluate", tmp_path / "to", *data).out)["examples"] == 24
    (predicted,) = json.loads(command("predict", tmp_path / "to", image, "--format", "json").out)
    assert predicted["label"] in list("012")


def test_evaluate_on_the_campaigns_config_gives_the_reported_accuracy(
    command: Command, in_finished: Any, at: list[str], tmp_path: Path
) -> None:
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(in_finished.config()))
    report = json.loads(command("status", "tiny", *at, "--format", "json").out)
    scored = json.loads(command("evaluate", report["export"], "--data", config, "--format", "json").out)
    assert scored["accuracy"] == pytest.approx(report["test_accuracy"], abs=1e-9)
    assert scored["examples"] == 60


@pytest.fixture
def of_digits(weights: Path, trained_of: Any, tmp_path: Path) -> Path:
    """An export of a subnet that was trained on digits, of which few were drawn with a seed of its own."""
    settings = BackboneSettings(model="test_vit", weights=str(weights), image_size=32)
    backbone, space = load_backbone(settings, classes=10), SpaceSettings(name="bitfit")
    genome = adapt(backbone, space, 0).space.largest
    data = DataSettings(source="digits", train=100, val=50, seed=7)
    known = seen(data, load_data(data, 32))
    subnet = Subnet(backbone, space, trained_of(backbone, space), genome, tuple("0123456789"), "tiny", {}, known)
    return export(subnet, tmp_path / "of digits")


def test_evaluate_draws_the_splits_that_the_campaign_drew(command: Command, of_digits: Path, tmp_path: Path) -> None:
    for split, examples in (("test", 1797 - 150), ("val", 50)):
        said = command("evaluate", of_digits, "--data", "digits", "--split", split, "--format", "json")
        assert json.loads(said.out)["examples"] == examples


def test_a_test_split_that_may_hold_images_which_were_trained_on_is_refused(
    command: Command, of_digits: Path, in_finished: Any, tmp_path: Path
) -> None:
    config = tmp_path / "other.yaml"
    config.write_text(yaml.safe_dump(in_finished.config() | {"data": {"source": "digits", "train": 100, "val": 50}}))
    said = command("evaluate", of_digits, "--data", config)
    assert (said.code, said.out) == (2, "")
    assert "are not those that the export was trained and chosen on" in said.err
    manifest = json.loads((of_digits / "export.json").read_text())
    del manifest["data"]  # as earlier versions wrote it
    (of_digits / "export.json").write_text(json.dumps(manifest))
    said = command("evaluate", of_digits, "--data", "digits")
    assert (said.code, said.out) == (2, "")
    assert "does not say which images it was trained on" in said.err
    assert command("evaluate", of_digits, "--data", "digits", "--split", "val").code == 0
    assert command("evaluate", of_digits, "--data", config).code == 0


def test_an_export_knows_the_data_that_its_campaign_had(command: Command, in_finished: Any, at: list[str]) -> None:
    report = json.loads(command("status", "tiny", *at, "--format", "json").out)
    manifest = json.loads((in_finished.folder / report["export"] / "export.json").read_text())
    settings = DataSettings.model_validate(manifest["data"]["settings"])
    assert settings.root == in_finished.config()["data"]["root"]
    assert manifest["data"] == seen(settings, load_data(settings, 32))


def test_a_program_that_would_be_unpickled_is_not_verified(
    command: Command, weights: Path, trained_of: Any, tmp_path: Path
) -> None:
    settings = BackboneSettings(model="test_vit", weights=str(weights), image_size=32)
    backbone, space = load_backbone(settings, classes=3), SpaceSettings(name="control")
    genome = adapt(backbone, space, 0).space.largest
    folder = export(Subnet(backbone, space, trained_of(backbone, space), genome, tuple("012"), "tiny"), tmp_path / "to")
    with ZipFile(folder / "model.pt2", "a") as archive:
        archive.writestr("model/data/constants/custom_obj_0", b"")
    manifest = json.loads((folder / "export.json").read_text())
    manifest["sha256"]["model.pt2"] = sha256((folder / "model.pt2").read_bytes()).hexdigest()
    (folder / "export.json").write_text(json.dumps(manifest))  # whoever alters the one alters the other
    said = command("verify", folder)
    assert (said.code, said.out) == (2, "")
    assert "holds model/data/constants/custom_obj_0" in said.err


def test_the_chosen_candidate_is_exported_with_best_or_without(
    command: Command, in_finished: Any, at: list[str], tmp_path: Path
) -> None:
    runs = ["--runs", in_finished.folder / "runs"]
    with in_finished.store() as store:
        chosen = store.campaign("tiny").report["genome"]
    for extra in ([], ["--best"]):
        command("export", "tiny", "--to", tmp_path / "best", *at, *runs, *extra)
        manifest = json.loads((tmp_path / "best/export.json").read_text())
        assert manifest["genome"] == chosen


# ---- the program itself


def program(*arguments: object) -> list[str]:
    return [sys.executable, "-c", "from glora_search.cli import main; main()", *map(str, arguments)]


@pytest.mark.timeout(300)
def test_a_launch_has_a_fork_of_it_score_before_ray_does(workshop: Any, tmp_path: Path) -> None:
    """As it is typed, so that what it imports and starts on the way stands in nobody's way."""
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(workshop.config(workers={"backend": "ray", "count": 1, "threads": 1})))
    run = subprocess.run(
        program("launch", config, "--db", workshop.db, "--runs", tmp_path / "runs"),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    with workshop.store() as store:
        assert store.candidates("tiny")[0].worker == "forerunner"


def test_the_doctor_says_what_is_here_and_that_ray_starts(command: Command, at: list[str]) -> None:
    from workers.versions import here

    said = command("doctor", *at, "--format", "json")
    assert said.code == 0
    found = {row["check"]: row["found"] for row in json.loads(said.out)}
    assert found["Ray"] == f"starts; workers have {here()}"
    assert found["database"].endswith("sound")
    assert found["numerics"].startswith(("bfloat16, ", "float32, "))


def test_a_reader_that_has_seen_enough_is_no_error(in_finished: Any) -> None:
    import shlex

    command = shlex.join(program("candidates", "tiny", "--db", in_finished.db, "--format", "json"))
    run = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{command} | head -1"], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "[\n", "")


def test_a_pipe_that_is_closed_at_once_is_no_error(in_finished: Any) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    run = subprocess.run(
        program("list", "--db", in_finished.db), stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert (run.returncode, run.stderr) == (0, "")


def test_a_piped_table_has_no_colours_and_whole_ids(in_finished: Any) -> None:
    run = subprocess.run(
        program("candidates", "tiny", "--db", in_finished.db),
        capture_output=True, text=True, check=True, env=os.environ | {"COLUMNS": "12", "NO_COLOR": "1"},
    )  # fmt: skip
    assert "\x1b" not in run.stdout
    assert "…" not in run.stdout
    assert [f" {each} " in run.stdout for each in range(18)] == [True] * 18


@pytest.mark.parametrize("arguments", [["--help"], ["launch", "--help"], ["--version"], ["db", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys; from glora_search.cli import app\n"
        f"try: app({arguments!r})\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'ray', 'sqlalchemy', 'timm', 'deap', 'numpy', 'yaml'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


def test_looking_at_what_the_database_knows_does_not_wait_for_torch(in_finished: Any) -> None:
    script = (
        "import sys; from glora_search.cli import app\n"
        f"try: app({['status', 'tiny', '--db', in_finished.db]!r})\n"
        "except SystemExit: pass\n"
        "sys.exit(', '.join({'torch', 'ray', 'timm', 'deap'} & set(sys.modules)) or 0)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
