"""``flip estate``: filling a Trust's estate, and seeing what is in it."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from flipnb.cli.terminal import JsonOption, print_error, print_json, print_table, print_text, speaks_plainly
from flipnb.contracts.problem import FlipError

app = typer.Typer(help="A Trust's estate: harmonised data in versions.", no_args_is_help=True)

_SHOWN = 10


@app.command()
@speaks_plainly
def load(
    source: Annotated[str, typer.Argument(help="A file, a folder or a zip; for a mapping that asks one, a database.")],
    mapping: Annotated[
        str, typer.Option(help="A mapping file, or omop-5.4 (tables in OMOP shape), fhir-r4, or athena (a vocabulary).")
    ],
    into: Annotated[str, typer.Option(help="The estate: a directory, or a postgresql:// address.")],
    max_rejects: Annotated[
        float, typer.Option(min=0, max=1, help="The share of rows that may be rejected; above it, nothing is loaded.")
    ] = 0.01,
    memory: Annotated[str, typer.Option(help="What the database may hold in memory; the rest goes to disk.")] = "2GB",
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="Load even if an estate that has people would have none.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Harmonise a source into a new estate version and switch to it; all of it, or nothing."""
    from flipnb.enclave.versions_in_use import versions_in_use
    from flipnb.estate import load as harmonise

    def progress(stage: str, rows: int) -> None:
        said = f"{stage.removesuffix(' %')}: {rows} % read" if stage.endswith(" %") else f"{stage}: {rows:,} rows"
        print(said, file=sys.stderr, flush=True)

    report = harmonise(
        source,
        mapping,
        into,
        max_rejects=max_rejects,
        progress=None if quiet or as_json else progress,
        memory=memory,
        in_use=None if "://" in into else versions_in_use(Path(into)),
        allow_empty=allow_empty,
    )
    if as_json:
        print_json(report.model_dump(mode="json"))
        return
    state = "new" if report.new else "nothing has changed"
    print(f"Estate version {report.version} ({state}): {report.people} people")
    if report.people < report.people_before:
        lost = report.people_before - report.people
        part = " MORE THAN HALF ARE GONE." if 2 * lost > report.people_before else ""
        print(f"Note: {lost:,} people fewer than before, when there were {report.people_before:,}.{part}")
    print_table(["table", "rows"], [[name, f"{rows:,}"] for name, rows in report.rows.items()])
    if report.removed:
        print(f"Removed versions that no run needs: {', '.join(report.removed)}")
    for warning in report.warnings:
        print_text(f"Note: {warning}")
    if report.rejected:
        print(f"{report.rejected} rows were rejected; the version's table flip_reject names each.")
    for file, columns in list(report.ignored_columns.items())[:_SHOWN]:
        print_text(f"{file}: columns that OMOP 5.4 has not were ignored: {columns}")
    for name in report.ignored_files[:_SHOWN]:
        print_text(f"Ignored: {name}, which is none of the mapping's")


class Dialect(StrEnum):
    """For which database SQL is written."""

    duckdb = "duckdb"
    postgres = "postgres"


@app.command()
@speaks_plainly
def ddl(
    dialect: Annotated[Dialect, typer.Option(help="Of the database.")] = Dialect.postgres,
    schema: Annotated[str, typer.Option(help="To make the tables in; else where the database puts them.")] = "",
) -> None:
    """Print OMOP CDM 5.4 as SQL, made from OHDSI's specifications: 39 tables and the two of images, with keys."""
    from flipnb.estate.omop.cdm import script

    if schema and not schema.isidentifier():
        raise FlipError("bad-schema", f"{schema!r} is no name of a schema.", remedy="Use letters, digits and _.")
    print(script(dialect.value, schema), end="")


class TableFormat(StrEnum):
    """How a table is written to a file or to the terminal."""

    json = "json"
    csv = "csv"
    parquet = "parquet"


