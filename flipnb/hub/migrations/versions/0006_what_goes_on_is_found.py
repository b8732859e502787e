"""Runs and parts that go on are found without reading those that ended"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_parts_going", "parts", ["member", "state"], unique=False)
    op.create_index("ix_runs_list", "runs", ["study", "submitted"], unique=False)
    op.create_index("ix_runs_feed", "runs", ["study", "finished", "last_event", "id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_runs_feed", "runs")
    op.drop_index("ix_runs_list", "runs")
    op.drop_index("ix_parts_going", "parts")
