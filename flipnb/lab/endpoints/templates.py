"""Study notebooks from templates: which there are, and the files made of one below the folder that Lab shows."""

from __future__ import annotations

from pathlib import Path

from flipnb.contracts.document import Document
from flipnb.lab.bench import Bench
from flipnb.lab.endpoint import endpoint
from flipnb.workbench import templates
from flipnb.workbench.templates import Made


class StudyTemplate(Document):
    """``packages`` are the distributions that its notebook imports, by which a Trust's environment can run it."""

    name: str
    title: str
    says: str
    packages: tuple[str, ...]


class TemplateList(Document):
    """The installed templates, in the order in which people see them."""

    templates: tuple[StudyTemplate, ...]


class NewNotebook(Document):
    """``folder`` is relative to the root, empty for the root; ``cohort`` a cohort file in it, None for a new one."""

    name: str
    template: str
    folder: str = ""
    cohort: str | None = None


class PlanWanted(Document):
    """The path of a notebook that has no plan."""

    path: str


class MadeFiles(Document):
    """Paths as the file browser names them; ``cohort`` may have been there before."""

    notebook: str
    plan: str
    cohort: str


@endpoint("GET", "templates", "notebooks")
def list_templates(bench: Bench) -> TemplateList:
    """The templates of study notebooks that are installed here."""
    return TemplateList(
        templates=tuple(
            StudyTemplate(name=found.name, title=found.title, says=found.says, packages=found.packages)
            for found in templates.find_templates()
        )
    )


@endpoint("POST", "templates/notebooks", "notebooks")
def make_notebook(bench: Bench, body: NewNotebook) -> MadeFiles:
    """Make a notebook with plan and cohort from a template. 409 where a name is taken: then nothing is written."""
    folder = bench.place(f"{body.folder.rstrip('/')}/{body.name or 'study'}.ipynb").parent
    return _shown(bench, templates.new(body.name, template=body.template, folder=folder, cohort=body.cohort))


@endpoint("POST", "templates/plans", "notebooks")
def make_plan(bench: Bench, body: PlanWanted) -> MadeFiles:
    """Make a plan beside a notebook that has none, and its cohort where there is none either."""
    return _shown(bench, templates.make_plan(bench.file(body.path)))


def _shown(bench: Bench, made: Made) -> MadeFiles:
    def path(file: Path) -> str:
        return file.resolve().relative_to(bench.root.resolve()).as_posix()

    return MadeFiles(notebook=path(made.notebook), plan=path(made.plan), cohort=path(made.cohort))
