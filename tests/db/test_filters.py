"""A filter in SQL keeps what the same filter keeps in Python, and nothing in it can be anything but a value."""

import operator
import random
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.dialects import postgresql

from db import filters
from db.errors import BadQuery, StoreError
from db.front import front
from db.models import CandidateRow
from db.query import DEEPEST, And, Comparison, Literal, Node, Not, Or, render
from db.records import EvaluationKey, Gene, Outcome, Proposal, Status
from db.store import Store
from db.tokens import LONGEST

COMPARE = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
FORMS = ("none", "scalar", "vector", "lora4")


@pytest.fixture(scope="module")
def random_candidates(shared: Store, begin, genomes, key: EvaluationKey) -> Store:
    """Candidates of every status and with every value missing somewhere."""
    draw = random.Random(1)
    begin(shared, "digits")
    some = [Proposal(i, g, draw.choice(["random", "crossover"]), (), i % 5) for i, g in enumerate(genomes)]
    shared.propose("digits", 0, some[:20])
    shared.propose("digits", 1, some[20:])
    for number in range(len(some) - 4):
        worker = draw.choice(["w0", "it's", None])
        status = draw.choice([Status.COMPLETED, Status.COMPLETED, Status.FAILED, Status.RACED])
        outcome = Outcome(status, draw.choice([0.0, 0.25, 0.5]), draw.choice([0.5, 1.0, 2.0]), 0.5, worker)
        shared.record("digits", number, key, outcome)
    shared.score_float32("digits", 0, 0.5, 1.0)
    return shared


number_names = st.sampled_from(sorted(filters.NUMBERS))
amounts = st.sampled_from([-1, 0, 1, 3, 20, 0.25, 0.5, 1.0, 2**53, 1e300]).map(Literal)
text_names = st.sampled_from(["operator", "worker"])
words = st.sampled_from(["random", "crossover", "w0", "it's", ""]).map(Literal)
states = st.sampled_from([str(status) for status in Status]).map(Literal)
gene_names = st.sampled_from(["blocks.0.attn.qkv[q].B", "blocks.3.mlp.fc1.A"])
forms = st.sampled_from(FORMS).map(Literal)
equal = st.sampled_from(["=", "!="])


def comparisons(names: Any, operators: Any, values: Any) -> st.SearchStrategy[Comparison]:
    one = st.builds(Comparison, names, operators, st.tuples(values))
    return one | st.builds(Comparison, names, st.just("in"), st.lists(values, min_size=1, max_size=3).map(tuple))


leaves = st.one_of(
    comparisons(number_names, st.sampled_from(sorted(COMPARE)), amounts),
    comparisons(text_names, equal, words),
    comparisons(st.just("status"), equal, states),
    comparisons(gene_names, equal, forms),
)


