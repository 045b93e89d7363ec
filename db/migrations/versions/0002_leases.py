"""Who runs a campaign, what was asked of it, and a way to all evaluations of a supernet."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.String()),
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("heartbeat", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )
    op.create_table(
        "requests",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("command", sa.String(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("campaign_id", name="pk_requests"),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], "fk_requests_campaign_id", ondelete="CASCADE"),
    )
    op.create_index("ix_evaluations_fingerprint", "evaluations", ["fingerprint"])
