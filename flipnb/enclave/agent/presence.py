"""What the hub is told of this Trust without asking: the studies that it joined, and its card."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from flipnb.contracts import envelope
from flipnb.contracts.keys import SigningKey
from flipnb.contracts.problem import FlipError
from flipnb.contracts.study import Join
from flipnb.contracts.trust_card import TrustCard
from flipnb.enclave.agent.card import make_card
from flipnb.enclave.agent.hub_link import HubLink
from flipnb.enclave.approvals.membership import Memberships
from flipnb.enclave.stores.configuration import EnclaveDirectory

_LOG = logging.getLogger("flipnb.enclave.agent.presence")
_CARD_S = 60.0


class Presence:
    """``tell_joins`` and ``tell_card`` go on until they are cancelled, or raise what the hub refuses."""

    def __init__(self, directory: EnclaveDirectory, key: SigningKey, memberships: Memberships, hub: HubLink) -> None:
        self._directory, self._key, self._memberships, self._hub = directory, key, memberships, hub
        self._untold = asyncio.Event()
        self._untold.set()
        self._told: TrustCard | None = None
        self._sealed = b""

    def joined(self) -> None:
        """There is a new membership."""
        self._untold.set()

    async def tell_joins(self) -> None:
        """Tell the hub of every membership, at the start and after a new one; a study may be unknown to it yet."""
        while True:
            await self._untold.wait()
            self._untold.clear()
            for study, roster in self._memberships.studies().items():
                join = Join(study=study, roster=roster.digest())
                try:
                    await self._hub.patiently(partial(self._hub.join, join))
                except FlipError:
                    self._untold.set()
                    raise

    async def tell_card(self) -> None:
        """Tell the hub each minute what this Trust has and allows; a hub that was started anew has forgotten it."""
        while True:
            sealed = await self._card()
            await self._hub.patiently(partial(self._hub.tell_card, sealed))
            await asyncio.sleep(_CARD_S)

    async def greet(self) -> None:
        """Try to tell a hub that may be another the card, before it is asked for anything: it starts no more runs than
        slots that it knows of. Where that fails, in whatever way, it is told within a minute.
        """
        try:
            await self._hub.tell_card(await self._card())
        except Exception as error:
            _LOG.info("the hub is not told the card yet: %s", error)

    async def _card(self) -> bytes:
        """The sealed bytes stay the same for as long as what they say does: they have one leaf in the audit log."""
        card = await asyncio.to_thread(make_card, self._directory, self._key.key_id)
        if self._told is None or card != self._told.model_copy(update={"made": card.made}):
            self._told, self._sealed = card, envelope.seal(card, envelope.CARD, self._key)
        return self._sealed
