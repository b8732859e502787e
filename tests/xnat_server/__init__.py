"""A server of ours that speaks XNAT's contract as xnatpy, pyxnat and plain HTTP ask for it, over TLS.

No real XNAT is behind it: XNAT's own artefacts are not on public package servers. What it answers is what the clients
were seen to ask for, and what XNAT's releases 1.7 to 1.9 document.
"""

from xnat_server.archive import Archive, Resource, Scan, Session, StoredFile
from xnat_server.server import XnatServer, serving

__all__ = ["Archive", "Resource", "Scan", "Session", "StoredFile", "XnatServer", "serving"]
