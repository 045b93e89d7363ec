"""Which finalist is exported, and which of the others the validation split cannot tell from it.

    best            the first by the rank's key
    smallest_tied   the one with the fewest parameters of those with  mean d <= s(d) / sqrt(n)                    (1)
    surely_better   the best, if  mean d > z s(d) / sqrt(n)  for the method that training kept near; else the method (2)
                    P[T > z] = 0.05 / m,  T Student's with n - 1 degrees of freedom

d_i is the finalist's loss on image i less that of the best one: both saw the same images, so that what makes an image
hard for everybody drops out. (1) is the rule of one standard error (Breiman et al. 1984, section 3.4.3) on pairs. (2)
keeps the method unless the search's m candidates, were none of them better, would hardly have shown such a difference:
the best of hundreds on few images is partly the luckiest, and the method drew only once (Bonferroni's bound). Which
finalists are said to be tied with the chosen one is McNemar's test, on the images that one of the two got right.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite
from typing import Any

from glora_search.finalists import Finalist
from glora_search.ranking import Choice, Rank, place
from glora_search.statistics import TIED, mcnemar, paired_error, wilson
from supernet.evaluation import QUANTUM

DOUBT = 0.05  # that some candidate looks surely better although none is better


def choose(
    finalists: Sequence[Finalist], rank: Rank, how: Choice, method: str | None = None, candidates: int = 1
) -> Finalist:
    """One of the finalists, of which there is at least one.

    `method` is the genome that (2) asks for, `candidates` is m, among which the finalists were the best.
    """
    ranked = in_order(finalists, rank)
    best = ranked[0]
    if how == "best":
        return best
    if how == "surely_better":
        methods = (each for each in ranked if each.candidate.genome == method)
        return next((each for each in methods if not behind(each, best) > sure(candidates, len(best.quanta))), best)
    return min((each for each in ranked if is_near(each, best)), key=lambda each: each.candidate.params)


def in_order(finalists: Sequence[Finalist], rank: Rank) -> list[Finalist]:
    """Best first."""
    return sorted(finalists, key=lambda each: place(rank, each.score.accuracy, each.loss, each.candidate.id))


def behind(one: Finalist, other: Finalist) -> float:
    """How much the one's loss is above the other's, in standard errors: t of equation (1), 0 where nothing differs."""
    differences = (one.quanta - other.quanta) * QUANTUM / one.looks
    mean, error = float(differences.mean()), paired_error(differences)
    return mean / error if error else inf * mean if mean else 0.0


def sure(candidates: int, examples: int) -> float:
    """z of equation (2), in standard errors; of fewer than two examples nothing is sure."""
    from scipy.special import stdtrit  # a quarter of a second that no first candidate should wait for

    return -float(stdtrit(examples - 1, DOUBT / max(1, candidates))) if examples > 1 else inf


def is_near(one: Finalist, best: Finalist) -> bool:
    """Equation (1)."""
    return behind(one, best) <= 1


def compared(finalists: Sequence[Finalist], chosen: Finalist, rank: Rank) -> dict[str, Any]:
    """What the report says of the finalists, as plain data; accuracies are those of the images themselves."""
    n, best = len(chosen.quanta), in_order(finalists, rank)[0]
    above = behind(chosen, best)
    rows = [_row(each, chosen) for each in finalists]
    tied = [row for row in rows if row["p"] is not None and row["p"] > TIED]
    smallest = min(tied, key=lambda row: row["params"], default=None)
    return {
        "val_examples": n,
        "val_interval": list(wilson(chosen.score.accuracy, n)),
        "finalists": rows,
        "best": {"id": best.candidate.id, "standard_errors": above if isfinite(above) else None},
        "tied": {
            "count": len(tied),
            "smallest": smallest and {name: smallest[name] for name in ("id", "params", "val_accuracy")},
            "test": f"mcnemar, p > {TIED}",
        },
    }


def _row(each: Finalist, chosen: Finalist) -> dict[str, Any]:
    """A finalist, with the p-value of its being as often right as the chosen one."""
    score = each.score
    return {
        "id": each.candidate.id,
        "params": each.candidate.params,
        "val_accuracy": score.accuracy,
        "val_loss": score.loss,
        "view_loss": each.loss if each.looks > 1 else None,
        "p": None if each is chosen else mcnemar(chosen.score.correct, score.correct, len(each.quanta)),
    }
