"""`setting.json` and how values are written in vectors."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from sealwort_interop import crypto
from sealwort_interop.certificates import Trust

FOLDER = Path(__file__).parents[3] / "spec" / "vectors"


def unhex(text: str) -> bytes:
    data = bytes.fromhex(text)
    assert data.hex() == text, "not lower-case hexadecimal"
    return data


def unhex_all(texts: list[str]) -> list[bytes]:
    return [unhex(text) for text in texts]


def shown(value: Any) -> Any:
    """CBOR as vectors show it in JSON."""
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, (list, tuple)):
        return [shown(each) for each in value]
    return value


@cache
def setting() -> dict:
    return json.loads((FOLDER / "setting.json").read_text())


@cache
def files() -> dict[str, list[dict]]:
    """Vectors by file."""
    paths = sorted(path for path in FOLDER.glob("*.json") if path.name != "setting.json")
    return {path.stem: json.loads(path.read_text())["vectors"] for path in paths}


@cache
def by_name() -> dict[str, dict]:
    return {vector["name"]: vector for vectors in files().values() for vector in vectors}


def now() -> int:
    return setting()["now"]


def trust(name: str) -> Trust:
    """A fresh trust with the revocation lists that it has taken."""
    found = setting()["trust"][name]
    built = Trust(found["exchange"], unhex(found["root"]))
    for each in found["lists"]:
        built.take_list(unhex(each["crl"]), unhex(each["issuing"]), each["taken_at"])
    return built


def private_key(algorithm: str, seed: str) -> crypto.PrivateKey:
    if algorithm == "ed25519":
        return ed25519.Ed25519PrivateKey.from_private_bytes(unhex(seed))
    return ec.derive_private_key(int(seed, 16), ec.SECP256R1())


class Party:
    """A party of the setting, for one use."""

    def __init__(self, name: str, use: str = "statement"):
        party = setting()["parties"][name]
        self.identity: str = party["identity"]
        self.role: str = party["role"]
        self.chain = unhex_all(party[use]["chain"])
        self.key = private_key(party["algorithm"], party[use]["seed"])
        assert crypto.spki(self.key.public_key()) == unhex(party[use]["public_key"])


def head(value: dict) -> tuple[int, bytes]:
    return value["sequence"], unhex(value["head"])
