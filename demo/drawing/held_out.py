"""Which (shape, foreground, background) combinations training never sees."""

from __future__ import annotations

import hashlib

_ONE_IN = 10


def is_held_out(shape: str, foreground: str, background: str) -> bool:
    """Whether a combination is kept for measuring: a tenth of all, chosen by a hash."""
    digest = hashlib.sha256(f"{shape}/{foreground}/{background}".encode()).digest()
    return digest[0] * 256 + digest[1] < 65536 // _ONE_IN
