"""The comparison: row by row, seed by seed, ours first. What is finished is kept, and never done again."""

from __future__ import annotations

from collections.abc import Sequence

from glora_search.campaign import Pools
from glora_search.comparison.family import Family, family
from glora_search.comparison.fixed import fixed, forget, probed
from glora_search.comparison.ledger import Ledger
from glora_search.comparison.methods import METHODS, OURS, Fixed, Probed, Searched
from glora_search.comparison.outcome import Found, Outcome
from glora_search.comparison.pace import longer_epochs, numerics_of, pace_of
from glora_search.comparison.recipes import require_comparable
from glora_search.comparison.searched import searched
from glora_search.display import Display
from glora_search.places import Places
from glora_search.settings import CampaignSettings
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
) -> Found:
    """Every method under every seed, from wherever the comparison stands.

    Raises BadInput, Infeasible or NameTaken before anything is written, and Paused when interrupted.
    """
    require_comparable(settings)
    ledger = Ledger(places.comparison(settings.name), settings)
    order = sorted(methods, key=lambda method: method != OURS)
    todo = [(seed, method) for seed in seeds for method in order if ledger.outcome(method, seed) is None]
    if todo:
        places.require_writable()
        with pools(settings.workers) as pool:
            first = family(settings, todo[0][0], pool, db, places, display)
            with ledger.held():
                _measure(first, {method for _, method in todo}, ledger)
                for seed in dict.fromkeys(seed for seed, _ in todo):
                    relatives = first if seed == todo[0][0] else family(settings, seed, pool, db, places, display)
                    for method in (method for each, method in todo if each == seed):
                        _finish(relatives, method, ledger)
    return {method: [_kept(ledger, method, seed) for seed in seeds] for method in methods}


def _measure(family: Family, methods: set[str], ledger: Ledger) -> None:
    """The pace of each fixed method, once, before anything runs."""
    rows = {name: row for name, row in METHODS.items() if name in methods and isinstance(row, Fixed)}
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


def _finish(family: Family, method: str, ledger: Ledger) -> None:
    outcome = _outcome(family, method, ledger)
    ledger.keep(outcome)
    forget(family, method)
    family.display.note(f"{method}, seed {outcome.seed}: {outcome.scores.val_accuracy:.2%} on val, kept.")


def _outcome(family: Family, method: str, ledger: Ledger) -> Outcome:
    row, seed = METHODS[method], family.settings.seed
    if isinstance(row, Searched):
        return searched(family, method, row)
    numerics = from_dict(dict(_kept(ledger, OURS, seed).numerics))  # all rows of a seed compute alike
    if isinstance(row, Probed):
        return probed(family, method, numerics)
    longer = ledger.longer(method)
    assert longer is not None, "measured before"
    return fixed(family, method, row, numerics, longer)


def _kept(ledger: Ledger, method: str, seed: int) -> Outcome:
    outcome = ledger.outcome(method, seed)
    assert outcome is not None, f"{method} of seed {seed} is finished"
    return outcome
