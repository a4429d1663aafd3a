"""Datasets of one layer stand side by side in series: evidence of several kinds on the same structures."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

CURRENT = sa.text("status = 'current'")


def upgrade() -> None:
    op.add_column("datasets", sa.Column("series", sa.Text, nullable=False, server_default=sa.text("'main'")))
    op.drop_index("ix_datasets_one_current", "datasets")
    op.create_index(
        "ix_datasets_one_current",
        "datasets",
        ["layer", "series"],
        unique=True,
        sqlite_where=CURRENT,
        postgresql_where=CURRENT,
    )
