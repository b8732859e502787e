"""What a run is called in lists of runs: its notebook, and the parameters that tell it from others of its bundle"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("runs") as runs:
        runs.add_column(sa.Column("notebook", sa.String(), nullable=False, server_default=""))
        runs.add_column(sa.Column("telling", sa.String(), nullable=False, server_default="[]"))
    with op.batch_alter_table("runs") as runs:
        runs.alter_column("notebook", server_default=None)
        runs.alter_column("telling", server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("runs") as runs:
        runs.drop_column("telling")
        runs.drop_column("notebook")
