"""Disclosure control: exact numbers of people, the noise on them, and what may leave."""

from flipnb.estate.disclosure.noise import discrete_gaussian, seed
from flipnb.estate.disclosure.release import Cell, bars, noisy, shown
from flipnb.estate.disclosure.tabulation import Tabulation, tabulate

__all__ = ["Cell", "Tabulation", "bars", "discrete_gaussian", "noisy", "seed", "shown", "tabulate"]
