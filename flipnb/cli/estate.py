"""``flip estate``: filling a Trust's estate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flipnb.cli.terminal import JsonOption, print_json, print_table, speaks_plainly

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
