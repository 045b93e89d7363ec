"""The rows of the suite `all` as plain data: to each its learning rate, how it merges and how long a forward takes.

A method that cannot be had here has a row that says why. Of `latency` an entry is one batch size: milliseconds, medians
over the rounds and means over seeds, and `before` and `after`, these as multiples of the plain backbone's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import mean
from typing import Any

from glora_search.comparison.methods import Fixed
from glora_search.comparison.outcome import Compared, Outcome
from glora_search.comparison.standing import rows
from glora_search.comparison.suites import Suite
from supernet.deployment import Deployment, Latency

Row = Mapping[str, Any]
MANY = 20  # epochs: fewer, or one seed, and no ranking is claimed


def deployed_rows(found: Compared, suite: Suite) -> list[dict[str, Any]]:
    """One for each method that was asked for, in the suite's order."""
    known = {row["method"]: row | _more(found[row["method"]], suite) for row in rows(found, suite)}
    known |= {method: {"method": method, "left_out": why} for method, why in found.left_out.items()}
    return [known[method] for method in suite.rows if method in known]


def is_smoke(found: Compared, suite: Suite) -> bool:
    """Whether so little was trained that the rows have no order: few epochs, or one seed."""
    base = found[suite.against]
    return len(base) < 2 or base[0].scores.epochs < MANY


def flat(lines: Sequence[Row]) -> list[dict[str, Any]]:
    """The same without lists in it, for a table of one figure a cell."""
    return [dict(_cells(line)) for line in lines]


def _more(outcomes: Sequence[Outcome], suite: Suite) -> dict[str, Any]:
    row, deployments = suite.rows[outcomes[0].method], [_of(outcome) for outcome in outcomes]
    return {
        "learning_rate_factor": row.rate if isinstance(row, Fixed) else 1.0,
        "mergeable": _worst(each.mergeable for each in deployments),
        "genes": {name: round(mean(each.genes[name] for each in deployments)) for name in deployments[0].genes},
        "latency": [_latency(each) for each in zip(*(each.latencies for each in deployments), strict=True)],
        "left_out": None,
    }


def _of(outcome: Outcome) -> Deployment:
    assert outcome.deployment is not None, f"the deployment of {outcome.method} was measured"
    return outcome.deployment


def _worst(found: Iterator[str]) -> str:
    """Of the subnets of several seeds: `yes` or `no` if all say so."""
    distinct = set(found)
    return distinct.pop() if len(distinct) == 1 else "partly"


def _latency(seeds: Sequence[Latency]) -> dict[str, Any]:
    """Of one batch size."""
    names = {"plain_ms": "plain", "before_ms": "before", "after_ms": "after"}
    names |= {"before": "times_before", "after": "times_after"}
    return {
        "batch": seeds[0].batch,
        **{key: mean(getattr(each, name) for each in seeds) for key, name in names.items()},
    }


def _cells(line: Row) -> Iterator[tuple[str, Any]]:
    """(column, figure): `wilson_low`, `latency_16_after_ms`, `genes_merged`."""
    for name, value in line.items():
        if name in ("wilson", "interval"):
            low, high = value or (None, None)
            yield from ((f"{name}_low", low), (f"{name}_high", high))
        elif name == "genes":
            yield from ((f"genes_{each}", count) for each, count in value.items())
        elif name == "latency":
            for entry in value:
                yield from ((f"latency_{entry['batch']}_{key}", each) for key, each in entry.items() if key != "batch")
        elif name == "seeds":
            yield name, len(value)
        elif name != "longer":
            yield name, value
