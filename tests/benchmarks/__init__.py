"""Measurements: ``make bench NAME=rounds`` (see docs/benchmarks.md). Not collected by pytest."""
