"""A figure of the table: a ratio that was measured, and what it has to be."""

from __future__ import annotations

from dataclasses import dataclass
from operator import ge, le

# What results.json holds at its top: the figures that the project is judged by.
HEADLINES = (
    "candidate_over_plain",
    "raced_over_plain",
    "raced_evolution_over_plain",
    "step_over_floor",
    "candidate_speedup",
    "raced_speedup",
    "campaign_speedup",
    "export_over_plain",
)


@dataclass(frozen=True)
class Ratio:
    """The median of the rounds' own ratios, and the middle half of them: between low and high."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Figure:
    """One line of the table, and one number of results.json."""

    key: str
    what: str
    value: float
    unit: str = "x"
    spread: tuple[float, float] | None = None
    bar: str = ""  # for people: "at most 1.10"
    met: bool = True


def beside(key: str, what: str, found: Ratio | float, unit: str = "x") -> Figure:
    """A figure without a bar."""
    if isinstance(found, Ratio):
        return Figure(key, what, found.value, unit, (found.low, found.high))
    return Figure(key, what, found, unit)


def at_most(key: str, what: str, found: Ratio | float, bound: float, unit: str = "x") -> Figure:
    return _barred(beside(key, what, found, unit), f"at most {bound:g}", le(_value(found), bound))


def at_least(key: str, what: str, found: Ratio | float, bound: float, unit: str = "x") -> Figure:
    return _barred(beside(key, what, found, unit), f"at least {bound:g}", ge(_value(found), bound))


def _value(found: Ratio | float) -> float:
    return found.value if isinstance(found, Ratio) else found


def _barred(figure: Figure, bar: str, met: bool) -> Figure:
    return Figure(figure.key, figure.what, figure.value, figure.unit, figure.spread, bar, met)
