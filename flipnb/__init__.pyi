# What type checkers and editors see. A stub, since these imports would be a way from each room to the workbench.
from flipnb import cohorts as cohorts
from flipnb.simulation.rehearsing import rehearse as rehearse
from flipnb.workbench.notebook import cohort as cohort
from flipnb.workbench.notebook import data as data
from flipnb.workbench.notebook import file as file
from flipnb.workbench.notebook import follow as follow
from flipnb.workbench.notebook import results as results
from flipnb.workbench.notebook import rounds as rounds
from flipnb.workbench.notebook import runs as runs
from flipnb.workbench.notebook import submit as submit
from flipnb.workbench.notebook import total as total
from flipnb.workbench.templates import new as new

__version__: str
__all__ = [
    "cohort", "cohorts", "data", "file", "follow", "new", "rehearse", "results", "rounds", "runs", "submit", "total",
]  # fmt: skip
