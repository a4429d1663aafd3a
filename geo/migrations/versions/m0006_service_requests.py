"""Service requests that come in one by one; nothing of a person."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from geo.catalogue import Utc

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "requests",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("received_at", Utc, nullable=False),
        sa.Column("category", sa.Text, nullable=False),
        sa.Column("lon", sa.Double, nullable=False),
        sa.Column("lat", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_requests"),
    )
