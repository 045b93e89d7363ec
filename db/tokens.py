"""The words of a filter: names, numbers, quoted texts and signs, each with its place in the text.

A quote inside a text of its own kind is written twice: `'it''s'`. A name may be a gene's, with rows in brackets:
`blocks.3.attn.qkv[q].B`.
"""

import math
import re
from dataclasses import dataclass

from db.errors import BadQuery

LONGEST = 2000  # tokens: keeps the compiled expression within SQLite's depth of 1000 and 32,766 values
EXACT = 2**53  # integers up to here are kept exact, beyond they are read as floats
TOKEN = re.compile(
    r"""
    (?P<number> [-+]? (?: [0-9]+ \.? [0-9]* | \. [0-9]+ ) (?: [eE] [-+]? [0-9]+ )? (?![\w.]) )
  | (?P<text>   ' (?: [^'] | '' )* ' | " (?: [^"] | "" )* " )
  | (?P<name>   [A-Za-z_] \w* (?: \[ [^\]\s]* \] )? (?: \. \w+ (?: \[ [^\]\s]* \] )? )* )
  | (?P<sign>   <= | >= | == | != | [=<>(),] )
    """,
    re.VERBOSE,
)
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # no database takes these in a text

Value = int | float | str


@dataclass(frozen=True)
class Token:
    kind: str  # number, text, name, sign or end
    written: str
    position: int  # of its first character
    value: Value = ""  # of a number or a text

    def is_word(self, word: str) -> bool:
        """Whether this is the sign or the keyword `word`; keywords may be written in capitals."""
        return self.written == word if self.kind == "sign" else self.kind == "name" and self.written.lower() == word


def tokens(text: str) -> tuple[Token, ...]:
    """Split a filter; the last token is always of kind `end`. Raises `BadQuery` at what is no token."""
    if bad := UNSTORABLE.search(text):
        raise BadQuery(f"expected text, got the character {bad.group()!r}; remove it", text, bad.start())
    found: list[Token] = []
    at = _skip(text, 0)
    while at < len(text):
        found.append(_token(text, at))
        if len(found) > LONGEST:
            raise BadQuery(f"the filter has more than {LONGEST} words; make it shorter", text, at)
        at = _skip(text, at + len(found[-1].written))
    return (*found, Token("end", "", len(text)))


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _token(text: str, at: int) -> Token:
    match = TOKEN.match(text, at)
    if match is None:
        raise _not_a_token(text, at)
    kind, written = str(match.lastgroup), match.group()
    if kind == "number":
        return Token(kind, written, at, _number(written, text, at))
    if kind == "text":
        return Token(kind, written, at, written[1:-1].replace(written[0] * 2, written[0]))
    return Token(kind, written, at)


def _number(written: str, text: str, at: int) -> int | float:
    value = float(written)
    if not math.isfinite(value):
        raise BadQuery("expected a number, got one too large to be one", text, at, len(written))
    whole = re.fullmatch(r"[-+]?[0-9]{1,20}", written)
    return int(written) if whole and abs(value) <= EXACT else value


def _not_a_token(text: str, at: int) -> BadQuery:
    if text[at] in "'\"":
        return BadQuery(f"this text has no end; close it with another {text[at]}", text, at, len(text) - at)
    word = re.match(r"[\w.+-]+|.", text[at:], re.DOTALL)
    length = len(word.group()) if word else 1
    hint = "; equality is written =, inequality !=" if text[at] in "!<>~&|" else ""
    return BadQuery(f"{text[at : at + length]!r} is no field, number, quoted text or sign{hint}", text, at, length)
