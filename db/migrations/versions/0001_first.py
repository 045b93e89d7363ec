"""The first tables: supernets, campaigns, evaluations, candidates."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    supernets()
    campaigns()
    evaluations()
    candidates()


def supernets() -> None:
    op.create_table(
        "supernets",
        sa.Column("recipe", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("trained_parameters", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("recipe", name="pk_supernets"),
    )
    op.create_index("ix_supernets_fingerprint", "supernets", ["fingerprint"])


def campaigns() -> None:
    op.create_table(
        "campaigns",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("genes", sa.JSON()),
        sa.Column("fingerprint", sa.String()),
        sa.Column("split", sa.String()),
        sa.Column("numerics", sa.JSON()),
        sa.Column("report", sa.JSON()),
        sa.Column("error", sa.String()),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_campaigns"),
        sa.UniqueConstraint("name", name="uq_campaigns_name"),
    )


def evaluations() -> None:
    op.create_table(
        "evaluations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("split", sa.String(), nullable=False),
        sa.Column("numerics", sa.String(), nullable=False),
        sa.Column("genome", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("accuracy", sa.Double()),
        sa.Column("loss", sa.Double()),
        sa.Column("seconds", sa.Double()),
        sa.Column("worker", sa.String()),
        sa.Column("correct", sa.LargeBinary()),
        sa.Column("error", sa.String()),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_evaluations"),
        sa.UniqueConstraint("digest", name="uq_evaluations_digest"),
    )


def candidates() -> None:
    op.create_table(
        "candidates",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("genome", sa.String(), nullable=False),
        sa.Column("genome_digest", sa.String(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("operator", sa.String(), nullable=False),
        sa.Column("parents", sa.JSON(), nullable=False),
        sa.Column("params", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("accuracy", sa.Double()),
        sa.Column("loss", sa.Double()),
        sa.Column("seconds", sa.Double()),
        sa.Column("worker", sa.String()),
        sa.Column("error", sa.String()),
        sa.Column("bound", sa.Double()),
        sa.Column("accuracy_float32", sa.Double()),
        sa.Column("loss_float32", sa.Double()),
        sa.Column("evaluation_digest", sa.String()),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT),
        sa.PrimaryKeyConstraint("campaign_id", "number", name="pk_candidates"),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], "fk_candidates_campaign_id", ondelete="CASCADE"),
        sa.UniqueConstraint("campaign_id", "genome_digest", name="uq_candidates_campaign_id_genome_digest"),
    )
    op.create_index("ix_candidates_campaign_id_accuracy", "candidates", ["campaign_id", "accuracy"])
    swept = ["campaign_id", "status", "params", "accuracy", "number"]
    op.create_index("ix_candidates_campaign_id_status_params_accuracy_number", "candidates", swept)
