"""``load``: a source into a new estate version, all of it or nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flipnb.contracts.document import Document, canonical_bytes, sha256
from flipnb.contracts.problem import FlipError
from flipnb.estate.cohort.by_concept import add_by_concept
from flipnb.estate.harmonise.build import MEMORY, Build, SourceRecord, configuration
from flipnb.estate.harmonise.feed import Feed, Progress
from flipnb.estate.harmonise.images.linking import link_images
from flipnb.estate.harmonise.rejects import refuse_load
from flipnb.estate.harmonise.source import SourceFile
from flipnb.estate.omop.cdm import tables
from flipnb.estate.versions import Estate

if TYPE_CHECKING:
    import duckdb

Ask = Callable[[str], list[tuple[Any, ...]]]
"""Answers one query."""

_FORMAT = "flip/estate/2"
REJECTED = "rejected.csv"
"""Beside an estate's versions: the rejects of the last load that was refused for them."""
MAX_REJECTS = 0.01
"""The share of rows that may be rejected unless the controller says otherwise."""


class LoadReport(Document):
    """What a load made: the version's id, its people and rows per table, and what was not taken.

    ``unchanged`` are files that were taken over from the version before; ``new`` is false where nothing had changed.
    ``people_before`` is how many the version before it had. ``removed`` are ids of older versions that went.
    """

    version: str
    new: bool
    people: int
    people_before: int
    rows: dict[str, int]
    read: tuple[str, ...]
    unchanged: tuple[str, ...]
    rejected: int
    ignored_files: tuple[str, ...]
    ignored_columns: dict[str, str]
    flagged: int
    warnings: tuple[str, ...]
    removed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """Which files are read, which are taken over, and the id of the version that comes of it."""

    read: tuple[tuple[SourceFile, SourceRecord], ...]
    kept: tuple[SourceRecord, ...]
    version: str


def plan_load(feed: Feed, files: Sequence[SourceFile], before: Sequence[SourceRecord]) -> Plan:
    """A version's id is a digest of what it is made of: the same files by the same mappings give the same version."""
    mapping_version = feed.version(files)
    if feed.needs_vocabulary():
        # What other mappings brought, the vocabulary among it, decides what codes mean.
        others = sorted(record.identity() for record in before if record.feed != feed.name)
        mapping_version = sha256(canonical_bytes([mapping_version, others]))
    old = {tuple(record.identity()) for record in before}
    read, kept, records = [], [record for record in before if record.feed != feed.name], []
    for file in files:
        record = SourceRecord(feed.name, file.name, file.digest, feed.mapping, mapping_version, feed.reviewer)
        records.append(record)
        if tuple(record.identity()) in old:
            kept.append(record)
        else:
            read.append((file, record))
    identities = sorted(record.identity() for record in {*kept, *records})
    return Plan(tuple(read), tuple(kept), sha256(canonical_bytes([_FORMAT, identities]))[:32])


def load_directory(
    feed: Feed,
    source: str,
    directory: Path,
    *,
    max_rejects: float,
    progress: Progress,
    memory: str = MEMORY,
    in_use: Collection[str] | None = None,
    allow_empty: bool = False,
) -> LoadReport:
    """Load into a DuckDB estate. Raises FlipError: what the feed raises, ``no-source``, ``too-many-rejects``,
    ``people-clash``, ``people-lost``, ``estate-busy``; the estate is then as it was."""
    estate = Estate.open(directory)
    with estate.loading() as scratch:
        files = feed.open(source, scratch)
        current = estate.current()
        before = _people(estate, current)
        plan = plan_load(feed, files, recorded(estate, current))
        if plan.version == current or plan.version in estate.versions():
            check_people_remain(before, _people(estate, plan.version), source, allow_empty=allow_empty)
            estate.use(plan.version)
            with estate.reading(plan.version) as connection:
                return report_of(_asking(connection), plan, [], [], new=plan.version != current, people_before=before)
        with estate.building(plan.version) as path:
            with Build.open(path, memory=memory) as build:
                if current is not None:
                    build.keep(estate.file(current), plan.kept)
                ignored = read_files(build, feed, plan, progress)
                link_images(build)
                check(build, max_rejects, directory / REJECTED)
                check_people_remain(before, build.count("person"), source, allow_empty=allow_empty)
                warnings = feed.warnings(build)
                progress("writing", sum(build.counts().values()))
            add_by_concept(path, configuration(path, memory), progress)
        with estate.reading(plan.version) as connection:
            report = report_of(_asking(connection), plan, ignored, warnings, new=True, people_before=before)
        return report if in_use is None else report.model_copy(update={"removed": estate.prune(in_use)})


