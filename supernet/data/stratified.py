"""Drawing train, val and test out of one pool of examples, each class in proportion. The same seed draws the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from supernet.errors import BadInput


@dataclass(frozen=True, eq=False)
class Draw:
    """Indices into the pool, each in exactly one of the three, ascending."""

    train: np.ndarray  # (train,) int64
    val: np.ndarray  # (val,) int64
    rest: np.ndarray  # (n - train - val,) int64


def draw(labels: np.ndarray, train: int, val: int, seed: int, source: str, keep: int = 1) -> Draw:
    """Draw `train` and `val` examples out of `labels` (n,), leaving at least `keep`.

    Every class gets a share in proportion to its size. A rare class goes to train first, then to val, then to the rest.
    Raises BadInput, naming `source` and the numbers, if there are too few examples.
    """
    if train + val + keep > len(labels):
        left = f" + at least {keep} for test" if keep else ""
        raise BadInput(
            f"{source}: data.train {train} + data.val {val}{left} is more than the {len(labels)} examples there are: "
            "lower data.train or data.val"
        )
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    sizes = np.array([len(indices) for indices in members])
    to_train = _shares(sizes, train)
    to_val = _shares(sizes - to_train, val)
    generator = np.random.default_rng(seed)
    parts: list[list[np.ndarray]] = [[], [], []]
    for indices, first, second in zip(members, to_train, to_val, strict=True):
        shuffled = generator.permutation(indices)
        for part, piece in zip(parts, np.split(shuffled, [first, first + second]), strict=True):
            part.append(piece)
    return Draw(*(np.sort(np.concatenate(part)) for part in parts))


def _shares(sizes: np.ndarray, total: int) -> np.ndarray:
    """Split `total` over classes in proportion to `sizes` by largest remainder, at least 1 to each where it can be.

    sizes: (classes,), sum >= total -> (classes,), each at most its size, sum == total.
    """
    exact = sizes * total / max(int(sizes.sum()), 1)
    shares = np.floor(exact).astype(np.int64)
    order = np.argsort(shares - exact, kind="stable")  # largest remainder first, ties in the order of classes
    shares[order[: total - int(shares.sum())]] += 1
    for poor in np.flatnonzero((shares == 0) & (sizes > 0)):
        rich = int(np.argmax(shares))
        if shares[rich] <= 1:
            break
        shares[rich] -= 1
        shares[poor] += 1
    return shares
