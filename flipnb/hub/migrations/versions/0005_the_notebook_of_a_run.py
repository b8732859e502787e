"""The name of a run's notebook, for lists of runs"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("runs") as runs:
        runs.add_column(sa.Column("notebook", sa.String(), nullable=False, server_default=""))
    with op.batch_alter_table("runs") as runs:
        runs.alter_column("notebook", server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("runs") as runs:
        runs.drop_column("notebook")
