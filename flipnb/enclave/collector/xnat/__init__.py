"""An XNAT as an archive of images: its archive, never its prearchive, through xnatpy, and little of it believed."""
