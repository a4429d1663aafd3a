"""Uploads that arrive in parts, and what a job is about: its subject, who asked, its findings, its result."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "uploads",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("made_at", TIME, nullable=False),
        sa.Column("changed_at", TIME, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("layer", sa.Text, nullable=False),
        sa.Column("bytes", sa.BigInteger),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("source", sa.JSON),
        sa.Column("survey_id", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_uploads"),
        sa.ForeignKeyConstraint(["survey_id"], ["surveys.id"], name="fk_uploads_survey_id_surveys"),
    )
    empty = sa.text("''")
    for column in (
        sa.Column("subject", sa.Text, nullable=False, server_default=empty),
        sa.Column("who", sa.Text, nullable=False, server_default=empty),
        sa.Column("given", sa.JSON),
        sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("findings", sa.JSON),
        sa.Column("result", sa.Text, nullable=False, server_default=empty),
        sa.Column("started_at", TIME),
        sa.Column("ended_at", TIME),
    ):
        op.add_column("jobs", column)
