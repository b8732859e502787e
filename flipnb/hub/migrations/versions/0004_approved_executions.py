"""Bundles by their content, what is left of their approvals, and what runs chose"""

import json

import sqlalchemy as sa
from alembic import op

from flipnb.contracts.bundle import content_digest
from flipnb.contracts.envelope import peek

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "allowances",
        sa.Column("bundle", sa.String(), nullable=False),
        sa.Column("trust", sa.String(), nullable=False),
        sa.Column("executions_left", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("bundle", "trust", name=op.f("pk_allowances")),
    )
    with op.batch_alter_table("runs") as runs:
        runs.add_column(sa.Column("choices", sa.String(), nullable=False, server_default="{}"))
    with op.batch_alter_table("runs") as runs:
        runs.alter_column("choices", server_default=None)
    with op.batch_alter_table("bundles") as bundles:
        bundles.add_column(sa.Column("content", sa.String(), nullable=False, server_default=""))
    _fill(op.get_bind())
    with op.batch_alter_table("bundles") as bundles:
        bundles.alter_column("content", server_default=None)
    op.create_index(op.f("ix_bundles_content"), "bundles", ["content"], unique=False)


def _fill(connection: sa.Connection) -> None:
    bundles = sa.table("bundles", sa.column("digest"), sa.column("envelope"), sa.column("content"))
    for digest in connection.execute(sa.select(bundles.c.digest)).scalars().all():
        found = sa.select(bundles.c.envelope).where(bundles.c.digest == digest)
        content = content_digest(json.loads(peek(bytes(connection.execute(found).scalar_one()), "The bundle")))
        connection.execute(bundles.update().where(bundles.c.digest == digest).values(content=content))


def downgrade() -> None:
    op.drop_index(op.f("ix_bundles_content"), "bundles")
    with op.batch_alter_table("bundles") as bundles:
        bundles.drop_column("content")
    with op.batch_alter_table("runs") as runs:
        runs.drop_column("choices")
    op.drop_table("allowances")
