"""Where a Python and its packages lie on this machine, and how they are mapped into a jail or a sandbox."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

import flipnb
from flipnb.contracts.document import Document

INSIDE = Path("/opt/python")
SITE = Path("/opt/site")
PROJECT = Path("/opt/flip")
LIBRARY = INSIDE / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}"


class Interpreter(Document):
    """A Python that an enclave has: where it lies outside the sandbox.

    ``prefix`` is the environment (a virtual environment's directory, or ``base``), ``base`` the installation that
    owns the standard library, ``sites`` the directories of installed packages, ``project`` the directory that
    holds the ``flipnb`` package.
    """

    executable: Path
    binary: Path
    standard_library: Path
    shared_library: Path | None
    base: Path
    prefix: Path
    sites: tuple[Path, ...]
    project: Path

    @classmethod
    def current(cls) -> Interpreter:
        """The Python that runs this process."""
        paths = sysconfig.get_paths()
        shared = _shared_library()
        return cls(
            executable=Path(sys.executable),
            binary=Path(getattr(sys, "_base_executable", sys.executable)).resolve(),
            standard_library=Path(paths["stdlib"]).resolve(),
            shared_library=shared,
            base=Path(sys.base_prefix).resolve(),
            prefix=Path(sys.prefix),
            sites=tuple(dict.fromkeys(Path(paths[name]).resolve() for name in ("purelib", "platlib"))),
            project=Path(flipnb.__path__[0]).resolve().parent,
        )

    def trees(self) -> list[Path]:
        """The directories that a process outside the sandbox needs to run this Python, none within another."""
        wanted = [self.base, self.binary.parent, self.prefix, *self.sites, self.project / "flipnb"]
        if not self.prefix.joinpath("pyvenv.cfg").exists():
            wanted.append(self.standard_library)
        real = list(dict.fromkeys(wanted))
        return [path for path in real if not any(other in path.parents for other in real)]

    def inside(self) -> list[tuple[Path, Path]]:
        """(source, place in the sandbox) of what a kernel needs: binary, standard library, packages."""
        binds = [(self.binary, INSIDE / "bin" / "python"), (self.standard_library, LIBRARY)]
        if self.shared_library is not None:
            binds.append((self.shared_library, INSIDE / "lib" / self.shared_library.name))
        return [*binds, *zip(self.sites, self.site_places(), strict=True)]

    def search_path(self) -> list[Path]:
        """Where modules are looked for within the walls: Python's own before those of packages, of which some bring a
        module of a name of Python's."""
        return [PROJECT, LIBRARY, LIBRARY / "lib-dynload", *self.site_places()]

    def site_places(self) -> list[Path]:
        """Where the packages' directories lie within the walls, in the order of ``sites``."""
        return [SITE if index == 0 else Path(f"{SITE}{index}") for index in range(len(self.sites))]


def _shared_library() -> Path | None:
    if not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        return None
    directory, name = sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("INSTSONAME")
    library = Path(str(directory)) / str(name)
    # A system Python's library is found by the loader in any case.
    return library if library.is_file() and not os.fspath(library).startswith("/usr/lib/") else None
