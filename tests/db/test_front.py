"""The front is what brute force finds."""

from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from db.records import Candidate, Outcome, Proposal, Status
from db.store import Store

NAMES = count()
scores = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, float("nan")])
point = st.tuples(scores, st.integers(0, 5), st.sampled_from([Status.COMPLETED, Status.FAILED, Status.RACED]))


def dominates(one: Candidate, other: Candidate) -> bool:
    no_worse = one.accuracy >= other.accuracy and one.params <= other.params
    return no_worse and (one.accuracy, one.params) != (other.accuracy, other.params)


def brute_force(candidates: list[Candidate]) -> list[Candidate]:
    done = [candidate for candidate in candidates if candidate.status == Status.COMPLETED]
    return [one for one in done if not any(dominates(other, one) for other in done)]


@settings(max_examples=40)  # each of up to 25 transactions, on two databases
@given(points=st.lists(point, max_size=12))
def test_the_front_is_what_brute_force_finds(shared: Store, begin, key, points) -> None:
    name = f"front {next(NAMES)}"
    begin(shared, name)
    shared.propose(
        name, 0, [Proposal(i, f"{name} {i}", "fixed", (), params) for i, (_, params, _) in enumerate(points)]
    )
    for number, (accuracy, _, status) in enumerate(points):
        shared.record(name, number, key, Outcome(status, accuracy, 1.0))
    everyone = shared.candidates(name)
    assert shared.candidates(name, front=True) == brute_force(everyone)
    few = [candidate for candidate in everyone if candidate.params > 1]
    assert shared.candidates(name, front=True, where="params > 1") == brute_force(few)
    assert (
        shared.candidates(name, front=True, order_by="-accuracy", limit=1)
        == sorted(brute_force(everyone), key=lambda candidate: (-candidate.accuracy, candidate.id))[:1]
    )
