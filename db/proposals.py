"""A generation's proposals: written once, and on a replay compared with what was written.

Law: a candidate's id is its number in the campaign, dense from 0; a genome has one id. A search replayed from the same
seed proposes the same; anything else is a `ReplayMismatch` that names the first difference.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from sqlalchemy import Row, bindparam, func, insert, or_, select
from sqlalchemy.orm import Session

from db.errors import ReplayMismatch
from db.models import CandidateRow, now
from db.records import Proposal, Status

AT_ONCE = 500  # proposals in one question

# Made once, and run without the session's rows: the writers of all campaigns wait for one another meanwhile.
TABLE = CandidateRow.__table__.c
OWN = TABLE.campaign_id == bindparam("campaign")
LATEST = select(func.max(TABLE.number)).where(OWN)
SAME_NUMBER = TABLE.number.in_(bindparam("numbers", expanding=True))
SAME_GENOME = TABLE.genome_digest.in_(bindparam("digests", expanding=True))
COMPARED = (TABLE.number, TABLE.genome, TABLE.genome_digest, TABLE.generation, TABLE.operator, TABLE.parents)
REMEMBERED = select(*COMPARED).where(OWN, or_(SAME_NUMBER, SAME_GENOME))
WRITE = insert(CandidateRow.__table__)  # type: ignore[arg-type]  # a table, but typed as any FROM


def propose(session: Session, campaign_id: int, name: str, generation: int, proposals: Sequence[Proposal]) -> None:
    """Write the proposals that are not there yet. Raises `ReplayMismatch`, and then writes none of them."""
    latest = session.connection().scalar(LATEST, {"campaign": campaign_id})
    expected = 0 if latest is None else latest + 1
    numbers, ids = _remembered(session, campaign_id, proposals)
    fresh: list[dict[str, Any]] = []
    for proposal in proposals:
        if (row := numbers.get(proposal.id)) is not None:
            _same(name, generation, proposal, row)
            continue
        if proposal.id != expected:
            raise ReplayMismatch(_start(name) + f"expected candidate {expected} next, got {proposal.id}" + ADVICE)
        digest = genome_digest(proposal.genome)
        if digest in ids:
            came = f"candidate {proposal.id} repeats the genome of candidate {ids[digest]}; a genome is proposed once"
            raise ReplayMismatch(_start(name) + came + ADVICE)
        ids[digest] = expected
        expected += 1
        fresh.append(_values(campaign_id, generation, proposal, digest))
    if fresh:
        session.connection().execute(WRITE, fresh)


ADVICE = "; resume with the configuration and the version that began the search, or launch under another name"


def genome_digest(genome: str) -> str:
    return sha256(genome.encode()).hexdigest()


def _start(name: str) -> str:
    return f"the search of campaign {name!r} does not replay: "


def _remembered(
    session: Session, campaign_id: int, proposals: Sequence[Proposal]
) -> tuple[dict[int, Row[Any]], dict[str, int]]:
    """The candidates that share an id, and the ids of those that share a genome, with one of the proposals."""
    found: list[Row[Any]] = []
    for start in range(0, len(proposals), AT_ONCE):
        some = proposals[start : start + AT_ONCE]
        numbers, digests = [each.id for each in some], [genome_digest(each.genome) for each in some]
        asked = {"campaign": campaign_id, "numbers": numbers, "digests": digests}
        found.extend(session.connection().execute(REMEMBERED, asked))
    return {row.number: row for row in found}, {row.genome_digest: row.number for row in found}


def _same(name: str, generation: int, proposal: Proposal, row: Row[Any]) -> None:
    pairs = {
        "genome": (row.genome, proposal.genome),
        "generation": (row.generation, generation),
        "operator": (row.operator, proposal.operator),
        "parents": (list(row.parents), list(proposal.parents)),
    }
    for what, (stored, came) in pairs.items():
        if stored != came:
            difference = _genomes(row.genome, proposal.genome) if what == "genome" else f"was {stored!r}, now {came!r}"
            raise ReplayMismatch(_start(name) + f"the {what} of candidate {proposal.id} {difference}" + ADVICE)


def _genomes(stored: str, came: str) -> str:
    if len(stored) != len(came):
        return f"had {len(stored)} genes, now {len(came)}"
    place = next(place for place, (one, other) in enumerate(zip(stored, came, strict=True)) if one != other)
    return f"was {stored[place]!r} at gene {place}, now {came[place]!r}"


def _values(campaign_id: int, generation: int, proposal: Proposal, digest: str) -> dict[str, Any]:
    return {
        "campaign_id": campaign_id,
        "number": proposal.id,
        "genome": proposal.genome,
        "genome_digest": digest,
        "generation": generation,
        "operator": proposal.operator,
        "parents": list(proposal.parents),
        "params": proposal.params,
        "status": Status.PROPOSED,
        "created_at": now(),
    }
