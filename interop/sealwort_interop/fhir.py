"""What two hospitals must do alike with FHIR resources (`spec/protocol.md`, sections 8.1 and 8.6).

Only what a hospital needs that writes records of one patient at a time; compartments are the caller's business.
"""

from __future__ import annotations

import json
import re

from . import crypto, record
from .refusal import Refused

SECTIONS = {
    "problems": "AdverseEvent AllergyIntolerance CarePlan CareTeam ClinicalImpression Condition DetectedIssue "
    "FamilyMemberHistory Flag Goal NutritionOrder Procedure RiskAssessment",
    "medications": "Immunization ImmunizationEvaluation ImmunizationRecommendation Medication "
    "MedicationAdministration MedicationDispense MedicationKnowledge MedicationRequest MedicationStatement",
    "results": "BodyStructure DiagnosticReport ImagingStudy MolecularSequence ServiceRequest Specimen",
    "measurements": "Device DeviceMetric DeviceRequest DeviceUseStatement",
    "documents": "Binary Communication CommunicationRequest Composition DocumentManifest DocumentReference List Media "
    "QuestionnaireResponse",
    "administrative": "",
}
SECTION_OF = {kind: section for section, kinds in SECTIONS.items() for kind in kinds.split()}
GENERAL = tuple(SECTIONS)
LABELS = (*GENERAL, "psychiatry", "substance-use", "sexuality", "hiv", "genetics", "violence", "very-restricted")
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
IGNORED = {
    "http://terminology.hl7.org/CodeSystem/v3-ActReason",
    "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
}
CODES = {
    "psychiatry": "BH COGN EMOTDIS MH PSY PSYTHPN",
    "substance-use": "ETH ETHUD OPIOIDUD SUD",
    "sexuality": "SEX STD",
    "hiv": "HIV",
    "genetics": "GDIS",
    "violence": "SDV VIO",
}
LABEL_OF = {code: label for label, codes in CODES.items() for code in codes.split()}
ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
LOCATORS_MAX = 32


def locators(directory_key: bytes, patient: dict) -> list[bytes]:
    """Of a Patient resource: ascending, unique, at most 32."""
    found = set()
    for identifier in patient.get("identifier", []):
        value = identifier.get("value", "")
        system = identifier.get("system", "")
        if value.strip():
            found.add(record.locator(directory_key, system if system.strip() else "", value))
    if not found:
        raise Refused("identifiers-count", "a Patient without identifiers cannot be stored")
    return sorted(found)[:LOCATORS_MAX]


def label(resource: dict) -> str:
    """The confidentiality label of a resource on its own."""
    codings = list(_codings(resource))
    for contained in resource.get("contained", []):
        codings += _codings(contained)
    labels, restricted, unknown = set(), False, False
    for coding in codings:
        system, code = (coding.get("system"), coding.get("code")) if isinstance(coding, dict) else (None, None)
        if system in IGNORED:
            continue
        if system == ACT_CODE and code in LABEL_OF:
            labels.add(LABEL_OF[code])
        elif system == CONFIDENTIALITY and code == "R":
            restricted = True
        elif system != CONFIDENTIALITY or code not in ("U", "L", "M", "N"):
            unknown = True
    if unknown or len(labels) > 1 or (restricted and not labels):
        return "very-restricted"
    return labels.pop() if labels else section(resource)


def section(resource: dict) -> str:
    """The label of an ordinary resource: by its type, of an Observation by its category."""
    if resource.get("resourceType") != "Observation":
        return SECTION_OF.get(resource.get("resourceType"), "administrative")
    codings = [coding for category in resource.get("category", []) for coding in category.get("coding", [])]
    codes = {coding.get("code") for coding in codings if coding.get("system") == CATEGORY}
    if codes & {"vital-signs", "activity"}:
        return "measurements"
    return "problems" if "social-history" in codes else "results"


def change(content: bytes) -> tuple[record.Change, str]:
    """A resource's bytes as the change that stores it, and its label."""
    resource = json.loads(content)
    identifier = resource.get("id") or crypto.random(16).hex()
    if not ID.fullmatch(identifier):
        raise Refused("record-invalid", f"not a logical id: {identifier}")
    return record.Change(resource["resourceType"], identifier, content), label(resource)


def _codings(resource: dict):
    yield from resource.get("meta", {}).get("security", [])
    for concept in resource.get("securityLabel", []):
        yield from concept.get("coding", [])
    if resource.get("resourceType") == "Composition" and "confidentiality" in resource:
        yield {"system": CONFIDENTIALITY, "code": resource["confidentiality"]}
