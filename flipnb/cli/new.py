"""``flip new``: a study notebook from a template, with its plan and its cohort."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flipnb.cli.terminal import JsonOption, print_json, print_table, print_text, speaks_plainly

NameArgument = Annotated[str | None, typer.Argument(help="The notebook's name, for example heart_risk.")]
TemplateOption = Annotated[str, typer.Option("--template", "-t", help="table, survival, totals, or an installed one.")]
CohortOption = Annotated[
    str | None, typer.Option(help="A cohort file of the folder, instead of a new one: NAME.cohort.json.")
]


@speaks_plainly
def new(
    name: NameArgument = None,
    template: TemplateOption = "table",
    folder: Annotated[Path, typer.Option("--in", help="The folder where it is made.")] = Path(),
    cohort: CohortOption = None,
    list_them: Annotated[bool, typer.Option("--list", help="List the installed templates; makes nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make NAME.ipynb with its plan and its cohort, ready to be rehearsed; nothing is ever overwritten."""
    from flipnb.workbench.templates import find_templates
    from flipnb.workbench.templates import new as make

    if list_them:
        rows = [[one.name, one.title, one.says, ", ".join(one.packages)] for one in find_templates()]
        if as_json:
            print_json([dict(zip(("name", "title", "says", "packages"), row, strict=True)) for row in rows])
        else:
            print_table(["template", "title", "what it is", "needs"], rows)
        return
    if name is None:
        raise typer.BadParameter("Give a NAME, or --list.")
    made = make(name, template=template, folder=folder, cohort=cohort)
    if as_json:
        print_json({"notebook": made.notebook, "plan": made.plan, "cohort": made.cohort})
        return
    for path, what in ((made.notebook, "the notebook"), (made.plan, "its plan"), (made.cohort, "its cohort")):
        print_text(f"{path}  {what}")
    print_text(f"\nTry it on a twin: flip rehearse {made.notebook}")
