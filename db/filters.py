"""What a filter or an order may name, and the SQL it becomes; values travel as bound parameters, never as text.

The fields are a candidate's own and the genes of its campaign. Numbers take every operator; texts and forms take `=`,
`!=` and `in`, because databases order texts differently. The form at gene i is `substr(genome, i + 1, 1)`.
"""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Double, String, and_, func, literal, not_, or_

from db.errors import BadQuery, nearest
from db.models import CandidateRow
from db.query import And, Comparison, Literal, Node, Not, Or, parse
from db.records import Gene, Status

NUMBERS: Mapping[str, Any] = {
    "id": CandidateRow.number,
    "accuracy": CandidateRow.accuracy,
    "loss": CandidateRow.loss,
    "params": CandidateRow.params,
    "generation": CandidateRow.generation,
    "bound": CandidateRow.bound,
    "seen": CandidateRow.seen,
    "seconds": CandidateRow.seconds,
    "accuracy_float32": CandidateRow.accuracy_float32,
    "loss_float32": CandidateRow.loss_float32,
}
TEXTS: Mapping[str, Any] = {
    "status": CandidateRow.status,
    "operator": CandidateRow.operator,
    "worker": CandidateRow.worker,
}
FIELDS: Mapping[str, Any] = {**NUMBERS, **TEXTS}
COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def condition(text: str, genes: Sequence[Gene] = ()) -> ColumnElement[bool]:
    """The SQL condition of a filter over the candidates of a campaign with these genes. Raises `BadQuery`."""
    places = {gene["name"]: (place, gene["alphabet"]) for place, gene in enumerate(genes)}
    return _Compiler(text, places).node(parse(text))


def order(text: str) -> list[ColumnElement[Any]]:
    """The SQL order of `field`, `-field`, `field:asc` or `field:desc`; what is missing comes last, ties by id.

    Raises `BadQuery`.
    """
    name, colon, way = text.strip().removeprefix("-").partition(":")
    minus = text.strip().startswith("-")
    if (colon and way not in ("asc", "desc")) or (minus and colon):
        raise BadQuery("expected a field, -field, field:asc or field:desc", text, 0, len(text))
    if name not in FIELDS:
        raise BadQuery(_unknown(name, FIELDS), text, max(text.find(name), 0), len(name))
    column: ColumnElement[Any] = FIELDS[name]
    descending = minus or way == "desc"
    return [(column.desc() if descending else column.asc()).nulls_last(), CandidateRow.number.asc()]


def _unknown(name: str, known: Mapping[str, Any]) -> str:
    genes = " or a gene" if len(known) > len(FIELDS) else ""
    return f"unknown field {name!r}" + (nearest(name, known) or f"; expected one of {', '.join(FIELDS)}{genes}")


@dataclass(frozen=True)
class _Compiler:
    """A method a kind of thing compared; `text` is kept to point at what is wrong."""

    text: str
    places: Mapping[str, tuple[int, Mapping[str, str]]]  # gene -> (index, character -> form)

    def node(self, node: Node) -> ColumnElement[bool]:
        match node:
            case And(terms):
                return and_(*map(self.node, terms))
            case Or(terms):
                return or_(*map(self.node, terms))
            case Not(term):
                return not_(self.node(term))
            case Comparison():
                return self.comparison(node)

    def comparison(self, node: Comparison) -> ColumnElement[bool]:
        if node.name in NUMBERS:
            return self.numbers(node)
        if node.name in TEXTS:
            return self.texts(node)
        if node.name in self.places:
            return self.forms(node)
        token = node.name_token
        raise BadQuery(_unknown(node.name, {**FIELDS, **self.places}), self.text, token.position, len(node.name))

    def numbers(self, node: Comparison) -> ColumnElement[bool]:
        for value in node.values:
            if isinstance(value.value, str):
                raise self.wrong(f"{node.name} is a number, got the text {value.value!r}; remove the quotes", value)
        typed = [literal(v.value, Double() if isinstance(v.value, float) else BigInteger()) for v in node.values]
        column: ColumnElement[Any] = NUMBERS[node.name]
        if node.operator in COMPARE:
            compared: ColumnElement[bool] = COMPARE[node.operator](column, typed[0])
            return compared
        return _equal(node, column, typed)

    def texts(self, node: Comparison) -> ColumnElement[bool]:
        self.unordered(node)
        values = [self.quoted(value, node.name) for value in node.values]
        for value, came in zip(node.values, values, strict=True):
            if node.name == "status" and came not in list(Status):
                raise self.wrong(f"there is no status {came!r}; expected one of {', '.join(Status)}", value)
        return _equal(node, TEXTS[node.name], [literal(value, String()) for value in values])

    def forms(self, node: Comparison) -> ColumnElement[bool]:
        self.unordered(node)
        place, alphabet = self.places[node.name]
        wanted = {self.quoted(value, node.name): value for value in node.values}
        for form, value in wanted.items():
            if form not in alphabet.values():
                known = ", ".join(map(repr, alphabet.values()))
                raise self.wrong(f"{node.name} has no form {form!r}; its forms are {known}", value)
        letters = [literal(letter, String()) for letter, form in alphabet.items() if form in wanted]
        return _equal(node, func.substr(CandidateRow.genome, place + 1, 1), letters)

    def unordered(self, node: Comparison) -> None:
        if node.operator in COMPARE:
            token = node.operator_token
            reason = f"{node.name} is a text and has no order; expected =, != or in, got {node.operator}"
            raise BadQuery(reason, self.text, token.position, len(token.written))

    def quoted(self, value: Literal, name: str) -> str:
        if isinstance(value.value, str):
            return value.value
        raise self.wrong(f"{name} is a text, got the number {value.value}; put it in quotes", value)

    def wrong(self, reason: str, value: Literal) -> BadQuery:
        return BadQuery(reason, self.text, value.token.position, len(value.token.written))


def _equal(node: Comparison, column: ColumnElement[Any], values: Sequence[ColumnElement[Any]]) -> ColumnElement[bool]:
    """`column` is one of `values`, or with `!=` none of them."""
    if node.operator == "!=":
        return column.not_in(values)
    return column == values[0] if len(values) == 1 else column.in_(values)