def larger(nodes: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    terms = st.lists(nodes, min_size=2, max_size=3).map(tuple)
    return st.one_of(nodes.map(Not), terms.map(And), terms.map(Or))


def holds(node: Node, row: Mapping[str, Any]) -> bool | None:
    """What a filter says of a row: yes, no, or None for unknown because a value is missing."""
    match node:
        case Not(term):
            inner = holds(term, row)
            return None if inner is None else not inner
        case And(terms) | Or(terms):
            found = [holds(term, row) for term in terms]
            decisive = isinstance(node, Or)
            return decisive if decisive in found else None if None in found else not decisive
        case Comparison(name, "in", values):
            return None if row[name] is None else row[name] in [value.value for value in values]
        case Comparison(name, symbol, (value,)):
            return None if row[name] is None else COMPARE[symbol](row[name], value.value)
    raise AssertionError(node)


def readable(candidate: Any, genes: tuple[Gene, ...]) -> dict[str, Any]:
    letters = zip(genes, candidate.genome, strict=True)
    return candidate.as_dict() | {gene["name"]: gene["alphabet"][letter] for gene, letter in letters}


@given(tree=st.recursive(leaves, larger, max_leaves=6))
def test_a_filter_keeps_in_sql_what_it_keeps_in_python(random_candidates: Store, tree: Node) -> None:
    everyone = random_candidates.candidates("digits")
    genes = random_candidates.campaign("digits").genes
    expected = [candidate.id for candidate in everyone if holds(tree, readable(candidate, genes)) is True]
    found = random_candidates.candidates("digits", where=render(tree))
    assert [candidate.id for candidate in found] == expected


@given(name=st.sampled_from(sorted(filters.FIELDS)), way=st.sampled_from(["{}", "-{}", "{}:asc", "{}:desc"]))
def test_an_order_sorts_with_the_missing_last_and_ties_by_id(random_candidates: Store, name: str, way: str) -> None:
    rows = [candidate.as_dict() for candidate in random_candidates.candidates("digits")]
    present = sorted((row for row in rows if row[name] is not None), key=lambda row: row[name])
    if way in ("-{}", "{}:desc"):
        present = sorted(present, key=lambda row: row[name], reverse=True)
    expected = present + [row for row in rows if row[name] is None]
    found = random_candidates.candidates("digits", order_by=way.format(name))
    assert [candidate.id for candidate in found] == [row["id"] for row in expected]


@given(
    st.text()
    | st.sampled_from(["accuracy", "worker", "blocks.3.prompt", "id"]).flatmap(lambda n: st.text().map(n.__add__))
)
def test_any_text_is_a_filter_or_a_bad_query(random_candidates: Store, text: str) -> None:
    for arguments in ({"where": text}, {"order_by": text or "x"}):
        try:
            random_candidates.candidates("digits", **arguments)
        except BadQuery:
            continue


@pytest.mark.parametrize(
    "text",
    [
        "id = 1; DROP TABLE candidates",
        "id = 1 -- ",
        "1 = 1",
        "accuracy > (select 1)",
        "id = 1 union select * from campaigns",
        "campaigns.name = 'digits'",
        "genome = 'aaa'",
        "worker = 'x' or ''='",
        "substr(genome, 1, 1) = 'a'",
        "blocks.3.mlp.fc1.A = 'lora4'' or ''1''=''1'",
    ],
)
def test_sql_in_a_filter_is_refused(random_candidates: Store, text: str) -> None:
    before = random_candidates.candidates("digits")
    with pytest.raises(BadQuery):
        random_candidates.candidates("digits", where=text)
    assert random_candidates.candidates("digits") == before


@pytest.mark.parametrize("text", ["' or 1=1 --", "'); DROP TABLE candidates; --", "%", "it's"])
def test_sql_in_a_quoted_text_is_only_a_text(random_candidates: Store, text: str) -> None:
    found = random_candidates.candidates("digits", where=render(Comparison("worker", "=", (Literal(text),))))
    assert all(candidate.worker == text for candidate in found)


@pytest.mark.parametrize(
    ("text", "at", "says"),
    [
        ("acuracy > 0.5", 0, "unknown field 'acuracy'; did you mean 'accuracy'"),
        ("id = 1 or zzz = 1", 10, "expected one of id, accuracy, .* or a gene"),
        ("blocks.3.mlp.fc2.A = 'none'", 0, "did you mean 'blocks.3.mlp.fc1.A'"),
        ("blocks.3.mlp.fc1.A = 'lora8'", 21, "no form 'lora8'; its forms are 'none', 'scalar', 'vector', 'lora4'"),
        ("blocks.3.prompt in ('none', 'lora4')", 28, "its forms are 'none', 'prompt8'"),
        ("blocks.3.prompt > 'none'", 16, "has no order; expected =, != or in, got >"),
        ("blocks.3.prompt = 8", 18, "is a text, got the number 8; put it in quotes"),
        ("accuracy > '0.5'", 11, "is a number, got the text '0.5'; remove the quotes"),
        ("worker = 3", 9, "is a text, got the number 3"),
        ("worker < 'b'", 7, "has no order"),
        (
            "status in ('failed', 'complete')",
            21,
            "no status 'complete'; expected one of proposed, completed, failed, raced",
        ),
    ],
)
def test_a_mistake_in_meaning_is_pointed_at(random_candidates: Store, text: str, at: int, says: str) -> None:
    with pytest.raises(BadQuery, match=says) as caught:
        random_candidates.candidates("digits", where=text)
    assert caught.value.position == at


@pytest.mark.parametrize("text", ["acuracy", "-acuracy", "acuracy:desc"])
def test_an_unknown_order_names_the_nearest_field(random_candidates: Store, text: str) -> None:
    with pytest.raises(BadQuery, match="did you mean 'accuracy'") as caught:
        random_candidates.candidates("digits", order_by=text)
    assert text[caught.value.position :].startswith("acuracy")


@pytest.mark.parametrize("text", ["accuracy:down", "-accuracy:desc", "", "-", "accuracy loss"])
def test_an_order_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadQuery):
        filters.order(text)


def test_the_largest_filters_run(random_candidates: Store) -> None:
    deep = "(" * DEEPEST + "id >= 0" + ")" * DEEPEST
    wide = " or ".join(["id = 1"] * (LONGEST // 4))
    listed = f"id in ({', '.join(['1'] * (LONGEST // 2 - 3))})"
    negated = "not " * DEEPEST + "id >= 0"
    found = {len(random_candidates.candidates("digits", where=text)) for text in (wide, listed)}
    assert found == {1}
    assert random_candidates.candidates("digits", where=deep) == random_candidates.candidates("digits", where=negated)


def test_a_limit_is_a_count(random_candidates: Store) -> None:
    assert len(random_candidates.candidates("digits", limit=3)) == 3
    assert random_candidates.candidates("digits", limit=0) == []
    with pytest.raises(StoreError, match="expected a limit of 0 or more"):
        random_candidates.candidates("digits", limit=-1)


def test_filters_and_front_are_also_postgresql() -> None:
    genes: list[Gene] = [{"name": "blocks.0.A", "alphabet": {"a": "none"}}]
    condition = filters.condition("params < 1e6 and blocks.0.A = 'none' and not id in (1, 2)", genes)
    query = (
        select(CandidateRow.number).where(CandidateRow.number.in_(front(condition))).order_by(*filters.order("-loss"))
    )
    text = str(query.compile(dialect=postgresql.dialect()))
    assert "'none'" not in text
    assert "NULLS LAST" in text
