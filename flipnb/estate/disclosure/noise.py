"""Exact samples of the discrete Gaussian from a secret seed: the same seed gives the same noise, for ever.

Canonne, Kamath, Steinke: The Discrete Gaussian for Differential Privacy (NeurIPS 2020), algorithms 1 to 3. Integers and
fractions alone: floating-point noise is open to attack (Mironov, On Significance of the Least Significant Bits for
Differential Privacy, CCS 2012). Bits come from SHAKE-256 over the seed.
"""

from __future__ import annotations

import hashlib
import hmac
from fractions import Fraction
from math import isqrt

_BLOCK = 64


def seed(secret: bytes, *parts: str) -> bytes:
    """32 bytes: HMAC-SHA256 of the parts, each with its length before it, so that no two lists run together."""
    message = b"".join(len(part.encode()).to_bytes(8, "big") + part.encode() for part in ("flip/noise/1", *parts))
    return hmac.new(secret, message, hashlib.sha256).digest()


def discrete_gaussian(deviation: float, seed: bytes) -> int:
    """A sample with P(x) proportional to exp(-x² / (2 deviation²)); 0 where ``deviation`` is 0."""
    if deviation == 0:
        return 0
    return _Bits(seed).gaussian(Fraction(str(deviation)) ** 2)


class _Bits:
    """A stream of uniform bits, and what is drawn from it."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._blocks = 0
        self._pool = 0
        self._left = 0

    def _take(self, bits: int) -> int:
        while self._left < bits:
            message = self._seed + self._blocks.to_bytes(8, "big")
            self._pool = self._pool << 8 * _BLOCK | int.from_bytes(hashlib.shake_256(message).digest(_BLOCK), "big")
            self._blocks, self._left = self._blocks + 1, self._left + 8 * _BLOCK
        self._left -= bits
        taken = self._pool >> self._left
        self._pool &= (1 << self._left) - 1
        return taken

    def below(self, limit: int) -> int:
        """Uniform in 0 … limit - 1, by rejection."""
        bits = (limit - 1).bit_length()
        while (drawn := self._take(bits)) >= limit:
            pass
        return drawn

    def bernoulli(self, p: Fraction) -> bool:
        return self.below(p.denominator) < p.numerator

    def bernoulli_exp(self, gamma: Fraction) -> bool:
        """True with probability exp(-gamma), for gamma ≥ 0 (algorithm 1)."""
        while gamma > 1:
            if not self.bernoulli_exp(Fraction(1)):
                return False
            gamma -= 1
        k = 1
        while self.bernoulli(gamma / k):
            k += 1
        return k % 2 == 1

    def laplace(self, scale: int) -> int:
        """P(x) proportional to exp(-|x| / scale), for a whole ``scale`` (algorithm 2)."""
        while True:
            u = self.below(scale)
            if not self.bernoulli_exp(Fraction(u, scale)):
                continue
            v = 0
            while self.bernoulli_exp(Fraction(1)):
                v += 1
            magnitude, negative = u + scale * v, self.below(2) == 1
            if not (negative and magnitude == 0):
                return -magnitude if negative else magnitude

    def gaussian(self, variance: Fraction) -> int:
        """The discrete Gaussian (algorithm 3)."""
        scale = isqrt(variance.numerator // variance.denominator) + 1
        while True:
            candidate = self.laplace(scale)
            gamma = (abs(candidate) - variance / scale) ** 2 / (2 * variance)
            if self.bernoulli_exp(gamma):
                return candidate
