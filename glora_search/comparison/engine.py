"""The comparison: row by row, seed by seed, first what the others are compared with.

What is finished is kept, and never done again.
"""

from __future__ import annotations

from collections.abc import Sequence

from glora_search.campaign import Pools
from glora_search.comparison.family import Family, family
from glora_search.comparison.fixed import fixed, forget, probed
from glora_search.comparison.ledger import Ledger
from glora_search.comparison.methods import Fixed, Probed, Searched
from glora_search.comparison.outcome import Compared, Outcome
from glora_search.comparison.pace import longer_epochs, numerics_of, pace_of
from glora_search.comparison.recipes import require_comparable
from glora_search.comparison.searched import searched
from glora_search.comparison.suites import DEFAULT, Suite
from glora_search.display import Display
from glora_search.places import Places
from glora_search.settings import CampaignSettings
from supernet.errors import BadInput, Corrupt, Infeasible, Missing
from supernet.numerics import from_dict
from workers.pools import open_pool


def compare(
    settings: CampaignSettings,
    methods: Sequence[str],
    seeds: Sequence[int],
    db: str,
    places: Places,
    display: Display,
    pools: Pools = open_pool,
    suite: Suite = DEFAULT,
) -> Compared:
    """Every method under every seed, from wherever the comparison stands.

    Raises BadInput, Infeasible or NameTaken before anything is written, and Paused when interrupted.
    """
    require_comparable(settings)
    ledger = Ledger(places.comparison(settings.name, suite.kind), settings)
    order = sorted(methods, key=lambda method: method != suite.against)
    todo = [(seed, method) for seed in seeds for method in order if ledger.outcome(method, seed) is None]
    left_out: dict[str, str] = {}
    if todo:
        places.require_writable()
        with pools(settings.workers) as pool:
            first = family(settings, todo[0][0], pool, db, places, display, suite)
            with ledger.held():
                if suite.longer:
                    _measure(first, {method for _, method in todo}, ledger)
                for seed in dict.fromkeys(seed for seed, _ in todo):
                    relatives = (
                        first if seed == todo[0][0] else family(settings, seed, pool, db, places, display, suite)
                    )
                    for method in (method for each, method in todo if each == seed and method not in left_out):
                        left_out |= _finish(relatives, method, ledger)
    kept = [method for method in methods if method not in left_out]
    return Compared({method: [_kept(ledger, method, seed) for seed in seeds] for method in kept}, left_out)


def _measure(family: Family, methods: set[str], ledger: Ledger) -> None:
    """The pace of each fixed method, once, before anything runs."""
    rows = {name: row for name, row in family.suite.rows.items() if name in methods and isinstance(row, Fixed)}
    unknown = {name: row for name, row in rows.items() if ledger.longer(name) is None}
    numerics = numerics_of(family) if unknown else None
    for name, row in unknown.items():
        assert numerics is not None
        pace = pace_of(family, row, numerics)
        epochs = longer_epochs(family.settings, pace, len(family.inputs.data.train))
        ledger.keep_longer(name, epochs, pace)
        family.display.note(
            f"{name}: a step takes {pace.fixed:.3f} s, one of the supernet {pace.supernet:.3f} s and a candidate "
            f"{pace.candidate:.3f} s: {epochs} epochs take as long as ours' training and search."
        )


def _finish(family: Family, method: str, ledger: Ledger) -> dict[str, str]:
    """Nothing, or the method and why it is left out: it cannot be had here, and the others can."""
    try:
        outcome = _outcome(family, method, ledger)
    except (BadInput, Infeasible) as error:
        # a file that is missing or damaged is no trait of the method
        if not family.suite.deployed or method == family.suite.against or isinstance(error, (Missing, Corrupt)):
            raise
        family.display.note(f"{method} is left out: {error}")
        return {method: str(error)}
    ledger.keep(outcome)
    forget(family, method)
    family.display.note(f"{method}, seed {outcome.seed}: {outcome.scores.val_accuracy:.2%} on val, kept.")
    return {}


def _outcome(family: Family, method: str, ledger: Ledger) -> Outcome:
    row, seed = family.suite.rows[method], family.settings.seed
    if isinstance(row, Searched):
        return searched(family, method, row)
    numerics = from_dict(dict(_kept(ledger, family.suite.against, seed).numerics))  # all rows of a seed compute alike
    if isinstance(row, Probed):
        return probed(family, method, numerics)
    longer = ledger.longer(method) if family.suite.longer else None
    assert longer is not None or not family.suite.longer, "measured before"
    return fixed(family, method, row, numerics, longer)


def _kept(ledger: Ledger, method: str, seed: int) -> Outcome:
    outcome = ledger.outcome(method, seed)
    assert outcome is not None, f"{method} of seed {seed} is finished"
    return outcome
