"""The coordinator: one process per run, started by the hub, which drives the rounds."""
