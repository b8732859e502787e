"""The hub's database: tables, and transactions that are never awaited in."""
