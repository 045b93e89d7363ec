"""The end of a campaign: what was chosen, beside its baselines, and the next commands to try."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from glora_search.display import minutes
from glora_search.output import console, write_value
from glora_search.report import wilson

ROWS = (
    ("linear_probe", "linear probe"),
    ("random_subnet", "random subnet (mean of 5)"),
    ("largest_subnet", "largest subnet"),
)


def show_summary(name: str, report: Mapping[str, Any], chosen: str, options: str) -> None:
    """The report on stdout, as a table or as JSON."""
    if chosen == "json":
        write_value(report)
        return
    screen = console()
    screen.print(_table(name, report))
    seconds = report["seconds"]
    for line in (
        f"candidate {report['chosen']}, {report['params']:,} parameters, merged {_how(report)} "
        f"(training {minutes(seconds['training'])}, search {minutes(seconds['search'])})",
        f"export: {report['export']}",
        *([f"picture: {report['picture']}"] if report.get("picture") else []),
        "",
        "Next:",
        f"  glora-search verify {report['export']}",
        f"  glora-search candidates {name} --front{options}",
        f"  glora-search show {name} {report['chosen']}{options}",
        f"  glora-search predict {report['export']} IMAGE.png",
    ):
        screen.print(line, highlight=False, markup=False, soft_wrap=True)


def _table(name: str, report: Mapping[str, Any]) -> Table:
    n = report["test_examples"]
    table = Table(title=f"{name}: test split of {n:,} examples, opened once", title_justify="left")
    for heading in ("subnet", "parameters", "validation", "test", "95% interval"):
        table.add_column(heading, justify="left" if heading == "subnet" else "right")
    for key, title in ROWS:
        row = report["baselines"][key]
        validation, test, interval = _figures(row["val_accuracy"], row["test_accuracy"], n)
        mean = key == "random_subnet"  # the interval is of one model's answers, not of a mean over models
        table.add_row(title, f"{row['params']:,.0f}", validation, test, "-" if mean else interval)
    figures = _figures(report["val_accuracy"], report["test_accuracy"], n)
    table.add_section()
    table.add_row("[bold]searched subnet[/]", f"{report['params']:,}", *(f"[bold]{text}[/]" for text in figures))
    if again := report.get("refit"):
        _, test, interval = _figures(0.0, again["test_accuracy"], n)
        table.add_row("searched subnet, refitted", f"{report['params']:,}", "-", test, interval)
    return table


def _how(report: Mapping[str, Any]) -> str:
    """What happened to the weights between the search and the export."""
    again = report.get("refit")
    return f"after {again['epochs']} epochs of refit, {minutes(again['seconds'])}" if again else "without retraining"


def _figures(validation: float, test: float, n: int) -> tuple[str, str, str]:
    low, high = wilson(test, n)
    return f"{validation:.2%}", f"{test:.2%}", f"{low:.1%} to {high:.1%}"
