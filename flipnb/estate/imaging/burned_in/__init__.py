"""Text that is burned into an image's pixels: found, shown with boxes, covered."""

from flipnb.estate.imaging.burned_in.looking import examine
from flipnb.estate.imaging.burned_in.verdict import FoundText, Verdict

__all__ = ["FoundText", "Verdict", "examine"]
