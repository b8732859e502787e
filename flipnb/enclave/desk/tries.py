"""Wrong passphrases: each is in the audit log, and after a few of one controller's nobody tries theirs for a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from math import ceil

from flipnb.contracts.controller import Controller
from flipnb.contracts.problem import FlipError
from flipnb.enclave.stores.audit import AuditLog

_ALLOWED = 5
_WITHIN_S = 900.0


class Tries:
    """Five wrong ones within a quarter of an hour, for each controller; more are neither tried nor written down."""

    def __init__(
        self,
        audit: AuditLog,
        controllers: Callable[[], Iterable[Controller]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._audit, self._controllers, self._clock = audit, controllers, clock
        self._wrong: dict[str, list[float]] = {}

    def left(self, controller: str) -> int:
        """How many more wrong ones are borne now. Raises FlipError ``unknown-controller``, ``too-many-tries``."""
        if controller not in {known.name for known in self._controllers()}:
            raise FlipError("unknown-controller", f"No data controller here is called {controller[:80]!r}.", status=404)
        now = self._clock()
        recent = self._wrong[controller] = [at for at in self._wrong.get(controller, []) if at > now - _WITHIN_S]
        if len(recent) >= _ALLOWED:
            minutes = ceil((recent[0] + _WITHIN_S - now) / 60)
            raise FlipError(
                "too-many-tries",
                f"The passphrase of {controller} was wrong {_ALLOWED} times.",
                remedy=f"Try again in {minutes} minutes. If it was not you, look at the audit log.",
                status=403,
            )
        return _ALLOWED - len(recent)

    def wrong(self, controller: str) -> int:
        """A passphrase of the controller's was wrong; how many more are borne. Raises as ``left``."""
        left = self.left(controller)
        self._wrong[controller].append(self._clock())
        self._audit.append("passphrase-wrong", controller=controller)
        return left - 1
