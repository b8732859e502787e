"""Bundles that the hub has, and what each Trust said of its approvals of them."""

from __future__ import annotations

from flipnb.contracts.document import Digest, Document, Moment
from flipnb.contracts.keys import KeyId


class KnownBundle(Document):
    """``executions_left``: how many more runs each Trust's approvals cover, by key, as the Trust said last.

    It is what a data controller granted, less what runs took: of patients it says nothing.
    """

    bundle: Digest
    expires: Moment
    executions_left: dict[KeyId, int]


class KnownBundles(Document):
    """GET /v1/studies/{study}/bundles?content=DIGEST: the caller's own with this ``Bundle.content_digest``, the newest
    first."""

    bundles: tuple[KnownBundle, ...]
