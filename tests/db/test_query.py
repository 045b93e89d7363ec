"""A filter is parsed to a tree and back, and a mistake in it is pointed at."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.errors import BadQuery
from db.query import DEEPEST, And, Comparison, Literal, Node, Not, Or, parse, render
from db.tokens import LONGEST

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
values = st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False), texts).map(Literal)
names = st.sampled_from(["accuracy", "accuracy_float32", "blocks.3.mlp.fc1.A", "blocks.0.attn.qkv[q].B", "a[0:64].b"])
single = st.builds(Comparison, names, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), st.tuples(values))
listed = st.builds(Comparison, names, st.just("in"), st.lists(values, min_size=1).map(tuple))


def larger(nodes: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    terms = st.lists(nodes, min_size=2, max_size=4).map(tuple)
    return st.one_of(nodes.map(Not), terms.map(And), terms.map(Or))


@given(st.recursive(single | listed, larger, max_leaves=12))
def test_parsing_undoes_rendering(tree: Node) -> None:
    assert parse(render(tree)) == tree


@given(st.text() | st.text(st.sampled_from("a1.'\"()<>=! ,in\n[]notadr-")))
def test_any_text_is_a_filter_or_a_bad_query_that_points_into_it(text: str) -> None:
    error = None
    try:
        parse(text)
    except BadQuery as raised:
        error = raised
    assert error is None or (0 <= error.position <= len(text) and "^" in str(error))


def compare(name: str, operator: str, *found: float | str) -> Comparison:
    return Comparison(name, operator, tuple(Literal(value) for value in found))


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("loss<2", compare("loss", "<", 2)),
        ("loss == .5e-3", compare("loss", "=", 0.0005)),
        (
            "loss > -1 OR id = 1 And id = 2",
            Or((compare("loss", ">", -1), And((compare("id", "=", 1), compare("id", "=", 2))))),
        ),
        ("NOT id = 1 and id = 2", And((Not(compare("id", "=", 1)), compare("id", "=", 2)))),
        ("not (id = 1 and id = 2)", Not(And((compare("id", "=", 1), compare("id", "=", 2))))),
        ("worker in ('it''s', \"\"\"\")", compare("worker", "in", "it's", '"')),
        ("worker not in ('a')", Not(compare("worker", "in", "a"))),
        ("blocks.3.attn.qkv[q].B\n!= 'lora4'", compare("blocks.3.attn.qkv[q].B", "!=", "lora4")),
    ],
)
def test_the_grammar_reads(text: str, tree: Node) -> None:
    assert parse(text) == tree


@pytest.mark.parametrize(
    ("text", "at", "says"),
    [
        ("", 0, "expected a condition as in accuracy > 0.9, got the end"),
        ("accuracy", 8, "expected an operator after accuracy"),
        ("accuracy > ", 11, "expected a number or a quoted text, got the end"),
        ("accuracy = lora4", 11, "as a text it is 'lora4'"),
        ("accuracy > 0.5 loss < 2", 15, "expected 'and', 'or' or the end, got loss"),
        ("(accuracy > 0.5", 15, r"expected '\)' for the '\(' at character 1"),
        ("accuracy > 0.5)", 14, "expected 'and', 'or' or the end, got \\)"),
        ("id in 3", 6, r"expected '\(' and a list"),
        ("id in ()", 7, "expected a number or a quoted text"),
        ("id in (1 2)", 9, r"expected ',' or '\)'"),
        ("worker = 'a", 9, "this text has no end"),
        ("id && 3", 3, "is no field, number, quoted text or sign"),
        ("id ! 3", 3, "equality is written =, inequality !="),
        ("0.5 < accuracy", 0, "expected a condition as in"),
        ("id = 12abc", 5, "'12abc' is no field, number"),
        ("id = 1e999", 5, "too large"),
        ("id not 3", 7, "expected 'in'"),
        ("worker = 'a\0'", 11, "remove it"),
    ],
)
def test_a_mistake_is_pointed_at(text: str, at: int, says: str) -> None:
    with pytest.raises(BadQuery, match=says) as caught:
        parse(text)
    assert caught.value.position == at


def test_the_caret_stands_under_the_word() -> None:
    with pytest.raises(BadQuery) as caught:
        parse("id = 1 and\n\tworker = nobody or id = 2")
    assert str(caught.value).splitlines()[1:] == ["   worker = nobody or id = 2", "            ^^^^^^"]


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5000 + "id = 1" + ")" * 5000,
        "not " * 1999 + "id",
        " or ".join(["id = 1"] * 5000),
        "(" * (DEEPEST + 1) + "id = 1" + ")" * (DEEPEST + 1),
        f"id in ({', '.join('1' * LONGEST)})",
        "id = " + "9" * 100_000,
    ],
)
def test_a_filter_too_large_for_a_database_is_refused(text: str) -> None:
    with pytest.raises(BadQuery):
        parse(text)
