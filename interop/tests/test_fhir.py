"""Labels, locators and ids of FHIR resources (`spec/protocol.md`, sections 8.1 and 8.6)."""

from __future__ import annotations

import json

import pytest

from sealwort_interop import fhir, record
from sealwort_interop.refusal import Refused

KEY = bytes(range(32))


def act(code: str) -> dict:
    return {"system": fhir.ACT_CODE, "code": code}


def confidentiality(code: str) -> dict:
    return {"system": fhir.CONFIDENTIALITY, "code": code}


@pytest.mark.parametrize(
    ("security", "label"),
    [
        ([], "results"),
        ([confidentiality("N")], "results"),
        ([act("HIV")], "hiv"),
        ([act("HIV"), confidentiality("R")], "hiv"),
        ([act("MH"), act("PSY")], "psychiatry"),
        ([act("MH"), act("HIV")], "very-restricted"),
        ([confidentiality("R")], "very-restricted"),
        ([confidentiality("V")], "very-restricted"),
        ([act("HIV"), confidentiality("V")], "very-restricted"),
        ([act("UNHEARD")], "very-restricted"),
        ([{"system": "urn:other", "code": "N"}], "very-restricted"),
        (["N"], "very-restricted"),
        ([{"system": next(iter(fhir.IGNORED)), "code": "TREAT"}], "results"),
    ],
)
def test_labels(security: list, label: str) -> None:
    assert fhir.label({"resourceType": "Observation", "meta": {"security": security}}) == label
    contained = {"resourceType": "Basic", "meta": {"security": security}}
    assert fhir.label({"resourceType": "Observation", "contained": [contained]}) == label


def test_labels_of_documents() -> None:
    document = {"resourceType": "DocumentReference", "securityLabel": [{"coding": [act("SUD")]}]}
    assert fhir.label(document) == "substance-use"
    assert fhir.label({"resourceType": "Composition", "confidentiality": "R"}) == "very-restricted"


def test_locators() -> None:
    patient = {"identifier": [{"value": "7"}, {"system": "s", "value": " 7"}, {"system": "s", "value": "  "}, {}]}
    expected = sorted([record.locator(KEY, "", "7"), record.locator(KEY, "s", " 7")])
    assert fhir.locators(KEY, patient) == expected
    with pytest.raises(Refused, match="identifiers-count"):
        fhir.locators(KEY, {"resourceType": "Patient"})
    many = {"identifier": [{"value": str(number)} for number in range(40)]}
    found = fhir.locators(KEY, many)
    assert len(found) == 32 and max(found) < max(record.locator(KEY, "", str(number)) for number in range(40))


def test_ids() -> None:
    change, label = fhir.change(b'{"resourceType": "Basic", "id" : "a.b-1"}')
    assert (change.resource_type, change.id, label) == ("Basic", "a.b-1", "administrative")
    assert len(fhir.change(b'{"resourceType":"Basic"}')[0].id) == 32
    with pytest.raises(Refused):
        fhir.change(json.dumps({"resourceType": "Basic", "id": "a b"}).encode())
