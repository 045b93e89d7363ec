"""What an experiment found, beside what it had to find."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One line of the table in docs/reliability.md."""

    what: str  # "results lost, of 120"
    bar: str  # what must be found, for people: "0", "under 100 ms"
    found: str
    met: bool
    timed: bool = False  # a time or a memory: measured by `make chaos`, never by a test


def exactly(what: str, found: object, expected: object) -> Figure:
    """A count or an equality."""
    return Figure(what, str(expected), str(found), found == expected)


def at_most(what: str, found: float, bound: float, unit: str = "", timed: bool = False) -> Figure:
    return Figure(what, f"at most {_number(bound)}{_gap(unit)}", f"{_number(found)}{_gap(unit)}", found <= bound, timed)


def below(what: str, found: float, bound: float, unit: str) -> Figure:
    """A time or a memory."""
    return Figure(what, f"under {_number(bound)} {unit}", f"{_number(found)} {unit}", found < bound, timed=True)


def _gap(unit: str) -> str:
    return f" {unit}" if unit else ""


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3g}" if abs(value) < 100 else f"{value:,.0f}"


def unmet(figures: list[Figure], timed: bool = True) -> list[Figure]:
    """Those that are not met; without `timed`, only counts and equalities are looked at."""
    return [figure for figure in figures if not figure.met and (timed or not figure.timed)]
