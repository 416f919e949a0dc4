"""Section 2."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import x25519
from kyber_py.ml_kem import ML_KEM_768

from sealwort_interop import cose, crypto, kem

from .setting import private_key, unhex, unhex_all


def frame(given: dict) -> dict:
    return {"bytes": crypto.frame(*unhex_all(given["parts"])).hex()}


def hash_(given: dict) -> dict:
    return {"digest": crypto.digest(given["label"], *unhex_all(given["parts"])).hex()}


def mac(given: dict) -> dict:
    return {"mac": crypto.mac(unhex(given["key"]), given["label"], *unhex_all(given["parts"])).hex()}


def extract(given: dict) -> dict:
    return {"key": crypto.extract(unhex(given["salt"]), unhex(given["secret"])).hex()}


def expand(given: dict) -> dict:
    return {"secret": crypto.expand(unhex(given["key"]), given["label"], *unhex_all(given["parts"])).hex()}


def aead_seal(given: dict) -> dict:
    key, content, associated = (unhex(given[name]) for name in ("key", "content", "associated"))
    return {"ciphertext": crypto.seal(key, given["number"], content, associated).hex()}


def aead_open(given: dict) -> dict:
    key, ciphertext, associated = (unhex(given[name]) for name in ("key", "ciphertext", "associated"))
    return {"content": crypto.open_sealed(key, given["number"], ciphertext, associated).hex()}


def kem_key(given: dict) -> dict:
    return {"encapsulation_key": kem.KeyPair(unhex(given["seed"])).key.hex()}


def encapsulate_from(key: bytes, randomness: bytes) -> tuple[bytes, bytes]:
    """Secret and encapsulation from given randomness, which `cryptography` does not offer: ML-KEM from `kyber-py`."""
    kem.encapsulate(key)  # what a key must be is this function's to say
    ephemeral = x25519.X25519PrivateKey.from_private_bytes(randomness[32:])
    pk_x = key[kem.ML_KEM_KEY_BYTES :]
    ss_m, ct_m = ML_KEM_768._encaps_internal(key[: kem.ML_KEM_KEY_BYTES], randomness[:32])
    ss_x = ephemeral.exchange(x25519.X25519PublicKey.from_public_bytes(pk_x))
    ct_x = ephemeral.public_key().public_bytes_raw()
    return kem.combine(ss_m, ss_x, ct_x, pk_x), ct_m + ct_x


def kem_encapsulate(given: dict) -> dict:
    secret, ciphertext = encapsulate_from(unhex(given["encapsulation_key"]), unhex(given["randomness"]))
    return {"ciphertext": ciphertext.hex(), "secret": secret.hex()}


def kem_decapsulate(given: dict) -> dict:
    return {"secret": kem.KeyPair(unhex(given["seed"])).decapsulate(unhex(given["ciphertext"])).hex()}


def sign(given: dict) -> dict:
    key = private_key(given["algorithm"], given["seed"])
    signature = crypto.sign(key, unhex(given["message"]))
    return {"public_key": crypto.spki(key.public_key()).hex(), "signature": signature.hex()}


def verify(given: dict) -> dict:
    key = crypto.public_key(unhex(given["public_key"]))
    crypto.verify(key, unhex(given["signature"]), unhex(given["message"]))
    return {}


def key_id(given: dict) -> dict:
    return {"key_id": cose.key_id(crypto.public_key(unhex(given["public_key"]))).hex()}


def wrap(given: dict) -> dict:
    key, content, salt = (unhex(given[name]) for name in ("key", "content", "salt"))
    return {"wrapped": crypto.wrap(key, unhex_all(given["place"]), content, salt).hex()}


def unwrap(given: dict) -> dict:
    key, wrapped = unhex(given["key"]), unhex(given["wrapped"])
    return {"content": crypto.unwrap(key, unhex_all(given["place"]), wrapped).hex()}


KINDS = {
    "frame": frame,
    "hash": hash_,
    "mac": mac,
    "extract": extract,
    "expand": expand,
    "aead-seal": aead_seal,
    "aead-open": aead_open,
    "kem-key": kem_key,
    "kem-encapsulate": kem_encapsulate,
    "kem-decapsulate": kem_decapsulate,
    "sign": sign,
    "verify": verify,
    "key-id": key_id,
    "wrap": wrap,
    "unwrap": unwrap,
}
