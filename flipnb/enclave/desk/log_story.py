"""The audit log as the desk tells it: in lines of plain words, a run in one of them, the newest first."""

from __future__ import annotations

import threading
from collections.abc import Callable

from flipnb.contracts.desk import AuditEntries, AuditLine, AuditLines, AuditTold
from flipnb.enclave.stores.audit import AuditLog
from flipnb.wording.audit import GROUPS, Entry, Story, entry_sentence

_MOST_LINES = 500
_MOST_ENTRIES = 2000


class LogStory:
    """Reads on where it was, each time that it is asked; ``name_of`` calls runs what people call them."""

    def __init__(self, audit: AuditLog, name_of: Callable[[str], str]) -> None:
        self._audit, self._name_of = audit, name_of
        self._lock = threading.Lock()
        self._story = Story()

    def lines(self, group: str) -> AuditLines:
        """The newest lines of a group. Raises FlipError ``bad-query``."""
        with self._lock:
            self._read_on()
            found = self._story.lines(group)
            numbers = {name: len(self._story.lines(name)) for name in GROUPS}
            shown = tuple(
                AuditLine(
                    key=line.key, at=line.at, text=line.sentence(self._name_of), entries=len(line.indices), run=line.run
                )
                for line in found[:_MOST_LINES]
                if line.at is not None
            )
        page = self._audit.page(self._story.size)
        return AuditLines(lines=shown, numbers=numbers, size=page.size, head=page.head)

    def entries(self, key: str) -> AuditEntries:
        """The entries of a line, the newest first. Raises FlipError ``no-line``."""
        with self._lock:
            self._read_on()
            indices = self._story.line(key).indices[-_MOST_ENTRIES:]
        wanted, found, after = set(indices), [], indices[0]
        while after <= indices[-1]:
            page = self._audit.page(after)
            for place, leaf in enumerate(page.entries, after):
                if place in wanted:
                    entry = Entry.of(leaf)
                    text = entry_sentence(entry.kind, entry.details)
                    found.append(AuditTold(index=place, at=entry.at, text=text, leaf=leaf))
            after += len(page.entries)
        return AuditEntries(entries=tuple(reversed(found)))

    def _read_on(self) -> None:
        while self._story.size < self._audit.size:
            self._story.take(self._audit.page(self._story.size).entries)
