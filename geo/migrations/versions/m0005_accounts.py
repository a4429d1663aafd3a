"""People who sign in, and the tokens they do it with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from geo.catalogue import Utc

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("made_at", Utc, nullable=False),
        sa.Column("closed_at", Utc),
        sa.CheckConstraint("role in ('partner', 'directorate', 'planner', 'admin')", name="role"),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("account", sa.Text, sa.ForeignKey("accounts.name"), nullable=False),
        sa.Column("hash", sa.Text, nullable=False, unique=True),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("made_at", Utc, nullable=False),
        sa.Column("expires_at", Utc, nullable=False),
        sa.Column("revoked_at", Utc),
    )
    op.create_index("ix_tokens_account", "tokens", ["account"])
