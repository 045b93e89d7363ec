"""The tables. A genome may have thousands of characters, too many for a PostgreSQL index: a digest stands for it."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Double, ForeignKey, Index, MetaData, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from db.records import Gene


class Instant(TypeDecorator[datetime]):
    """A moment in UTC, aware on the way in and out (SQLite would drop the zone)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def now() -> datetime:
    return datetime.now(UTC)


Object = dict[str, Any]


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  (read by SQLAlchemy)
        float: Double(),
        datetime: Instant,
        Object: JSON(none_as_null=True),
        list[Gene]: JSON(none_as_null=True),
        list[int]: JSON(none_as_null=True),
    }


class SupernetRow(Base):
    __tablename__ = "supernets"

    recipe: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str] = mapped_column(index=True)
    path: Mapped[str]
    trained_parameters: Mapped[int] = mapped_column(BigInteger)
    seconds: Mapped[float]
    created_at: Mapped[datetime] = mapped_column(default=now)


class CampaignRow(Base):
    __tablename__ = "campaigns"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    state: Mapped[str]
    config: Mapped[Object]
    seed: Mapped[int] = mapped_column(BigInteger)
    genes: Mapped[list[Gene] | None]
    fingerprint: Mapped[str | None]
    split: Mapped[str | None]
    numerics: Mapped[Object | None]
    report: Mapped[Object | None]
    error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)


class EvaluationRow(Base):
    """The memo: what was measured, whoever asked. `digest` is `EvaluationKey.digest(genome)`."""

    __tablename__ = "evaluations"

    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(unique=True)
    fingerprint: Mapped[str] = mapped_column(index=True)
    split: Mapped[str]
    numerics: Mapped[str]
    genome: Mapped[str]
    status: Mapped[str]  # completed or failed
    accuracy: Mapped[float | None]
    loss: Mapped[float | None]
    seconds: Mapped[float | None]
    worker: Mapped[str | None]
    correct: Mapped[bytes | None]
    error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=now)


class CandidateRow(Base):
    """`genome_digest` keeps genomes unique in a campaign; `evaluation_digest` names the evaluation that finished it."""

    __tablename__ = "candidates"
    __table_args__ = (
        UniqueConstraint("campaign_id", "genome_digest"),
        Index(None, "campaign_id", "accuracy"),
        Index(None, "campaign_id", "status", "params", "accuracy", "number"),  # all that the front reads
    )

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    genome: Mapped[str]
    genome_digest: Mapped[str]
    generation: Mapped[int]
    operator: Mapped[str]
    parents: Mapped[list[int]]
    params: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str]
    accuracy: Mapped[float | None]
    loss: Mapped[float | None]
    seconds: Mapped[float | None]
    worker: Mapped[str | None]
    error: Mapped[str | None]
    bound: Mapped[float | None]
    seen: Mapped[int | None]
    accuracy_float32: Mapped[float | None]
    loss_float32: Mapped[float | None]
    evaluation_digest: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    finished_at: Mapped[datetime | None]


class LeaseRow(Base):
    """Who runs a campaign. By name and without a reference, so that a campaign deleted and made anew never sees a token
    twice."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(primary_key=True)
    token: Mapped[int] = mapped_column(BigInteger)
    holder: Mapped[str | None]  # None once released
    since: Mapped[datetime]
    heartbeat: Mapped[datetime]  # the last one


class RequestRow(Base):
    """What a person asked of a campaign and it has not yet done; at most one."""

    __tablename__ = "requests"

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"), primary_key=True)
    command: Mapped[str]  # pause, stop or cancel
    created_at: Mapped[datetime] = mapped_column(default=now)
