"""What a reading process may use: a bound on memory, and a folder for the rest."""

from __future__ import annotations

import duckdb
import pytest

from flipnb.estate.database import reading
from flipnb.estate.versions import Bounds, Estate

LARGE = "SELECT sum(a + b) FROM (SELECT DISTINCT i AS a, hash(i)::HUGEINT AS b FROM range(600_000) t(i))"


@pytest.fixture
def estate(tmp_path):
    def write(path):
        with duckdb.connect(str(path)) as connection:
            connection.execute("CREATE TABLE person (person_id BIGINT)")
        return "a" * 32

    made = Estate.open(tmp_path / "estate")
    made.add(write)
    return made


def test_a_question_larger_than_the_bound_is_answered_from_disk(estate, tmp_path):
    """The bound holds: without room on disk the same question fails."""
    spill = tmp_path / "spill"
    with reading(estate.directory, bounds=Bounds("16MB", spill)) as database:
        assert list(database.rows(LARGE))
        assert spill.is_dir()
    assert not list(spill.glob("*")), "what was spilled stays behind"
    with reading(estate.directory, bounds=Bounds("16MB", tmp_path / "spill")) as database:
        list(database.rows("SET max_temp_directory_size = '0B'"))
        with pytest.raises(duckdb.OutOfMemoryException):
            list(database.rows(LARGE))


def test_reading_is_bounded_unless_told(estate):
    with estate.reading("a" * 32) as connection:
        limit, folder = connection.execute(
            "SELECT current_setting('memory_limit'), current_setting('temp_directory')"
        ).fetchone()
    assert limit == "1.8 GiB"
    assert str(estate.directory) in folder
