"""Who may ask a Trust for a run, and whose yes lets it start."""
