"""Which finalist is exported, and which of the others the validation split cannot tell from it.

    best            the first by the rank's key
    smallest_tied   the one with the fewest parameters of those with  mean d <= s(d) / sqrt(n)                    (1)

d_i is the finalist's loss on image i less that of the best one: both saw the same images, so that what makes an image
hard for everybody drops out. (1) is the rule of one standard error (Breiman et al. 1984, section 3.4.3) on pairs. Which
finalists are said to be tied with the chosen one is McNemar's test, on the images that one of the two got right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from glora_search.finalists import Finalist
from glora_search.ranking import Rank, place
from glora_search.statistics import TIED, mcnemar, paired_error, wilson
from supernet.evaluation import QUANTUM


def choose(finalists: Sequence[Finalist], rank: Rank, how: Literal["best", "smallest_tied"]) -> Finalist:
    """One of the finalists, of which there is at least one."""
    ranked = sorted(finalists, key=lambda each: place(rank, each.score.accuracy, each.loss, each.candidate.id))
    if how == "best":
        return ranked[0]
    return min((each for each in ranked if is_near(each, ranked[0])), key=lambda each: each.candidate.params)


def is_near(one: Finalist, best: Finalist) -> bool:
    """Equation (1)."""
    differences = (one.quanta - best.quanta) * QUANTUM / one.looks
    return bool(differences.mean() <= paired_error(differences))


def compared(finalists: Sequence[Finalist], chosen: Finalist) -> dict[str, Any]:
    """What the report says of the finalists, as plain data; accuracies are those of the images themselves."""
    n = len(chosen.quanta)
    rows = [_row(each, chosen) for each in finalists]
    tied = [row for row in rows if row["p"] is not None and row["p"] > TIED]
    smallest = min(tied, key=lambda row: row["params"], default=None)
    return {
        "val_examples": n,
        "val_interval": list(wilson(chosen.score.accuracy, n)),
        "finalists": rows,
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
