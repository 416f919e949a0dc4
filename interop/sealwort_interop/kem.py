"""X-Wing, the key encapsulation of the suite (`spec/protocol.md`, section 2.4; draft-connolly-cfrg-xwing-kem).

ML-KEM-768 and X25519 come from `cryptography`, which has them from the OpenSSL that its wheels carry.
"""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric import mlkem, x25519

from . import crypto
from .refusal import Refused

KEM_KEY_BYTES = 1216
KEM_CIPHERTEXT_BYTES = 1120
ML_KEM_KEY_BYTES = 1184
ML_KEM_CIPHERTEXT_BYTES = 1088
LABEL = rb"\.//^" + b"\\"


def combine(ss_m: bytes, ss_x: bytes, ct_x: bytes, pk_x: bytes) -> bytes:
    return hashlib.sha3_256(ss_m + ss_x + ct_x + pk_x + LABEL).digest()


class KeyPair:
    """An ephemeral pair, for one decapsulation. `seed`, 32 bytes, is X-Wing's private key; vectors give it."""

    def __init__(self, seed: bytes | None = None):
        expanded = hashlib.shake_256(seed or crypto.random(32)).digest(96)
        self._ml_kem = mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
        self._x25519 = x25519.X25519PrivateKey.from_private_bytes(expanded[64:])
        self._pk_x = self._x25519.public_key().public_bytes_raw()
        self.key = self._ml_kem.public_key().public_bytes_raw() + self._pk_x

    def decapsulate(self, encapsulation: bytes) -> bytes:
        """The 32-byte secret."""
        if len(encapsulation) != KEM_CIPHERTEXT_BYTES:
            raise Refused("encapsulation-wrong", "wrong length")
        ct_m, ct_x = encapsulation[:ML_KEM_CIPHERTEXT_BYTES], encapsulation[ML_KEM_CIPHERTEXT_BYTES:]
        try:
            ss_m = self._ml_kem.decapsulate(ct_m)
            ss_x = self._x25519.exchange(x25519.X25519PublicKey.from_public_bytes(ct_x))
        except ValueError as error:
            raise Refused("encapsulation-wrong", str(error)) from error
        return combine(ss_m, ss_x, ct_x, self._pk_x)


def encapsulate(key: bytes) -> tuple[bytes, bytes]:
    """Secret of 32 bytes and encapsulation of 1120 for an encapsulation key of 1216 bytes."""
    if len(key) != KEM_KEY_BYTES:
        raise Refused("encapsulation-wrong", "wrong length")
    pk_m, pk_x = key[:ML_KEM_KEY_BYTES], key[ML_KEM_KEY_BYTES:]
    try:
        ss_m, ct_m = mlkem.MLKEM768PublicKey.from_public_bytes(pk_m).encapsulate()
        ephemeral = x25519.X25519PrivateKey.generate()
        ss_x = ephemeral.exchange(x25519.X25519PublicKey.from_public_bytes(pk_x))
    except ValueError as error:
        raise Refused("encapsulation-wrong", str(error)) from error
    ct_x = ephemeral.public_key().public_bytes_raw()
    return combine(ss_m, ss_x, ct_x, pk_x), ct_m + ct_x
