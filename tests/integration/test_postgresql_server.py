"""The tests' own PostgreSQL server is a real one, and its databases are apart."""

from __future__ import annotations

import psycopg


def test_databases_are_apart(postgresql_server):
    first, second = postgresql_server.new_database(), postgresql_server.new_database()
    with psycopg.connect(first) as connection:
        connection.execute("CREATE TABLE t AS SELECT generate_series(1, 3) AS n")
    with psycopg.connect(first) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (3,)
    with psycopg.connect(second) as connection:
        assert connection.execute("SELECT to_regclass('t')").fetchone() == (None,)
