"""Start the classifier as a linear probe of the frozen features: no subnet begins by undoing what the backbone knows.

    min over W, b of  mean cross-entropy(W x + b) + penalty / 2 |W|^2                              (1)

x being the training split's features, over one standard deviation of them all. The penalty is the one of PENALTIES
whose cross-entropy on held-out folds of the training split is lowest: a head that has learnt its examples by heart
would leave the subnets nothing to learn. Source: linear probing, then fine-tuning; Kumar et al., arXiv 2202.10054.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from supernet.examples import DeviceImages

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)
FOLDS = 4
CHUNK = 100  # examples a forward


@torch.no_grad()
def features(model: nn.Module, images: DeviceImages) -> Tensor:
    """(n, width) float64: what the model hands to its head, in its evaluation mode; each module's is left as it was."""
    before = {module: module.training for module in model.modules()}
    model.eval()
    chunks = (images[start : start + CHUNK] for start in range(0, len(images), CHUNK))
    found = [model.forward_head(model.forward_features(chunk), pre_logits=True) for chunk in chunks]  # type: ignore[operator]
    for module, training in before.items():
        module.training = training
    return torch.cat(found).double()


def start_head(head: nn.Linear, inputs: Tensor, labels: Tensor, order: Tensor) -> None:
    """Write (1) into the head. inputs (n, width) float64, labels (n,), order (n,) a permutation, cut into folds."""
    scale = inputs.std()
    standard, classes = inputs / scale, head.out_features
    folds = order.tensor_split(FOLDS)
    penalty = min(PENALTIES, key=lambda each: _held_out(standard, labels, classes, folds, each))
    weight, bias = _fit(standard, labels, classes, penalty)
    with torch.no_grad():
        head.weight.copy_(weight / scale)
        if head.bias is not None:
            head.bias.copy_(bias)


def _held_out(inputs: Tensor, labels: Tensor, classes: int, folds: tuple[Tensor, ...], penalty: float) -> float:
    """Cross-entropy summed over the folds, each answered by a fit of the others, in nats."""
    total = 0.0
    for number, fold in enumerate(folds):
        rest = torch.cat([other for place, other in enumerate(folds) if place != number])
        weight, bias = _fit(inputs[rest], labels[rest], classes, penalty)
        total += float(F.cross_entropy(inputs[fold] @ weight.T + bias, labels[fold], reduction="sum"))
    return total


def _fit(inputs: Tensor, labels: Tensor, classes: int, penalty: float) -> tuple[Tensor, Tensor]:
    """(W (classes, width), b (classes,)) of equation (1), by L-BFGS from zero."""
    weight = inputs.new_zeros(classes, inputs.shape[1]).requires_grad_()
    bias = inputs.new_zeros(classes).requires_grad_()
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(inputs @ weight.T + bias, labels) + penalty / 2 * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()
