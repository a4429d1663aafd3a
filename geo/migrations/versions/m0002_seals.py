"""Each entry of the log carries the hash of the one before it; entries that are there already are sealed as they stand."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

from geo.catalogue import Utc
from geo.seals import FIRST, SEALED, seal

revision = "0002"
down_revision = "0001"

LOG = sa.table(
    "decisions",
    sa.column("number", sa.Integer()),
    sa.column("made_at", Utc()),
    sa.column("details", sa.JSON()),
    *(sa.column(name, sa.Text()) for name in ("who", "origin", "what", "subject", "previous", "hash")),
)


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    for name in ("decisions_no_update", "decisions_no_delete") if sqlite else ():
        op.execute(f"DROP TRIGGER {name}")
    if not sqlite:
        op.execute("DROP TRIGGER decisions_additions_only ON decisions")
    for name in ("previous", "hash"):
        op.add_column("decisions", sa.Column(name, sa.Text, nullable=False, server_default=sa.text("''")))
    _seal_all()
    if sqlite:
        for deed in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER decisions_no_{deed.lower()} BEFORE {deed} ON decisions "
                "BEGIN SELECT RAISE(ABORT, 'decisions takes additions only'); END"
            )
    else:
        op.execute(
            "CREATE TRIGGER decisions_additions_only BEFORE UPDATE OR DELETE OR TRUNCATE ON decisions "
            "FOR EACH STATEMENT EXECUTE FUNCTION decisions_additions_only()"
        )


def _seal_all() -> None:
    bind, previous = op.get_bind(), FIRST
    for row in bind.execute(sa.select(LOG).order_by(LOG.c.number)).mappings().all():
        entry = {name: json.loads(row[name]) if name == "details" and isinstance(row[name], str) else row[name] for name in SEALED}
        sealed = seal(previous, entry)
        bind.execute(sa.update(LOG).where(LOG.c.number == row["number"]).values(previous=previous, hash=sealed))
        previous = sealed
