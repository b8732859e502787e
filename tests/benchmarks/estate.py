"""``make bench NAME=estate``: loads of generated estates, and cohorts over them."""

from __future__ import annotations

from benchmarks import cohorts, estate_load

MEASURES = {
    "load": estate_load.load_growing,
    "load-million": estate_load.load_million,
    "cohorts": cohorts.measure_duckdb,
    "cohorts-postgresql": cohorts.measure_postgresql,
    "cohorts-memory": cohorts.measure_memory,
}
