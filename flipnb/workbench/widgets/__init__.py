"""What shows itself in a notebook with a front end of its own, through anywidget: in Lab, Notebook, VS Code and Binder.

Nothing is imported from here before something shows itself; where anywidget is not installed, text stands in.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

STATIC = Path(__file__).parent / "static"

if TYPE_CHECKING:
    from flipnb.workbench.cohort import Cohort


def builder_of(cohort: Cohort) -> Any:
    """The cohort builder of a notebook, an ipywidget; None where there are no widgets, or no front end was built."""
    if find_spec("anywidget") is None or not (STATIC / "cohort.js").is_file():
        return None
    from flipnb.workbench.widgets.cohort_widget import CohortWidget

    return CohortWidget(cohort)
