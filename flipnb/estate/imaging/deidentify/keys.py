"""What a Trust's and study's key makes of UIDs, people and days: always the same, and nothing to who lacks the key."""

from __future__ import annotations

import hashlib
import hmac
from functools import cache

_KEPT = 200_000
_MOST_WEEKS = 260  # five years to either side: the season shifts too, ages at a scan do not


class Keys:
    """The key of one Trust and one study (32 random bytes), used by HMAC-SHA256 alone (RFC 2104)."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 16:
            raise ValueError("a key of at least 16 bytes is needed")
        self._uid = hmac.new(secret, b"flip/image-uid\0", hashlib.sha256)
        self._person = hmac.new(secret, b"flip/image-person\0", hashlib.sha256)
        self._label = hmac.new(secret, b"flip/image-label\0", hashlib.sha256)
        self._shift = hmac.new(secret, b"flip/image-days\0", hashlib.sha256)
        self._uids: dict[bytes, bytes] = {}

    def uid(self, uid: bytes) -> bytes:
        """The UID in place of ``uid`` (without padding): ``2.25.`` and 128 bits (PS3.5 B.2). One of PS3.6 stays."""
        found = self._uids.get(uid)
        if found is None:
            found = self._uids_miss(uid)
        return found

    def _uids_miss(self, uid: bytes) -> bytes:
        if not uid or uid in _registered():
            return uid
        made = b"2.25.%d" % int.from_bytes(_digest(self._uid, uid)[:16], "big")
        if len(uid) <= 64:  # longer is no UID (PS3.5 section 9.1), and would fill the memory
            if len(self._uids) >= _KEPT:
                self._uids.clear()
            self._uids[uid] = made
        return made

    def pseudonym(self, person: bytes) -> bytes:
        """What stands for a person in PatientID and PatientName: 24 digits, for no name can stand in them by chance."""
        return b"%024d" % (int.from_bytes(_digest(self._person, person), "big") % 10**24)

    def label(self, label: bytes) -> bytes:
        """What stands for a name that things in one file call each other by, of at most 16 characters (CS, SH)."""
        return b"REMOVED%08d" % (int.from_bytes(_digest(self._label, label), "big") % 10**8)

    def days(self, person: bytes) -> int:
        """By how many days a person's dates are moved: whole weeks, so that a Monday stays one; never 0."""
        weeks = int.from_bytes(_digest(self._shift, person)[:8], "big") % (2 * _MOST_WEEKS) - _MOST_WEEKS
        return 7 * (weeks if weeks < 0 else weeks + 1)


@cache
def _registered() -> frozenset[bytes]:
    """The UIDs of PS3.6 Annex A, as pydicom has them: others below DICOM's root are some maker's instances."""
    from pydicom._uid_dict import UID_dictionary

    return frozenset(uid.encode() for uid in UID_dictionary)


def _digest(keyed: hmac.HMAC, message: bytes) -> bytes:
    own = keyed.copy()
    own.update(message)
    return own.digest()
