"""Statements: COSE_Sign1 with one header and nothing optional (`spec/protocol.md`, section 6; RFC 9052)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cbor2
from cryptography.hazmat.primitives.asymmetric import ed25519

from . import cbor, crypto
from .refusal import Refused

STATEMENT_BYTES_MAX = 96 * 1024
TAG = 18
ALGORITHM, CONTENT_TYPE, KEY_ID = 1, 3, 4
EDDSA, ES256 = -8, -7
KINDS = (
    "request",
    "token",
    "possession",
    "registration",
    "directive",
    "entry",
    "receipt",
    "erasure",
    "erasure-certificate",
    "log-request",
)


def content_type(kind: str) -> str:
    if kind not in KINDS:
        raise ValueError(kind)
    return f"application/sealwort-{kind}+cbor"


def key_id(key: crypto.PublicKey) -> bytes:
    return crypto.digest("sealwort key id v1", crypto.spki(key))


def statement_digest(statement: bytes) -> bytes:
    return crypto.digest("sealwort statement v1", statement)


def algorithm(key) -> int:
    return EDDSA if isinstance(key, (ed25519.Ed25519PrivateKey, ed25519.Ed25519PublicKey)) else ES256


def protected_header(kind: str, key: crypto.PublicKey) -> bytes:
    return cbor.encode({ALGORITHM: algorithm(key), CONTENT_TYPE: content_type(kind), KEY_ID: key_id(key)})


def to_be_signed(kind: str, protected: bytes, payload: bytes) -> bytes:
    """Sig_structure of RFC 9052, section 4.4."""
    return cbor.encode(["Signature1", protected, content_type(kind).encode(), payload])


def sign(kind: str, key: crypto.PrivateKey, payload: bytes) -> bytes:
    protected = protected_header(kind, key.public_key())
    signature = crypto.sign(key, to_be_signed(kind, protected, payload))
    return cbor.encode(cbor2.CBORTag(TAG, [protected, {}, payload, signature]))


@dataclass(frozen=True)
class Statement:
    """A parsed statement whose signature nobody has checked yet."""

    kind: str
    algorithm: int | None
    key_id: bytes | None
    protected: bytes
    payload: bytes
    signature: bytes
    data: bytes

    def verify(self, key: crypto.PublicKey) -> bytes:
        """The payload, if this key signed it."""
        if self.algorithm != algorithm(key) or self.key_id != key_id(key):
            raise Refused("signature-wrong", "the statement names another key")
        crypto.verify(key, self.signature, to_be_signed(self.kind, self.protected, self.payload))
        return self.payload


def parse(kind: str, data: bytes) -> Statement:
    if len(data) > STATEMENT_BYTES_MAX:
        raise cbor.malformed("a statement that is too long")
    value = cbor.decode(data)
    if not isinstance(value, cbor2.CBORTag) or value.tag != TAG:
        raise cbor.malformed("not a COSE_Sign1 with its tag")
    parts = value.value
    if not isinstance(parts, (list, tuple)) or len(parts) != 4:
        raise cbor.malformed("a COSE_Sign1 has four parts")
    protected, unprotected, payload, signature = parts
    if type(protected) is not bytes or type(payload) is not bytes or type(signature) is not bytes:
        raise cbor.malformed("protected header, payload and signature are byte strings")
    header = cbor.decode(protected)
    if not isinstance(header, Mapping) or not isinstance(unprotected, Mapping):
        raise cbor.malformed("headers are maps")
    if unprotected or not set(header) <= {ALGORITHM, CONTENT_TYPE, KEY_ID}:
        raise Refused("statement-invalid", "more in the headers than algorithm, content type and key id")
    if header.get(CONTENT_TYPE) != content_type(kind):
        raise Refused("statement-invalid", f"not a {kind}")
    return Statement(kind, header.get(ALGORITHM), header.get(KEY_ID), protected, payload, signature, data)


def verify(kind: str, data: bytes, key: crypto.PublicKey) -> bytes:
    """The payload of a statement that `key` signed."""
    return parse(kind, data).verify(key)
