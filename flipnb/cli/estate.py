"""``flip estate``: filling a Trust's estate."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from flipnb.cli.terminal import JsonOption, print_json, print_table, speaks_plainly
from flipnb.contracts.problem import FlipError

app = typer.Typer(help="A Trust's estate: harmonised data in versions.", no_args_is_help=True)


@app.command()
@speaks_plainly
def load(
    mapping: Annotated[Path, typer.Argument(help="A mapping file.")],
    sources: Annotated[Path, typer.Option(help="The directory of the extract.")],
    estate: Annotated[Path, typer.Option(help="The estate's directory.")],
    as_json: JsonOption = False,
) -> None:
    """Harmonise an extract into a new estate version; all of it, or nothing."""
    from flipnb.estate import load as harmonise

    report = harmonise(mapping, sources, estate)
    if as_json:
        print_json(report.model_dump(mode="json"))
        return
    print(f"Estate version {report.version}: {report.people} people")
    print_table(["table", "rows"], list(report.rows.items()))


class TableFormat(StrEnum):
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
        print(f"flip: {error}", file=sys.stderr)
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