@app.command()
@speaks_plainly
def view(
    definition: Annotated[Path, typer.Argument(metavar="VIEWDEFINITION.json", help="A SQL on FHIR 2 ViewDefinition.")],
    over: Annotated[Path, typer.Option(help="Resources: a JSON array, bundle, NDJSON, or a folder of such files.")],
    format: Annotated[TableFormat, typer.Option(help="Of the table.")] = TableFormat.json,
    out: Annotated[Path | None, typer.Option(help="The file to write; else standard output.")] = None,
) -> None:
    """Run a ViewDefinition over FHIR resources, as a table. Exit code 2 for an invalid ViewDefinition."""
    from flipnb.estate.viewing import view as run

    try:
        count = run(definition, over, format.value, out, sys.stdout)
    except FlipError as error:
        if error.code != "invalid-view":
            raise
        print_error(error)
        raise typer.Exit(2) from None
    if out is not None:
        print(f"{out}: {count} rows", file=sys.stderr)


@app.command()
@speaks_plainly
def cohort(
    definition: Annotated[Path, typer.Argument(help="An OHDSI cohort expression (ATLAS JSON).")],
    estate: Annotated[str, typer.Option("--in", help="The estate's directory, or a postgresql:// address.")],
    rows: Annotated[
        Path | None, typer.Option(help="Also write the cohort's rows to this CSV file, which stays in the enclave.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Find a cohort: how many people each step leaves. Exact counts, for inside the enclave."""
    from flipnb.estate.cohort import generate

    report = generate(definition, estate, rows)
    if as_json:
        print_json(report.model_dump(mode="json"))
        return
    print_table(["step", "people", "events"], [[step.name, step.people, step.events] for step in report.attrition])
    print(f"The cohort: {report.people} people in {report.rows} rows")


@app.command()
@speaks_plainly
def quality(
    estate: Annotated[str, typer.Argument(help="The estate's directory, or a postgresql:// address.")],
    html: Annotated[Path | None, typer.Option(help="Also write the report as one self-contained page.")] = None,
    version: Annotated[str | None, typer.Option(help="Of the estate; else the current one.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Check an estate: conformance, completeness, plausibility, per table and field. Exact numbers, for inside."""
    from flipnb.estate.quality import assess, page

    report = assess(estate, version)
    if html is not None:
        html.write_text(page(report), encoding="utf-8")
    if as_json:
        print_json(report.told())
        return
    judged = [finding for finding in report.findings if finding.allowed is not None]
    failed = f"{len(report.failed)} of {len(judged)} checks failed"
    print(f"Estate version {report.version}: {report.people:,} people, {failed}")
    rows = [
        [
            one.category,
            one.check,
            f"{one.table}.{one.field or '*'}",
            one.meaning,
            f"{one.violated:,}",
            f"{one.share:.2%}",
        ]
        for one in report.failed
    ]
    if rows:
        print_table(["category", "check", "field", "expected", "violated", "share"], rows)
    if html is not None:
        print(f"The page: {html}")


@app.command()
@speaks_plainly
def serve(
    estate: Annotated[str, typer.Argument(help="The estate's directory, or a postgresql:// address.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="On 127.0.0.1; 0 for a free one.")] = 0,
    state: Annotated[
        Path | None, typer.Option(help="Where the token and the ids' key are kept; else the estate's .serve.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Serve the estate as FHIR R4, read-only, to this machine alone. Every request needs the bearer token."""
    from flipnb.estate.serve import serve as run
    from flipnb.estate.serve.server import Serving

    def announce(serving: Serving) -> None:
        if as_json:
            found = {"url": serving.url, "token_file": str(serving.token_file), "version": serving.version}
            print(json.dumps(found), flush=True)
            return
        print(f"FHIR R4 at {serving.url} (estate version {serving.version})")
        print(f"The bearer token is in {serving.token_file}", flush=True)

    run(estate, port=port, state=state, announce=announce)
