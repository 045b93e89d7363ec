"""The end of a campaign: what was chosen, beside its baselines, and the next commands to try."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from rich.table import Table

from glora_search.display import minutes
from glora_search.output import console, write_value
from glora_search.statistics import TIED, wilson
from supernet.account import all_merged, said

TITLES = {  # of baselines; another one is a fixed method, as a subnet of the supernet
    "linear_probe": "linear probe",
    "random_subnet": "random subnet (mean of 5)",
    "largest_subnet": "largest subnet",
}


def show_summary(name: str, report: Mapping[str, Any], chosen: str, options: str) -> None:
    """The report on stdout, as a table or as JSON."""
    if chosen == "json":
        write_value(report)
        return
    screen = console()
    screen.print(_table(name, report))
    seconds, export = report["seconds"], shlex.quote(report["export"])
    for line in (
        f"candidate {report['chosen']}, {report['params']:,} parameters, {_became(report)} {_how(report)} "
        f"(training {minutes(seconds['training'])}, search {minutes(seconds['search'])})",
        *_kept(report),
        *_tied(report),
        f"export: {report['export']}",
        *([f"picture: {report['picture']}"] if report.get("picture") else []),
        "",
        "Next:",
        f"  glora-search verify {export}",
        f"  glora-search candidates {name} --front{options}",
        f"  glora-search show {name} {report['chosen']}{options}",
        f"  glora-search predict {export} IMAGE.png",
    ):
        screen.print(line, highlight=False, markup=False, soft_wrap=True)


def _table(name: str, report: Mapping[str, Any]) -> Table:
    n, val = report["test_examples"], report.get("val_examples")  # the second is not in reports of earlier versions
    table = Table(title=f"{name}: test split of {n:,} examples, opened once", title_justify="left")
    for heading in ("subnet", "parameters", "validation", "95% interval", "test", "95% interval"):
        table.add_column(heading, justify="left" if heading == "subnet" else "right")
    for key, row in report["baselines"].items():
        mean = key == "random_subnet"  # an interval is of one model's answers, not of a mean over models
        validation = _figures(row["val_accuracy"], None if mean else val)
        table.add_row(
            TITLES.get(key, f"{key} itself"),
            f"{row['params']:,.0f}",
            *validation,
            *_figures(row["test_accuracy"], None if mean else n),
        )
    figures = *_figures(report["val_accuracy"], val), *_figures(report["test_accuracy"], n)
    table.add_section()
    table.add_row("[bold]searched subnet[/]", f"{report['params']:,}", *(f"[bold]{text}[/]" for text in figures))
    if again := report.get("refit"):
        tested = _figures(again["test_accuracy"], n)
        table.add_row("searched subnet, refitted", f"{report['params']:,}", "-", "-", *tested)
    return table


def _figures(accuracy: float, n: int | None) -> tuple[str, str]:
    """An accuracy and its interval; none where there is no number of examples that it is of."""
    if n is None:
        return f"{accuracy:.2%}", "-"
    low, high = wilson(accuracy, n)
    return f"{accuracy:.2%}", f"{low:.1%} to {high:.1%}"


def _tied(report: Mapping[str, Any]) -> list[str]:
    """A line on the finalists that the validation split cannot tell from the chosen one."""
    tied, others = report.get("tied"), len(report.get("finalists", ())) - 1
    if tied is None or others < 1:
        return []
    smallest = tied["smallest"]
    if smallest is None:
        return [f"none of the {others} other finalists is statistically tied with it (McNemar, p > {TIED})"]
    are = "is" if tied["count"] == 1 else "are"
    return [
        f"{tied['count']} of the {others} other finalists {are} statistically tied with it (McNemar, p > {TIED}); the "
        f"smallest of them is candidate {smallest['id']} with {smallest['params']:,} parameters"
    ]


def _kept(report: Mapping[str, Any]) -> list[str]:
    """A line on the candidate that ranks first, where another is exported."""
    best = report.get("best")  # not in reports of earlier versions
    if best is None or best["id"] == report["chosen"]:
        return []
    errors = best["standard_errors"]  # none where the losses differ by a constant
    lower = "lower" if errors is None or errors > 0 else "higher"
    by = "" if errors is None else f"{abs(errors):.1f} standard errors "
    method = report["method"]
    itself = f", {method['name']} itself" if method and method["genome"] == report["genome"] else ""
    return [
        f"candidate {best['id']} ranks first, its validation loss {by}{lower}; search.choice takes this one{itself}"
    ]


def _became(report: Mapping[str, Any]) -> str:
    """`merged`, or what became of which genes and what then loads the export."""
    outcomes = report.get("outcomes", {})  # not in reports of earlier versions, which merged all of it
    return "merged" if all_merged(outcomes) else f"exported as a program for torch.export.load ({said(outcomes)})"


def _how(report: Mapping[str, Any]) -> str:
    """What happened to the weights between the search and the export."""
    again = report.get("refit")
    return f"after {again['epochs']} epochs of refit, {minutes(again['seconds'])}" if again else "without retraining"