def read_files(build: Build, feed: Feed, plan: Plan, progress: Progress) -> list[str]:
    """Read the files that an interrupted load of the same version has not read yet."""
    done = build.done()
    left = [(file, record) for file, record in plan.read if (record.feed, record.file) not in done]
    return feed.load(build, left, progress) if left else []


def recorded(estate: Estate, version: str | None) -> list[SourceRecord]:
    """What a version was made of; nothing for a version that was not made by ``load``."""
    if version is None:
        return []
    with estate.reading(version) as connection:
        known = connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'flip_source'").fetchone()
        if known is None:
            return []
        rows = connection.execute(
            "SELECT feed, file, digest, mapping, mapping_version, reviewer FROM flip_source ORDER BY source_id"
        ).fetchall()
    return [SourceRecord(*row) for row in rows]


def check(build: Build, max_rejects: float, rejected_file: Path) -> None:
    """Raises FlipError ``too-many-rejects``, ``people-clash``."""
    rows, rejected = build.rates()
    if rejected > rows * max_rejects:
        build.write_rejects(rejected_file)
        refuse_load(rejected, rows, max_rejects, build.rejects(3), rejected_file)
    check_people(_asking(build.connection))


def check_people(ask: Ask) -> None:
    """Raises FlipError ``people-clash``."""
    for clash in ask(
        "SELECT person_id, min(feed), max(feed) FROM person JOIN flip_source ON source_id = flip_source_id "
        "GROUP BY person_id HAVING count(DISTINCT feed) > 1 LIMIT 1"
    ):
        raise FlipError(
            "people-clash",
            f"Person {clash[0]} comes from two mappings, {clash[1]} and {clash[2]}, and may be two people.",
            remedy="Load them into estates of their own, or give the people distinct ids.",
            status=409,
        )


def check_people_remain(before: int, after: int, source: str, *, allow_empty: bool) -> None:
    """Raises FlipError ``people-lost`` where an estate with people would be one without, and nobody said that it may.

    That is a wrong folder or an export that failed far more often than it is meant.
    """
    if before and not after and not allow_empty:
        raise FlipError(
            "people-lost",
            f"The estate has {before} people, and after this load of {source} would have none.",
            remedy="Nothing was loaded. Look at the source; if it is meant, load again with --allow-empty.",
            status=409,
        )


def _people(estate: Estate, version: str | None) -> int:
    if version is None:
        return 0
    with estate.reading(version) as connection:
        return int(_asking(connection)("SELECT count(*) FROM person")[0][0])


def report_of(
    ask: Ask, plan: Plan, ignored: list[str], warnings: list[str], *, new: bool, people_before: int
) -> LoadReport:
    """``ask`` answers SQL over the version that ``plan`` made."""
    counts = {name: int(ask(f"SELECT count(*) FROM {name}")[0][0]) for name in tables()}
    sources = ask("SELECT file, reject_count, ignored_columns FROM flip_source ORDER BY source_id")
    flagged = ask("SELECT count(*) FROM observation WHERE observation_event_id IS NOT NULL")
    return LoadReport(
        version=plan.version,
        new=new,
        people=counts["person"],
        people_before=people_before,
        rows={name: count for name, count in counts.items() if count},
        read=tuple(file.name for file, _ in plan.read) if new else (),
        unchanged=tuple(record.file for record in plan.kept),
        rejected=sum(int(count) for _, count, _ in sources),
        ignored_files=tuple(ignored),
        ignored_columns={file: columns for file, _, columns in sources if columns},
        flagged=int(flagged[0][0]),
        warnings=tuple(warnings),
    )


def _asking(connection: duckdb.DuckDBPyConnection) -> Ask:
    return lambda query: connection.execute(query).fetchall()
