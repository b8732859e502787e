"""What every endpoint works with: the researcher's home, the folder that JupyterLab shows, the listener."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from flipnb.contracts.problem import FlipError
from flipnb.contracts.text import as_line
from flipnb.lab.listener import Listener
from flipnb.lab.outbox import Outbox
from flipnb.workbench.home import Home
from flipnb.workbench.results import BUNDLE

_MOST = 200
_DEEPEST = 4


@dataclass(frozen=True)
class Bench:
    """``root`` is the server's root directory; a path that the browser names lies below it.

    ``enclave`` is the directory of the Trust's enclave that this JupyterLab runs in; None on a researcher's machine.
    """

    home: Home
    root: Path
    listener: Listener
    enclave: Path | None = None
    outbox: Outbox = field(default_factory=Outbox)

    def file(self, path: str) -> Path:
        """The file under a path of the file browser. Raises as ``place``, and FlipError ``no-file`` (404)."""
        found = self.place(path)
        if not found.is_file():
            raise FlipError("no-file", f"There is no file {as_line(path)}.", remedy="Save it first.", status=404)
        return found

    def place(self, path: str) -> Path:
        """Where a file is or may be made, in a folder that exists.

        Raises FlipError ``outside`` (403), ``no-folder`` (404); ``bad-path`` (422) for what no file can be called, a
        symlink to itself and what is there and no file.
        """
        root = self.root.resolve()
        try:
            found = (root / path.removeprefix("RTC:").lstrip("/")).resolve()
            inside = found.is_relative_to(root) and found != root
            fits = not inside or found.is_file() or not found.exists()
            in_folder = inside and found.parent.is_dir()
        except (OSError, ValueError, RuntimeError):
            inside, fits, in_folder = True, False, False
        if not inside:
            raise FlipError("outside", f"{as_line(path)} is outside the folder that JupyterLab shows.", status=403)
        if not fits:
            raise FlipError("bad-path", f"{as_line(path)} is no file, and none can be made there.", status=422)
        if not in_folder:
            raise FlipError(
                "no-folder", f"There is no folder for {as_line(path)}.", remedy="Make it first.", status=404
            )
        return found

    def shown(self, text: str) -> str:
        """``text`` with paths in the folder that JupyterLab shows as its file browser names them."""
        return text.replace(f"{self.root.resolve()}/", "")

    def files(self, suffix: str) -> Iterator[Path]:
        """Files whose names end so, 200 at most; hidden folders, results and those deeper than four are left out."""
        count = 0
        for folder, folders, names in os.walk(self.root):
            here = Path(folder)
            deep = len(here.relative_to(self.root).parts)
            folders[:] = (
                [] if deep >= _DEEPEST else [f for f in folders if not f.startswith(".") and f != "node_modules"]
            )
            if BUNDLE in names:  # results: what they were made of lies beside them, and is no work of today
                folders.clear()
            for name in names:
                if name.endswith(suffix) and count < _MOST:
                    count += 1
                    yield here / name
