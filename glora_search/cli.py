"""The command line: names, options and help of every command. What they do is in `glora_search.commands`.

Data goes to stdout, progress and messages to stderr. Exit codes: 0 ok, 2 usage, 3 not found, 4 infeasible,
5 interrupted and resumable, 1 anything else. Heavy imports wait until a command runs, so that `--help` stays fast.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from glora_search.exits import civil
from glora_search.places import DEFAULT_DB as DB
from glora_search.places import DEFAULT_RUNS as RUNS

app = typer.Typer(
    name="glora-search",
    help="Train a supernet once, search it, and export the best subnet, merged into plain weights where it can be.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
db_app = typer.Typer(
    help="The database: upgrade its schema, check it, back it up.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(db_app, name="db")


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


class Report(StrEnum):
    TABLE = "table"
    JSON = "json"


class By(StrEnum):
    GENE = "gene"
    KIND = "kind"
    DEPTH = "depth"
    LAYER = "layer"


class SplitName(StrEnum):
    TRAIN = "train"
    VAL = "val"
    TEST = "test"


Db = Annotated[str, typer.Option("--db", envvar="GLORA_SEARCH_DB", help="Database: a file, or a postgresql:// URL.")]
Runs = Annotated[Path, typer.Option("--runs", help="Folder of supernets and exports.")]
Rows = Annotated[Format, typer.Option("--format", help="How rows are written to stdout.")]
Summary = Annotated[Report, typer.Option("--format", help="How the result is written to stdout.")]
Config = Annotated[Path, typer.Argument(help="YAML config, such as examples/digits.yaml.")]
Name = Annotated[str, typer.Argument(help="Name of the campaign.")]
Rename = Annotated[str | None, typer.Option("--name", help="Name of the campaign, instead of the config's.")]
Override = Annotated[
    list[str] | None, typer.Option("--set", help="Override a setting: search.generations=5. May be repeated.")
]
Budget = Annotated[
    int | None,
    typer.Option(
        "--budget", min=0, help="Start from all that is known and score so many more; 0: none (search.budget)."
    ),
]
Folder = Annotated[Path, typer.Argument(help="Folder of an export.")]


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    if show:
        from importlib.metadata import version

        print(version("glora-search"))
        raise typer.Exit


@app.command()
def launch(
    config: Config,
    name: Rename = None,
    override: Override = None,
    budget: Budget = None,
    db: Db = DB,
    runs: Runs = RUNS,
    format: Summary = Report.TABLE,  # noqa: A002
) -> None:
    """Train (or reuse) the supernet, search it, export the best. The same command again resumes."""
    with civil():
        from glora_search.commands import launching

        launching.launch(config, name, _with_budget(override, budget), db, runs, format)


def _with_budget(override: list[str] | None, budget: int | None) -> list[str]:
    """`--budget N` is short for `--set search.budget=N`."""
    return [*(override or ()), *([] if budget is None else [f"search.budget={budget}"])]


@app.command()
def resume(name: Name, db: Db = DB, runs: Runs = RUNS, format: Summary = Report.TABLE) -> None:  # noqa: A002
    """Go on with a campaign that was paused or failed, from what the database keeps."""
    with civil():
        from glora_search.commands import launching

        launching.resume(name, db, runs, format)


@app.command()
def pause(name: Name, db: Db = DB) -> None:
    """Ask a running campaign to start no new candidate, and to end once what is in flight is recorded."""
    with civil():
        from glora_search.commands import lifecycle

        lifecycle.ask(name, "pause", db)


@app.command()
def stop(name: Name, db: Db = DB) -> None:
    """Ask a running campaign to finish its generation, and to choose, report and export."""
    with civil():
        from glora_search.commands import lifecycle

        lifecycle.ask(name, "stop", db)


@app.command()
def cancel(name: Name, db: Db = DB) -> None:
    """Ask a running campaign to end at once."""
    with civil():
        from glora_search.commands import lifecycle

        lifecycle.ask(name, "cancel", db)


@app.command()
def delete(name: Name, db: Db = DB) -> None:
    """Remove a campaign and its candidates from the database. Evaluations, supernets and exports stay."""
    with civil():
        from glora_search.commands import lifecycle

        lifecycle.delete(name, db)


@app.command()
def retry(name: Name, db: Db = DB) -> None:
    """Queue failed candidates again, and forget the generations that were chosen without them."""
    with civil():
        from glora_search.commands import lifecycle

        lifecycle.retry(name, db)


@app.command()
def plan(config: Config, name: Rename = None, override: Override = None) -> None:
    """Print the size of the space, the feasible range and the expected time, as JSON. Changes nothing."""
    with civil():
        from glora_search.commands import launching

        launching.plan(config, name, override or ())


@app.command("list")
def list_(db: Db = DB, format: Rows = Format.TABLE) -> None:  # noqa: A002
    """List campaigns."""
    with civil():
        from glora_search.commands import looking

        looking.list_campaigns(db, format)


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(help="Name of the campaign; without it, all of them.")] = None,
    db: Db = DB,
    format: Rows = Format.TABLE,  # noqa: A002
) -> None:
    """Show where a campaign stands: state, progress, best candidate, test accuracy, export."""
    with civil():
        from glora_search.commands import looking

        looking.status(name, db, format) if name else looking.list_campaigns(db, format)


@app.command()
def candidates(
    name: Name,
    where: Annotated[
        str | None, typer.Option(help="Filter: \"accuracy > 0.9 and blocks.3.mlp.fc1.A = 'lora4'\".")
    ] = None,
    order_by: Annotated[str | None, typer.Option(help="Field to sort by; -FIELD or FIELD:desc descends.")] = None,
    front: Annotated[bool, typer.Option("--front", help="Only those that none beats in accuracy and size.")] = False,
    limit: Annotated[int | None, typer.Option(min=0, max=2**31, help="At most so many rows.")] = None,
    db: Db = DB,
    format: Rows = Format.TABLE,  # noqa: A002
) -> None:
    """Query the candidates of a campaign."""
    with civil():
        from glora_search.commands import looking

        looking.candidates(name, where, order_by, front, limit, db, format)


@app.command()
def show(
    name: Name,
    candidate: Annotated[int, typer.Argument(help="Id of the candidate.")],
    db: Db = DB,
    format: Rows = Format.TABLE,  # noqa: A002
) -> None:
    """Show one candidate: figures, and its forms by layer."""
    with civil():
        from glora_search.commands import looking

        looking.show(name, candidate, db, format)


@app.command()
def diff(
    name: Name,
    one: Annotated[int, typer.Argument(help="Id of a candidate.")],
    other: Annotated[int, typer.Argument(help="Id of another.")],
    db: Db = DB,
    format: Rows = Format.TABLE,  # noqa: A002
) -> None:
    """Show two candidates side by side, with the genes in which they differ."""
    with civil():
        from glora_search.commands import looking

        looking.diff(name, one, other, db, format)


@app.command()
def explain(
    name: Name,
    top: Annotated[int, typer.Option("--top", min=1, help="How many of the best candidates are looked at.")] = 10,
    by: Annotated[By, typer.Option("--by", help="Which genes matter, or where the parameters went.")] = By.GENE,
    db: Db = DB,
    runs: Runs = RUNS,
    format: Rows = Format.TABLE,  # noqa: A002
) -> None:
    """Show what a search found: which genes matter, and the forms and parameters of every layer, also as a picture."""
    with civil():
        from glora_search.commands import explaining

        explaining.explain(name, top, by, db, runs, format)


@app.command()
def ablate(
    name: Name,
    candidate: Annotated[int | None, typer.Argument(help="Id of the candidate; without it, the chosen one.")] = None,
    gene: Annotated[str, typer.Option("--gene", help="Which genes, such as `*.A` or `blocks.3.*`.")] = "*",
    forms: Annotated[bool, typer.Option("--forms", help="Try every other form of a gene, not `none` alone.")] = False,
    db: Db = DB,
    runs: Runs = RUNS,
    format: Rows = Format.TABLE,  # noqa: A002
) -> None:
    """Score a candidate with one gene changed at a time: what each is worth."""
    with civil():
        from glora_search.commands import ablating

        ablating.ablate(name, candidate, gene, forms, db, runs, format)


@app.command()
def export(
    name: Name,
    to: Annotated[Path, typer.Option("--to", help="Folder to write.")],
    candidate: Annotated[int | None, typer.Option("--id", help="Id of the candidate to export.")] = None,
    best: Annotated[bool, typer.Option("--best", help="Export the chosen candidate (the default).")] = False,
    db: Db = DB,
    runs: Runs = RUNS,
) -> None:
    """Export a candidate: a plain timm folder where all of it merges, else a program for torch; and a model card."""
    with civil():
        from glora_search.commands import exporting

        exporting.export_candidate(name, candidate, best, to, db, runs)


@app.command()
def verify(folder: Folder, format: Summary = Report.TABLE) -> None:  # noqa: A002
    """Reload an export in a process that knows only timm and torch, and compare it with the subnet."""
    with civil():
        from glora_search.commands import exporting

        exporting.verify_export(folder, format)


@app.command()
def evaluate(
    folder: Folder,
    data: Annotated[str, typer.Option("--data", help="`digits`, SOURCE:ROOT such as vtab:PATH, or a config's path.")],
    split: Annotated[SplitName, typer.Option("--split", help="Which split to score.")] = SplitName.TEST,
    format: Summary = Report.TABLE,  # noqa: A002
) -> None:
    """Score an export on a data set."""
    with civil():
        from glora_search.commands import exporting

        exporting.evaluate_export(folder, data, split, format)


@app.command()
def predict(
    folder: Folder,
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    format: Rows = Format.TABLE,  # noqa: A002
) -> None:
    """Classify images with an export."""
    with civil():
        from glora_search.commands import exporting

        exporting.predict_images(folder, images, format)


@app.command()
def compare(
    config: Config,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="How many seeds, each with splits of its own.")] = 3,
    first_seed: Annotated[int, typer.Option("--first-seed", min=0, max=2**31, help="The first of them.")] = 101,
    methods: Annotated[
        str, typer.Option("--methods", help="Rows, as in `lora,random`, or `all`: every method of the field.")
    ] = "default",
    override: Override = None,
    db: Db = DB,
    runs: Runs = RUNS,
    format: Rows = Format.TABLE,  # noqa: A002
) -> None:
    """Compare the search with fixed methods, random search and the reference's recipe. Again: go on."""
    with civil():
        from glora_search.commands import comparing

        comparing.run(config, seeds, first_seed, methods, override or (), db, runs, format)


@app.command()
def doctor(db: Db = DB, format: Rows = Format.TABLE) -> None:  # noqa: A002
    """Check this machine: versions, devices, precision, Ray, the database."""
    with civil():
        from glora_search.commands import upkeep

        upkeep.doctor(db, format)


@db_app.command()
def upgrade(db: Db = DB) -> None:
    """Bring a database to the newest schema."""
    with civil():
        from glora_search.commands import upkeep

        upkeep.upgrade_database(db)


@db_app.command()
def check(db: Db = DB) -> None:
    """Check a database: schema, integrity, orphaned rows."""
    with civil():
        from glora_search.commands import upkeep

        upkeep.check_database(db)


@db_app.command()
def backup(
    to: Annotated[Path, typer.Argument(help="File to write; it must not exist.")],
    db: Db = DB,
) -> None:
    """Copy a SQLite database while it is in use."""
    with civil():
        from glora_search.commands import upkeep

        upkeep.backup_database(db, to)


def main() -> None:
    """The console script."""
    app()
