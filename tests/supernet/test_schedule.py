import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernet.schedule import batch_of, learning_rate, total_steps
from supernet.settings import TrainingSettings

# Batches


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 100), st.integers(0, 5))
def test_an_epoch_visits_no_example_twice_and_drops_less_than_a_batch(n: int, size: int, seed: int, epoch: int) -> None:
    per_epoch = max(1, n // size)
    batches = [batch_of(epoch * per_epoch + place, seed, n, size) for place in range(per_epoch)]
    seen = np.concatenate(batches)
    assert len(np.unique(seen)) == len(seen)
    assert set(seen.tolist()) <= set(range(n))
    assert n - len(seen) < size
    assert {len(batch) for batch in batches} == {min(n, size)}
    settings = TrainingSettings(epochs=3, batch_size=size)
    assert total_steps(settings, n) == 3 * per_epoch


def test_epochs_and_seeds_shuffle_anew() -> None:
    epochs = [(0, 0), (1, 0), (0, 1)]  # (epoch, seed)
    orders = [np.concatenate([batch_of(epoch * 4 + i, seed, 40, 10) for i in range(4)]) for epoch, seed in epochs]
    assert len({order.tobytes() for order in orders}) == 3


# The schedule


@given(
    st.integers(1, 30), st.integers(1, 100), st.integers(1, 40), st.floats(0, 10), st.floats(1e-6, 1), st.floats(0, 1)
)
def test_the_rate_rises_to_its_peak_and_falls_to_its_end(
    epochs: int, n: int, size: int, warmup: float, peak: float, end: float
) -> None:
    settings = TrainingSettings(
        epochs=epochs, batch_size=size, learning_rate=peak, final_learning_rate=end * peak, warmup_epochs=warmup
    )
    steps = total_steps(settings, n)
    rates = [learning_rate(settings, t, steps, n) for t in range(steps)]
    top = rates.index(max(rates))
    assert max(rates) == pytest.approx(peak)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert min(rates) > 0
    assert rates[0] == pytest.approx(peak if top == 0 else 0.01 * peak)
    assert all(rate >= end * peak * (1 - 1e-9) for rate in rates[top:])


def test_the_rate_ends_near_the_final_one() -> None:
    settings = TrainingSettings(epochs=50, batch_size=10)
    rates = [learning_rate(settings, t, 500, 100) for t in range(500)]
    assert rates[20] == settings.learning_rate, "two epochs of warm-up"
    assert rates[-1] == pytest.approx(settings.final_learning_rate, rel=0.01)
    assert rates[260] == pytest.approx((settings.learning_rate + settings.final_learning_rate) / 2, rel=0.01)
