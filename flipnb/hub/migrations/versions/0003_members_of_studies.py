"""Members of studies, beside their rosters"""

import json

import sqlalchemy as sa
from alembic import op

from flipnb.contracts.envelope import peek
from flipnb.contracts.keys import key_id

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "members",
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("study", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("key_id", "role", "study", name=op.f("pk_members")),
    )
    op.create_index(op.f("ix_members_study"), "members", ["study"], unique=False)
    with op.batch_alter_table("studies") as studies:
        studies.add_column(sa.Column("purpose", sa.String(), nullable=False, server_default=""))
    _fill(op.get_bind())
    with op.batch_alter_table("studies") as studies:
        studies.alter_column("purpose", server_default=None)


def _fill(connection: sa.Connection) -> None:
    studies = sa.table("studies", sa.column("name"), sa.column("envelope"), sa.column("purpose"))
    members = sa.table("members", sa.column("key_id"), sa.column("role"), sa.column("study"))
    for name, sealed in connection.execute(sa.select(studies.c.name, studies.c.envelope)).all():
        roster = json.loads(peek(bytes(sealed), "The roster"))
        connection.execute(studies.update().where(studies.c.name == name).values(purpose=roster["purpose"]))
        rows = {
            (key_id(member["public_key"]), role, name)
            for role, named in (("researcher", roster["researchers"]), ("trust", roster["trusts"]))
            for member in named
        }
        connection.execute(members.insert(), [dict(zip(("key_id", "role", "study"), row, strict=True)) for row in rows])


def downgrade() -> None:
    with op.batch_alter_table("studies") as studies:
        studies.drop_column("purpose")
    op.drop_table("members")
