"""The process that drives one run's notebook through papermill: no network, no keys, one per run."""
