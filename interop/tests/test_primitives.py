"""Published answers for what other texts define, and conditions that no vector of ours can show."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from kinds.primitives import encapsulate_from

from sealwort_interop import cbor, cose, crypto, kem, record
from sealwort_interop.refusal import Refused


def test_x_wing_of_the_draft() -> None:
    """draft-connolly-cfrg-xwing-kem, appendix C, the first vector."""
    seed = bytes.fromhex("7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26")
    randomness = bytes.fromhex(
        "3cb1eea988004b93103cfb0aeefd2a686e01fa4a58e8a3639ca8a1e3f9ae57e2"
        "35b8cc873c23dc62b8d260169afa2f75ab916a58d974918835d25e6a435085b2"
    )
    pair = kem.KeyPair(seed)
    secret, encapsulation = encapsulate_from(pair.key, randomness)
    assert secret.hex() == "d2df0522128f09dd8e2c92b1e905c793d8f57a54c3da25861f10bf4ca613e384"
    assert pair.decapsulate(encapsulation) == secret


def test_two_kems_agree() -> None:
    """What `cryptography` encapsulates decapsulates, and so does what `kyber-py` does."""
    pair = kem.KeyPair()
    for secret, encapsulation in (kem.encapsulate(pair.key), encapsulate_from(pair.key, crypto.random(64))):
        assert pair.decapsulate(encapsulation) == secret


@pytest.mark.parametrize("length", [0, kem.KEM_KEY_BYTES - 1, kem.KEM_KEY_BYTES + 1])
def test_encapsulation_keys_of_other_lengths(length: int) -> None:
    with pytest.raises(Refused, match="encapsulation-wrong"):
        kem.encapsulate(bytes(length))


def test_an_x25519_result_of_zeros() -> None:
    key = kem.KeyPair().key[: kem.ML_KEM_KEY_BYTES] + bytes(32)
    with pytest.raises(Refused, match="encapsulation-wrong"):
        kem.encapsulate(key)


def test_an_ml_kem_key_out_of_range() -> None:
    """FIPS 203, section 7.2: every coefficient is below q."""
    with pytest.raises(Refused, match="encapsulation-wrong"):
        kem.encapsulate(b"\xff" * kem.ML_KEM_KEY_BYTES + kem.KeyPair().key[kem.ML_KEM_KEY_BYTES :])


@pytest.mark.parametrize(
    "data",
    [
        "1801",
        "190001",
        "9f01ff",
        "5f4101ff",
        "7f6161ff",
        "0101",
        "f93c00fb",
        "c24101",
        "a201010102",
        "a202010101",
        "62c328",
        "",
        "81" * 17 + "01",
        "5bffffffffffffffff",
        "9b0000ffffffffffff",
    ],
)
def test_cbor_that_is_not_the_one_form(data: str) -> None:
    with pytest.raises(Refused, match="message-malformed"):
        cbor.decode(bytes.fromhex(data))


def test_numbers_that_are_not_unsigned_integers() -> None:
    for value in (True, -1, 1.0, "1", None, 2**64):
        with pytest.raises(Refused):
            cbor.Uint().read(value, "number")


@pytest.mark.parametrize("key", [ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())])
def test_a_statement_is_of_one_kind_and_one_key(key) -> None:
    statement = cose.sign("token", key, b"payload")
    assert cose.verify("token", statement, key.public_key()) == b"payload"
    with pytest.raises(Refused, match="statement-invalid"):
        cose.verify("receipt", statement, key.public_key())
    with pytest.raises(Refused, match="signature-wrong"):
        cose.verify("token", statement, ed25519.Ed25519PrivateKey.generate().public_key())


def test_p256_signatures_are_two_numbers() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    signature = crypto.sign(key, b"message")
    assert len(signature) == 64
    crypto.verify(key.public_key(), signature, b"message")
    for wrong in (signature + b"\0", bytes(64), signature[:32] + bytes(32), b"\xff" * 64):
        with pytest.raises(Refused, match="signature-wrong"):
            crypto.verify(key.public_key(), wrong, b"message")


@pytest.mark.parametrize("length", [0, 1, 238, 239, 240, 255, 256, 4096, 100_000])
def test_padding_comes_off(length: int) -> None:
    plain = b"\x80" * length
    padded = record.pad(plain)
    assert record.unpad(padded) == plain
    size = len(padded) + crypto.TAG_BYTES
    assert size == record.size_class(size) <= max(record.SIZE_CLASS_MIN, (length + 17) * 9 // 8)
