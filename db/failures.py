"""What a database says when it cannot go on, in words for a person."""

from sqlalchemy.exc import DatabaseError, OperationalError

# By the beginning of SQLite's own name for the error.
SQLITE = {
    "SQLITE_FULL": "the disk that holds the database {url} is full; free some space, then resume",
    "SQLITE_READONLY": "the database {url} is read-only; allow writing to it and to its folder, or pass another --db",
    "SQLITE_BUSY": "another process has held the database {url} for too long; wait for it or end it, then try again",
    "SQLITE_LOCKED": "another process has held the database {url} for too long; wait for it or end it, then try again",
    "SQLITE_NOTADB": "{url} is not a SQLite database; pass another --db",
    "SQLITE_CORRUPT": "the database {url} is damaged; `glora-search db check` says where, a backup repairs it",
    "SQLITE_CANTOPEN": "cannot open the database {url}; is its folder there and writable? if not, pass another --db",
    "SQLITE_IOERR": "the disk failed while reading or writing the database {url}; check the disk, then resume",
}
# By PostgreSQL's own number for the error.
POSTGRESQL = {
    "25006": "the database {url} is read-only; pass the --db of a server that takes writes",
    "42501": "{reason}, says the database {url}; have its owner grant you that right, or pass another --db",
    "53100": "the disk that holds the database {url} is full; free some space, then resume",
}
OTHER = "the database {url} answered: {reason}; see that it can be reached, then run `glora-search db check`"


def suffered(error: DatabaseError) -> bool:
    """Whether this is the state of the world, such as a full disk or a missing right, and no mistake of ours."""
    return isinstance(error, OperationalError) or type(error) is DatabaseError or _number(error) in POSTGRESQL


def sentence(error: DatabaseError, url: str, password: object = None) -> str:
    """One sentence for an error of the database at `url` (already safe to show); no password ever stands in it."""
    name = getattr(error.orig, "sqlite_errorname", None) or ""
    reason = (str(error.orig).strip().splitlines() or ["no reason given"])[0]
    known = next((text for start, text in SQLITE.items() if name.startswith(start)), None)
    text = (known or POSTGRESQL.get(_number(error), OTHER)).format(url=url, reason=reason)
    return text.replace(str(password), "***") if password else text


def _number(error: DatabaseError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""
