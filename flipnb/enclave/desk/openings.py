"""What of each request a data controller has had before them: only who opened brief and code may approve it.

It is kept in the audit log, by the bundle's digest and the person's key, and so over restarts; a person opens a part
once. Names come back: who has that of a controller who is gone has opened nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from flipnb.contracts.controller import Controller
from flipnb.contracts.desk import PARTS, Opening, Part
from flipnb.contracts.document import load_json
from flipnb.contracts.problem import FlipError
from flipnb.enclave.stores.audit import AuditLog

_MARK = '"kind":"opened"'


class Openings:
    """One enclave's; the log is read when it is first asked."""

    def __init__(self, audit: AuditLog, controllers: Callable[[], Iterable[Controller]]) -> None:
        self._audit, self._controllers = audit, controllers
        self._lock = threading.Lock()
        self._read = False
        self._opened: dict[str, list[tuple[str, Opening]]] = {}
        """By bundle: the key id of who opened something, and what."""

    def of(self, bundle: str) -> tuple[Opening, ...]:
        """What those who decide here now have opened of a request, in the order of its entries."""
        keys = {known.name: known.key_id for known in self._controllers()}
        with self._lock:
            self._read_log()
            return tuple(one for key, one in self._opened.get(bundle, ()) if keys.get(one.controller) == key)

    def note(self, bundle: str, opening: Opening) -> None:
        """A controller has opened a part. Raises FlipError ``unknown-controller``, ``disk-full``."""
        key = next((known.key_id for known in self._controllers() if known.name == opening.controller), None)
        if key is None:
            raise FlipError(
                "unknown-controller", f"No data controller here is called {opening.controller!r}.", status=404
            )
        with self._lock:
            self._read_log()
            opened = self._opened.setdefault(bundle, [])
            if (key, opening) not in opened:
                self._audit.append(
                    "opened", bundle=bundle, controller=opening.controller, controller_key=key, part=opening.part
                )
                opened.append((key, opening))

    def readers(self, bundle: str) -> tuple[Controller, ...]:
        """The controllers who have opened all of a request. Raises FlipError ``not-opened`` where there is none."""
        opened = self.of(bundle)
        found = tuple(one for one in self._controllers() if not _unread(opened, one.name))
        if not found:
            raise FlipError(
                "not-opened",
                "Nobody here has opened both the brief and the code of this request.",
                remedy="Read both at the desk, or with `flip enclave show`.",
                status=409,
            )
        return found

    def require_reader(self, bundle: str, key: str) -> None:
        """Raise FlipError ``not-opened`` where the controller of the key id ``key`` has not opened all of a request.

        A key that is nobody's here is not judged: its approval is refused by its signature.
        """
        for one in self._controllers():
            unread = _unread(self.of(bundle), one.name) if one.key_id == key else ()
            if unread:
                raise FlipError(
                    "not-opened",
                    f"{one.name} has not opened the {' and the '.join(unread)} of this request; nothing was approved.",
                    remedy="Read both at the desk, or with `flip enclave show`.",
                    status=409,
                )

    def _read_log(self) -> None:
        after = 0
        while not self._read:
            page = self._audit.page(after)
            for leaf in page.entries:
                if _MARK in leaf:
                    self._take(leaf)
            after += len(page.entries)
            self._read = not page.entries

    def _take(self, leaf: str) -> None:
        entry = load_json(leaf.encode(), "An entry")
        if entry["kind"] == "opened":
            details = entry["details"]
            opening = Opening(controller=details["controller"], part=details["part"])
            self._opened.setdefault(details["bundle"], []).append((details.get("controller_key", ""), opening))


def _unread(opened: Iterable[Opening], controller: str) -> tuple[Part, ...]:
    """The parts that a controller has not opened."""
    seen = {one.part for one in opened if one.controller == controller}
    return tuple(part for part in PARTS if part not in seen)
