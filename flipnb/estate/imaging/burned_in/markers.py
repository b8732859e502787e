"""Text that radiographers put into an image on purpose, and that names nobody: sides, projections, positions."""

from __future__ import annotations

import re

_MARKERS = """
l r lt rt left right ap pa lat lateral ll rl lao rao lpo rpo obl oblique erect semi semierect supine prone upright
standing sitting decub decubitus ap/pa inspiration expiration insp exp portable mobile port mob
axial ax cor sag coronal sagittal a p h f s i hf fh cc mlo rcc lcc rmlo lmlo rml lml ml lm xccl rxccl lxccl
xray x-ray cm mm wb weight bearing weightbearing swimmers odontoid skyline flexion extension internal external resus
"""
_ALLOWED = frozenset(_MARKERS.split())


def is_marker(text: str) -> bool:
    """Whether every word of what was read is an allowed marker or one digit (of a scale, a cassette)."""
    words = re.findall(r"[a-z0-9/\-]+", text.lower())
    return bool(words) and all(word in _ALLOWED or (word.isdigit() and len(word) == 1) for word in words)
