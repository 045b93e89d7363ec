"""Which rows a comparison has, as two tables that are kept apart.

| suite     | asks                                                                                                  |
|-----------|-------------------------------------------------------------------------------------------------------|
| `default` | does the search pay, against fixed genomes of its space, random search and the reference's recipe?    |
| `all`     | what does each method of the field need, score and cost where it is used?                             |

A name may stand in both and mean two things: in `all`, `lora` is the field's own, rank 8 on q and v.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from glora_search.comparison.methods import ASKED, METHODS, OURS, Fixed, Method, Probed, Searched, named
from glora_search.comparison.recipes import searching_table
from supernet.errors import BadInput

GLORA = "glora"
FIXED = (
    *("full", "bitfit", "vpt_shallow", "vpt_deep", "lora", "adapter", "adaptformer", "ssf", "repadapter", "prefix"),
    *("parallel_adapter", "scaled_parallel_adapter", "multihead_parallel_adapter", "mam", "control"),
    "multihead_control",
)
RATES: Mapping[str, tuple[float, str]] = {  # of the config's learning rate, which is meant for small modules
    "full": (0.1, "rates that suit small modules are too high for full fine-tuning (arXiv 2409.16434)"),
}


@dataclass(frozen=True)
class Suite:
    """One table of rows, and what is done for each."""

    name: str
    rows: Mapping[str, Method]
    against: str  # the row that the others are compared with, always among them
    kind: str  # names its folder, runs/NAME.KIND, and its campaigns, NAME.KIND.METHOD.SEED
    longer: bool  # fixed rows are trained once more, for as long as the search takes
    limited: bool  # no search may exceed the parameters of the row `lora`
    deployed: bool  # merging and latency are measured, and a row that cannot be had is left out
    asked: frozenset[str] = frozenset()  # rows that come only when they are named


def _field(method: str) -> Method:
    """A method of the field by the name of its table: the whole of it, trained alone."""
    rate, source = RATES.get(method, (1.0, ""))
    return Fixed(partial(named, "largest"), lambda space: space.in_table(method), rate, source)


DEFAULT = Suite(
    "default",
    {**{name: row for name, row in METHODS.items() if name != OURS}, **ASKED, OURS: METHODS[OURS]},
    OURS,
    "compare",
    longer=True,
    limited=True,
    deployed=False,
    asked=frozenset(ASKED),
)
ALL = Suite(
    "all",
    {
        "full": _field("full"),
        "linear_probe": Probed(),
        **{method: _field(method) for method in FIXED if method != "full"},
        "noah": Searched(partial(searching_table, "noah")),
        GLORA: Searched(partial(searching_table, GLORA)),
    },
    GLORA,
    "methods",
    longer=False,
    limited=False,
    deployed=True,
)
SUITES = {suite.name: suite for suite in (DEFAULT, ALL)}


def chosen(text: str) -> tuple[Suite, tuple[str, ...]]:
    """The suite of `default`, `all`, a comma list or `SUITE:` and a comma list; its rows that were named, in its order.

    A list without a suite's name is of the first suite that has all of it. Raises BadInput.
    """
    front, colon, rest = text.partition(":")
    names = {name for part in (rest if colon else text).split(",") if (name := part.strip())}
    if not names and not colon:
        raise BadInput(f"--methods names none. There are {', '.join(DEFAULT.rows)}; or leave it out for all of these.")
    given = {front.strip()} if colon else names & SUITES.keys()
    suite = _one(given) if given else _of(names)
    names -= given
    _require_rows(names, [suite])
    every = bool(given) and not (colon and names)
    wanted = names | {suite.against} | (suite.rows.keys() - suite.asked if every else set())
    return suite, tuple(name for name in suite.rows if name in wanted)


def _one(given: set[str]) -> Suite:
    """The suite of that name."""
    if len(given) > 1:
        raise BadInput(f"--methods: {_listed(SUITES)} are two comparisons: run one after the other.")
    (name,) = given
    if name not in SUITES:
        expected = _listed(SUITES, "or")
        raise BadInput(f"--methods: expected {expected} before the colon, got {name!r}.{_near(name, SUITES)}")
    return SUITES[name]


def _of(names: set[str]) -> Suite:
    """The first suite that has all of the names."""
    for suite in SUITES.values():
        if names <= suite.rows.keys():
            return suite
    _require_rows(names, SUITES.values())
    alone = {suite.name: sorted(name for name in names if not _elsewhere(name, suite)) for suite in SUITES.values()}
    parts = "; ".join(f"only {suite} has {', '.join(rows)}" for suite, rows in alone.items() if rows)
    raise BadInput(f"--methods: one comparison has rows of one table, and these are of two: {parts}. Run them apart.")


def _elsewhere(name: str, suite: Suite) -> bool:
    return any(name in each.rows for each in SUITES.values() if each is not suite)


def _require_rows(names: Iterable[str], suites: Iterable[Suite]) -> None:
    """Raises BadInput on a name that none of the suites has."""
    known = list(dict.fromkeys(name for suite in suites for name in suite.rows))
    for name in sorted(set(names) - set(known)):
        hint = _near(name, known) or f" There are {', '.join(known)}."
        raise BadInput(f"--methods: no method is named {name!r}.{hint}")


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def _listed(names: Iterable[str], word: str = "and") -> str:
    return f" {word} ".join(f"`{name}`" for name in names)
