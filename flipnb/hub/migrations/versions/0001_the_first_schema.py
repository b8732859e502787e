"""The first schema"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "blobs",
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("reach", sa.String(), nullable=False),
        sa.Column("study", sa.String(), nullable=False),
        sa.Column("run", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", "reach", "study", "run", "owner", name=op.f("pk_blobs")),
    )
    op.create_table(
        "bundles",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("study", sa.String(), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("signer", sa.String(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_bundles")),
    )
    op.create_table(
        "coordinators",
        sa.Column("run", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("public_key", sa.String(), nullable=False),
        sa.Column("started", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("run", name=op.f("pk_coordinators")),
    )
    op.create_table(
        "counts",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("study", sa.String(), nullable=False),
        sa.Column("request", sa.String(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_counts")),
    )
    op.create_table(
        "events",
        sa.Column("run", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("run", "number", name=op.f("pk_events")),
    )
    op.create_table(
        "joins",
        sa.Column("study", sa.String(), nullable=False),
        sa.Column("trust", sa.String(), nullable=False),
        sa.Column("joined", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("study", "trust", name=op.f("pk_joins")),
    )
    op.create_table(
        "nonces",
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("nonce", sa.String(), nullable=False),
        sa.Column("expires", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("key_id", "nonce", name=op.f("pk_nonces")),
    )
    op.create_index(op.f("ix_nonces_expires"), "nonces", ["expires"], unique=False)
    op.create_table(
        "parts",
        sa.Column("run", sa.String(), nullable=False),
        sa.Column("trust", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "notified",
                "waiting",
                "approved",
                "declined",
                "refused",
                "starting",
                "running",
                "finished",
                "failed",
                "left-out",
                "stopped",
                native_enum=False,
            ),
            nullable=False,
        ),
        sa.Column("member", sa.Boolean(), nullable=False),
        sa.Column("code", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("failure", sa.String(), nullable=True),
        sa.Column("progress", sa.String(), nullable=True),
        sa.Column("last_report", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("run", "trust", name=op.f("pk_parts")),
    )
    op.create_table(
        "rounds",
        sa.Column("run", sa.String(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("context", sa.String(), nullable=False),
        sa.Column("summary", sa.String(), nullable=True),
        sa.Column("posted", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("run", "round", name=op.f("pk_rounds")),
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("study", sa.String(), nullable=False),
        sa.Column("bundle", sa.String(), nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=False),
        sa.Column("researcher", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("point", sa.String(), nullable=False),
        sa.Column("rounds", sa.Integer(), nullable=False),
        sa.Column(
            "state",
            sa.Enum("waiting", "starting", "running", "stopping", "succeeded", "failed", "stopped", native_enum=False),
            nullable=False,
        ),
        sa.Column("code", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("submitted", sa.Double(), nullable=False),
        sa.Column("quorum", sa.Double(), nullable=True),
        sa.Column("starting", sa.Double(), nullable=True),
        sa.Column("running", sa.Double(), nullable=True),
        sa.Column("stopping", sa.Double(), nullable=True),
        sa.Column("finished", sa.Double(), nullable=True),
        sa.Column("rounds_done", sa.Integer(), nullable=False),
        sa.Column("final_weights", sa.String(), nullable=True),
        sa.Column("last_event", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
    )
    op.create_index(op.f("ix_runs_state"), "runs", ["state"], unique=False)
    op.create_index(op.f("ix_runs_study"), "runs", ["study"], unique=False)
    op.create_table(
        "studies",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("roster", sa.String(), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_studies")),
    )
    op.create_table(
        "tasks",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("trust", sa.String(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("study", sa.String(), nullable=False),
        sa.Column("run", sa.String(), nullable=True),
        sa.Column("round", sa.Integer(), nullable=True),
        sa.Column("count", sa.String(), nullable=True),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("envelope", sa.String(), nullable=True),
        sa.Column("code", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("expires", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
        sa.UniqueConstraint("trust", "sequence", name=op.f("uq_tasks")),
    )
    op.create_index(op.f("ix_tasks_count"), "tasks", ["count"], unique=False)
    op.create_index("ix_tasks_open", "tasks", ["trust", "state", "sequence"], unique=False)
    op.create_index("ix_tasks_run", "tasks", ["run", "kind", "round"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_tasks_run", table_name="tasks")
    op.drop_index("ix_tasks_open", table_name="tasks")
    op.drop_index(op.f("ix_tasks_count"), table_name="tasks")
    op.drop_table("tasks")
    op.drop_table("studies")
    op.drop_index(op.f("ix_runs_study"), table_name="runs")
    op.drop_index(op.f("ix_runs_state"), table_name="runs")
    op.drop_table("runs")
    op.drop_table("rounds")
    op.drop_table("parts")
    op.drop_index(op.f("ix_nonces_expires"), table_name="nonces")
    op.drop_table("nonces")
    op.drop_table("joins")
    op.drop_table("events")
    op.drop_table("counts")
    op.drop_table("coordinators")
    op.drop_table("bundles")
    op.drop_table("blobs")
