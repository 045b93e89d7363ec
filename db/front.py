"""The candidates that no other beats: none is more accurate with as few parameters, or as accurate with fewer."""

from sqlalchemy import ColumnElement, Select, and_, func, or_, select

from db.models import CandidateRow
from db.records import Status


def front(*conditions: ColumnElement[bool]) -> Select[int]:
    """The numbers of the non-dominated among the completed candidates that meet `conditions`; equal points stay.

    A sweep along the parameters: of each size only the most accurate may stay, and only if they are more accurate than
    everything smaller.
    """
    among = (CandidateRow.status == Status.COMPLETED, *conditions)
    params, accuracy = CandidateRow.params, CandidateRow.accuracy
    sizes = select(params.label("params"), func.max(accuracy).label("best")).where(*among).group_by(params).subquery()
    smaller = func.max(sizes.c.best).over(order_by=sizes.c.params, rows=(None, -1))  # all sizes before this one
    steps = select(sizes.c.params, sizes.c.best, smaller.label("smaller")).subquery()
    on_step = and_(params == steps.c.params, accuracy == steps.c.best)
    rises = or_(steps.c.smaller.is_(None), steps.c.best > steps.c.smaller)
    return select(CandidateRow.number).join(steps, on_step).where(*among, rises)
