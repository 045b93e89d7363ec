"""The rows of a finished comparison as plain data: means over seeds, and how sure each difference from ours is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import mean, stdev
from typing import Any

import numpy as np

from glora_search.comparison.outcome import Found, Outcome, Scores
from glora_search.comparison.statistics import difference, differences, interval
from glora_search.comparison.suites import DEFAULT, Suite
from glora_search.statistics import mcnemar, wilson
from supernet.errors import Corrupt

SEED = 0  # of the bootstrap
MARGIN = 0.005  # a row is beaten if ours is better on average, and surely no more than this much worse


def rows(found: Found, suite: Suite = DEFAULT) -> list[dict[str, Any]]:
    """One for each method, in the order given. Raises Corrupt if test examples differ between methods."""
    return [_row(method, outcomes, found[suite.against]) for method, outcomes in found.items()]


def beaten(line: Mapping[str, Any]) -> bool:
    """Whether ours beats a row, or a row trained longer."""
    return bool(line["difference"] > 0 and line["interval"][0] > -MARGIN)


def _row(method: str, outcomes: Sequence[Outcome], ours: Sequence[Outcome]) -> dict[str, Any]:
    examples = outcomes[0].examples["test"]
    line = _line(outcomes, ours, lambda outcome: outcome.scores)
    longer = all(outcome.longer is not None for outcome in outcomes)
    return {
        "method": method,
        "params": round(mean(outcome.params for outcome in outcomes)),
        **line,
        "search_seconds": mean(outcome.search_seconds for outcome in outcomes),
        "wilson": list(wilson(line["test_accuracy"], examples)),
        "longer": _line(outcomes, ours, _longer) if longer else None,
        "seeds": [_of_seed(outcome) for outcome in outcomes],
    }


def _longer(outcome: Outcome) -> Scores:
    assert outcome.longer is not None
    return outcome.longer


def _line(outcomes: Sequence[Outcome], ours: Sequence[Outcome], of: Callable[[Outcome], Scores]) -> dict[str, Any]:
    """The figures of subnets that were trained one way; those against ours are null for ours itself."""
    scores = [of(outcome) for outcome in outcomes]
    tests = [each.test_accuracy for each in scores]
    return {
        "epochs": round(mean(each.epochs for each in scores)),
        "val_accuracy": mean(each.val_accuracy for each in scores),
        "test_accuracy": mean(tests),
        "test_std": stdev(tests) if len(tests) > 1 else None,
        "train_seconds": mean(each.train_seconds for each in scores),
        **_against(ours, outcomes, scores),
    }


def _against(ours: Sequence[Outcome], outcomes: Sequence[Outcome], scores: Sequence[Scores]) -> dict[str, Any]:
    """The difference ours - theirs in test accuracy, its 95% interval, and McNemar's p of the pooled pairs."""
    if outcomes[0].method == ours[0].method:
        return {"difference": None, "interval": None, "p_value": None}
    _require_one_test(ours, outcomes)
    counts = [outcome.examples["test"] for outcome in ours]
    mine = [outcome.scores.right(count) for outcome, count in zip(ours, counts, strict=True)]
    theirs = [each.right(count) for each, count in zip(scores, counts, strict=True)]
    pairs = differences(mine, theirs, images_of(ours))
    return {
        "difference": difference(pairs),
        "interval": list(interval(pairs, np.random.default_rng(SEED))),
        "p_value": mcnemar(_packed(mine), _packed(theirs), sum(counts)),
    }


def images_of(outcomes: Sequence[Outcome]) -> list[np.ndarray]:
    """(n,) int for each seed: which image a test example is. Rows of earlier versions know their split alone."""
    if all(outcome.test_images is not None for outcome in outcomes):
        return [np.frombuffer(bytes.fromhex(outcome.test_images or ""), np.uint64) for outcome in outcomes]
    places = {split: number for number, split in enumerate(dict.fromkeys(each.splits["test"] for each in outcomes))}
    counts = [outcome.examples["test"] for outcome in outcomes]
    return [
        np.arange(count) + places[outcome.splits["test"]] * max(counts)
        for count, outcome in zip(counts, outcomes, strict=True)
    ]


def _require_one_test(ours: Sequence[Outcome], theirs: Sequence[Outcome]) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        if mine.splits != other.splits:
            raise Corrupt(
                f"The images that {mine.method} and {other.method} saw under seed {mine.seed} are not the same: the "
                "data changed meanwhile. Put it back, or compare anew under --set name=ANOTHER."
            )


def _packed(right: Sequence[np.ndarray]) -> bytes:
    """One bit an example of all seeds, numpy.packbits order."""
    return np.packbits(np.concatenate(right)).tobytes()


def _of_seed(outcome: Outcome) -> dict[str, Any]:
    figures = {name: getattr(outcome.scores, name) for name in ("val_accuracy", "test_accuracy", "train_seconds")}
    longer = None if outcome.longer is None else outcome.longer.test_accuracy
    return {
        "seed": outcome.seed,
        "params": outcome.params,
        **figures,
        "search_seconds": outcome.search_seconds,
        "longer_test_accuracy": longer,
        "genome": outcome.genome,
    }
