"""The broker's cookies (`spec/protocol.md`, section 4.1). To a hospital they are opaque; vectors check them."""

from __future__ import annotations

from . import crypto
from .refusal import Refused

COOKIE_SECONDS = 30


def make(key: bytes, nonce: bytes, hop: bytes, time: int) -> bytes:
    return crypto.be64(time) + crypto.mac(key, "sealwort cookie v1", nonce, hop, crypto.be64(time))


def check(key: bytes, cookie: bytes, nonce: bytes, hop: bytes, now: int) -> None:
    time = int.from_bytes(cookie[:8], "big")
    good = len(cookie) == 40 and crypto.same(cookie, make(key, nonce, hop, time))
    if not good or not time <= now <= time + COOKIE_SECONDS:
        raise Refused("cookie-needed", "the cookie is missing or stale")
