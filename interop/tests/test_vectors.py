"""Every vector of `spec/vectors`, one test each: what goes in must come out, or be refused with the vector's code."""

from __future__ import annotations

import pytest
from kinds import KINDS
from kinds.setting import files

from sealwort_interop.certificates import CertificateRefused
from sealwort_interop.refusal import Refused

VECTORS = [
    pytest.param(vector, id=f"{file}/{vector['name']}") for file, vectors in files().items() for vector in vectors
]


@pytest.mark.parametrize("vector", VECTORS)
def test_vector(vector: dict) -> None:
    work = KINDS[vector["kind"]]
    if "error" not in vector:
        assert work(vector["input"]) == vector["output"]
        return
    with pytest.raises(Refused) as refused:
        work(vector["input"])
    assert code_of(refused.value, vector["kind"]) == vector["error"], refused.value.reason


def code_of(error: Refused, kind: str) -> str:
    """Inside the protocol the codes of section 3.2 travel as `certificate-refused`."""
    own = kind in ("certificate-verify", "list-take", "join")
    return error.check if own and isinstance(error, CertificateRefused) else error.code


def test_every_kind_has_vectors() -> None:
    met = {vector["kind"] for vectors in files().values() for vector in vectors}
    assert met == set(KINDS)


def test_names_are_unique() -> None:
    names = [vector["name"] for vectors in files().values() for vector in vectors]
    assert len(names) == len(set(names))
