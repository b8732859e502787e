"""Alembic's environment: migrates the connection that the hub hands over when it starts."""

from alembic import context

from flipnb.hub.store.tables import Table

context.configure(connection=context.config.attributes["connection"], target_metadata=Table.metadata)
with context.begin_transaction():
    context.run_migrations()
