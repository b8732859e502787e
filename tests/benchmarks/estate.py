"""``make bench NAME=estate``: cohorts over generated estates."""

from __future__ import annotations

from benchmarks import cohorts

MEASURES = {
    "cohorts": cohorts.measure_duckdb,
    "cohorts-postgresql": cohorts.measure_postgresql,
    "cohorts-memory": cohorts.measure_memory,
}
