"""Bytes of vectors against `spec/sealwort.cddl` and `spec/enrolment.cddl`, by the rule that each vector names."""

from __future__ import annotations

import json

import pytest
from cddl import Mismatch, Schema
from kinds.setting import FOLDER, files, unhex

from sealwort_interop import cbor

CBOR = Schema((FOLDER.parent / "sealwort.cddl").read_text())
JSON = Schema((FOLDER.parent / "enrolment.cddl").read_text())


def at(vector: dict, path: str) -> str:
    """The value behind a path such as `output.messages.1`."""
    value = vector
    for part in path.split("."):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


NAMED = [
    pytest.param(vector, path, rule, id=f"{file}/{vector['name']}/{path}")
    for file, vectors in files().items()
    for vector in vectors
    for path, rule in vector.get("cddl", {}).items()
]


@pytest.mark.parametrize(("vector", "path", "rule"), NAMED)
def test_bytes_follow_the_rule(vector: dict, path: str, rule: str) -> None:
    found = at(vector, path)
    if path.endswith(".json"):
        JSON.validate(rule, json.loads(found))
    else:
        CBOR.validate(rule, cbor.decode(unhex(found)))


REFUSAL = ["broker", "message-malformed", "reason", "remedy"]


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ("confirm", [bytes(31)]),
        ("confirm", [bytes(32), 1]),
        ("confirm", []),
        ("refusal", [*REFUSAL[:3], b"remedy"]),
        ("notice", [5, []]),
        ("notice", [1, [bytes(16)]]),
        ("to-archive-deposit", [4, [bytes(16), bytes(16), 0, bytes(32), 0]]),
        ("to-archive-deposit", [4, [bytes(16), bytes(16), 2**64, bytes(32), 1]]),
        ("broker-call-reply-relay", [0, [b"\x80"]]),
        ("wire-entry", [b"", None]),
        ("header", [1]),
    ],
)
def test_a_wrong_value_is_noticed(rule: str, value) -> None:
    with pytest.raises((Mismatch, KeyError)):
        CBOR.validate(rule, value)


def test_right_values_pass() -> None:
    CBOR.validate("refusal", REFUSAL)
    CBOR.validate("notice", [1, [bytes(32)]])
    CBOR.validate("to-archive-deposit", [4, [bytes(16), bytes(16), 0, bytes(32), 100_000]])
