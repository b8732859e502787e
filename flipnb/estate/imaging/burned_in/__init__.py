"""Text that is burned into an image's pixels: found, shown with boxes, covered."""

from flipnb.estate.imaging.burned_in.blanking import blank
from flipnb.estate.imaging.burned_in.looking import examine
from flipnb.estate.imaging.burned_in.picture import picture
from flipnb.estate.imaging.burned_in.series import samples
from flipnb.estate.imaging.burned_in.verdict import Box, FoundText, Verdict

__all__ = ["Box", "FoundText", "Verdict", "blank", "examine", "picture", "samples"]
