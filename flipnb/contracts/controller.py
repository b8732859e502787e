"""A Trust's data controller: who decides there, by key."""

from __future__ import annotations

from flipnb.contracts.document import Document
from flipnb.contracts.keys import PublicKey, key_id
from flipnb.contracts.text import Name


class Controller(Document):
    """One person at one Trust. A Trust may have several, each with a key and a passphrase of their own."""

    name: Name
    public_key: PublicKey

    @property
    def key_id(self) -> str:
        """SHA-256 of the public key's 32 raw bytes, hexadecimal."""
        return key_id(self.public_key)

    @property
    def key_file(self) -> str:
        """The file's name below the enclave's ``keys/``; encrypted with the passphrase, which is kept nowhere."""
        return f"controller-{self.name}.pem"
