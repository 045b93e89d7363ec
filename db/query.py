"""The language of `--where`: from text to a frozen tree and back.

    condition  = both { "or" both }
    both       = single { "and" single }
    single     = "not" single | "(" condition ")" | comparison
    comparison = field ( "=" | "==" | "!=" | "<" | "<=" | ">" | ">=" ) value
               | field [ "not" ] "in" "(" value { "," value } ")"
    value      = number | 'text' | "text"

Law: `parse(render(tree)) == tree`. Which fields exist and what they take is the matter of `db.filters`, which turns a
tree into SQL. A comparison with a missing value (the accuracy of what was not scored) is never true, and neither is its
`not`, as in SQL.
"""

from dataclasses import dataclass, field

from db.errors import BadQuery
from db.tokens import Token, Value, tokens

DEEPEST = 50  # conditions inside one another
OPERATORS = ("=", "==", "!=", "<", "<=", ">", ">=")


@dataclass(frozen=True)
class Literal:
    value: Value
    token: Token = field(default=Token("end", "", 0), compare=False, repr=False)


@dataclass(frozen=True)
class Comparison:
    """`name operator value`; with `in`, any number of values, otherwise exactly one."""

    name: str
    operator: str  # one of OPERATORS but "==", or "in"
    values: tuple[Literal, ...]
    name_token: Token = field(default=Token("end", "", 0), compare=False, repr=False)
    operator_token: Token = field(default=Token("end", "", 0), compare=False, repr=False)


@dataclass(frozen=True)
class Not:
    term: "Node"


@dataclass(frozen=True)
class And:
    terms: tuple["Node", ...]  # two or more


@dataclass(frozen=True)
class Or:
    terms: tuple["Node", ...]  # two or more


Node = Comparison | Not | And | Or


def parse(text: str) -> Node:
    """The tree of a filter. Raises `BadQuery` at the first thing that does not fit."""
    return _Parser(text).whole()


def render(node: Node) -> str:
    """A text that parses to `node`."""
    match node:
        case Comparison(name, "in", values):
            return f"{name} in ({', '.join(_quoted(value) for value in values)})"
        case Comparison(name, operator, (value,)):
            return f"{name} {operator} {_quoted(value)}"
        case Not(term):
            return f"not {_enclosed(term)}"
        case And(terms) | Or(terms):
            word = " and " if isinstance(node, And) else " or "
            return word.join(_enclosed(term) for term in terms)
    raise AssertionError(f"a comparison of many values without `in`: {node}")


def _enclosed(node: Node) -> str:
    return f"({render(node)})" if isinstance(node, And | Or) else render(node)


def _quoted(literal: Literal) -> str:
    value = literal.value
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)


class _Parser:
    """Recursive descent: a method a rule of the grammar above, reading from `self.at` on."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokens(text)
        self.at = 0
        self.depth = 0

    def whole(self) -> Node:
        node = self.condition()
        if self.token.kind != "end":
            raise self.expected("'and', 'or' or the end")
        return node

    def condition(self) -> Node:
        terms = [self.both()]
        while self.take("or"):
            terms.append(self.both())
        return Or(tuple(terms)) if len(terms) > 1 else terms[0]

    def both(self) -> Node:
        terms = [self.single()]
        while self.take("and"):
            terms.append(self.single())
        return And(tuple(terms)) if len(terms) > 1 else terms[0]

    def single(self) -> Node:
        opening = self.token
        if not (self.take("not") or self.take("(")):
            return self.comparison()
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.bad(f"more than {DEEPEST} conditions inside one another; write it flatter", opening)
        node = self.condition() if opening.written == "(" else Not(self.single())
        if opening.written == "(" and not self.take(")"):
            raise self.expected(f"')' for the '(' at character {opening.position + 1}")
        self.depth -= 1
        return node

    def comparison(self) -> Node:
        name = self.token
        if name.kind != "name" or name.written.lower() in ("and", "or", "in", "not"):
            raise self.expected("a condition as in accuracy > 0.9")
        self.at += 1
        negated = self.take("not")
        operator = self.token
        if self.take("in"):
            listed = Comparison(name.written, "in", self.values(), name, operator)
            return Not(listed) if negated else listed
        if negated or operator.written not in OPERATORS:
            raise self.expected("'in'" if negated else f"an operator after {name.written}: {' '.join(OPERATORS)} or in")
        self.at += 1
        meaning = "=" if operator.written == "==" else operator.written
        return Comparison(name.written, meaning, (self.value(),), name, operator)

    def values(self) -> tuple[Literal, ...]:
        if not self.take("("):
            raise self.expected("'(' and a list of values after 'in'")
        found = [self.value()]
        while self.take(","):
            found.append(self.value())
        if not self.take(")"):
            raise self.expected("',' or ')' in the list of values")
        return tuple(found)

    def value(self) -> Literal:
        token = self.token
        if token.kind == "name":
            reason = f"expected a number or a quoted text, got {token.written}; as a text it is '{token.written}'"
            raise self.bad(reason, token)
        if token.kind not in ("number", "text"):
            raise self.expected("a number or a quoted text")
        self.at += 1
        return Literal(token.value, token)

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def take(self, word: str) -> bool:
        """Step over the sign or keyword `word` if it comes next."""
        if not self.token.is_word(word):
            return False
        self.at += 1
        return True

    def expected(self, what: str) -> BadQuery:
        came = "the end" if self.token.kind == "end" else self.token.written
        return self.bad(f"expected {what}, got {came}", self.token)

    def bad(self, reason: str, token: Token) -> BadQuery:
        return BadQuery(reason, self.text, token.position, len(token.written))
