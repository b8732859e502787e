"""The daemon: the hub's link, its tasks, and what this Trust tells of itself."""
