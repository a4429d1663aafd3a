"""The first catalogue: surveys, datasets, runs, jobs and the log of decisions, which takes additions only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TIME = sa.DateTime(timezone=True)
SURVEY_STATES = "status in ('received', 'checked', 'accepted', 'returned')"
DATASET_STATES = "status in ('current', 'superseded', 'withdrawn')"


def upgrade() -> None:
    op.create_table(
        "surveys",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("received_at", TIME, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("layer", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("checked_at", TIME),
        sa.Column("profile", sa.Text),
        sa.Column("mapping", sa.JSON),
        sa.Column("findings", sa.JSON),
        sa.Column("decided_at", TIME),
        sa.Column("decided_by", sa.Text),
        sa.Column("reason", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_surveys"),
        sa.CheckConstraint(SURVEY_STATES, name="ck_surveys_status"),
    )
    op.create_index("ix_surveys_received_at", "surveys", ["received_at"])
    op.create_table(
        "datasets",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("layer", sa.Text, nullable=False),
        sa.Column("survey_id", sa.Text),
        sa.Column("made_at", TIME, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("date", sa.Date),
        sa.Column("trust", sa.Text),
        sa.Column("provenance", sa.JSON, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("supersedes", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_datasets"),
        sa.ForeignKeyConstraint(["survey_id"], ["surveys.id"], name="fk_datasets_survey_id_surveys"),
        sa.ForeignKeyConstraint(["supersedes"], ["datasets.id"], name="fk_datasets_supersedes_datasets"),
        sa.CheckConstraint(DATASET_STATES, name="ck_datasets_status"),
    )
    current = sa.text("status = 'current'")
    op.create_index("ix_datasets_one_current", "datasets", ["layer"], unique=True, sqlite_where=current, postgresql_where=current)
    op.create_index("ix_datasets_sha256", "datasets", ["sha256"])
    op.create_table(
        "runs",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("made_at", TIME, nullable=False),
        sa.Column("scheme", sa.Text, nullable=False),
        sa.Column("datasets", sa.JSON, nullable=False),
        sa.Column("files", sa.JSON, nullable=False),
        sa.Column("published_at", TIME),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("progress", sa.Float, nullable=False),
        sa.Column("message", sa.JSON, nullable=False),
        sa.Column("made_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_table(
        "decisions",
        sa.Column("number", sa.Integer, autoincrement=True, nullable=False),
        sa.Column("made_at", TIME, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("details", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_decisions"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_decisions_subject", "decisions", ["subject"])
    if op.get_bind().dialect.name == "sqlite":
        for deed in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER decisions_no_{deed.lower()} BEFORE {deed} ON decisions "
                "BEGIN SELECT RAISE(ABORT, 'decisions takes additions only'); END"
            )
    else:
        op.execute(
            "CREATE FUNCTION decisions_additions_only() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'decisions takes additions only'; END $$"
        )
        op.execute(
            "CREATE TRIGGER decisions_additions_only BEFORE UPDATE OR DELETE OR TRUNCATE ON decisions "
            "FOR EACH STATEMENT EXECUTE FUNCTION decisions_additions_only()"
        )
