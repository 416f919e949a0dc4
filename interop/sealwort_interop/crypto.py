"""The primitives (`spec/protocol.md`, sections 2.1 to 2.3 and 2.5). Nothing here draws a conclusion; callers do."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from .refusal import Refused

TAG_BYTES = 16
WRAP = "sealwort wrap v1"
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey


def be64(number: int) -> bytes:
    return number.to_bytes(8, "big")


def octets(part: bytes | str) -> bytes:
    return part.encode() if isinstance(part, str) else part


def random(length: int) -> bytes:
    return secrets.token_bytes(length)


def frame(*parts: bytes | str) -> bytes:
    return b"".join(be64(len(octets(part))) + octets(part) for part in parts)


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def digest(label: str, *parts: bytes | str) -> bytes:
    """`hash(label, …)` of section 2.1."""
    return sha256(frame(label, *parts))


def mac(key: bytes, label: str, *parts: bytes | str) -> bytes:
    return hmac.digest(key, frame(label, *parts), "sha256")


def same(one: bytes, other: bytes) -> bool:
    """Equality in constant time."""
    return hmac.compare_digest(one, other)


def extract(salt: bytes, secret: bytes) -> bytes:
    """HKDF-Extract (RFC 5869), which is HMAC with the salt as key."""
    return hmac.digest(salt, secret, "sha256")


def expand(key: bytes, label: str, *parts: bytes | str) -> bytes:
    return HKDFExpand(hashes.SHA256(), 32, frame(label, *parts)).derive(key)


def seal(key: bytes, number: int, content: bytes, associated: bytes) -> bytes:
    """AES-256-GCM; the nonce is `number` in 12 bytes."""
    return AESGCM(key).encrypt(number.to_bytes(12, "big"), content, associated)


def open_sealed(key: bytes, number: int, ciphertext: bytes, associated: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(number.to_bytes(12, "big"), ciphertext, associated)
    except (InvalidTag, ValueError) as error:
        raise Refused("seal-broken", "a ciphertext does not open") from error


def spki(key: PublicKey) -> bytes:
    """SubjectPublicKeyInfo in DER."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def public_key(der: bytes) -> PublicKey:
    """The key in a SubjectPublicKeyInfo: Ed25519 or P-256, and nothing else."""
    try:
        key = serialization.load_der_public_key(der)
    except Exception as error:
        raise Refused("statement-invalid", "not a public key") from error
    return supported(key)


def supported(key) -> PublicKey:
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise Refused("signature-wrong", "a key of another algorithm than Ed25519 and P-256")


def sign(key: PrivateKey, message: bytes) -> bytes:
    """Ed25519, or ECDSA over P-256 with SHA-256 as r‖s in 64 bytes."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def verify(key: PublicKey, signature: bytes, message: bytes) -> None:
    """Nothing if the signature holds, else `signature-wrong`."""
    try:
        if len(signature) != 64:
            raise InvalidSignature
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, message)
            return
        r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
        if not (0 < r < P256_ORDER and 0 < s < P256_ORDER):
            raise InvalidSignature
        key.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise Refused("signature-wrong", "a signature does not verify") from error


def wrap(key: bytes, place: list[bytes | str], content: bytes, salt: bytes) -> bytes:
    """Section 2.6: at rest, bound to its place."""
    return salt + seal(expand(key, WRAP, salt, *place), 0, content, WRAP.encode())


def unwrap(key: bytes, place: list[bytes | str], wrapped: bytes) -> bytes:
    salt, ciphertext = wrapped[:32], wrapped[32:]
    return open_sealed(expand(key, WRAP, salt, *place), 0, ciphertext, WRAP.encode())
