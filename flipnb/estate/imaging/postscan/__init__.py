"""An independent second look at an image before it is released, by another parser and table than the engine's."""

from flipnb.estate.imaging.postscan.policy import ScanPolicy, Survivor
from flipnb.estate.imaging.postscan.scan import survivors

__all__ = ["ScanPolicy", "Survivor", "survivors"]
