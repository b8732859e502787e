"""Study notebooks from templates: ``flip.new``, ``flip new`` and JupyterLab's *New Study Notebook*."""

from flipnb.workbench.templates.making import Made, make_plan, new
from flipnb.workbench.templates.template import Content, Template, find_templates

__all__ = ["Content", "Made", "Template", "find_templates", "make_plan", "new"]
