"""What every FHIR client does, apart from how it does it: the resources that it sends (`data/`), and what must be true
of the answers. The Node clients have the same in `scenario.mjs`."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

from sealwort_clients.checks import equal, holds

DATA = Path(__file__).resolve().parent.parent / "data"
IDENTIFIER_SYSTEM = "urn:oid:2.999.7.1"
# Six Observations in pages of two: a server that ends with an empty page is found out.
OBSERVATIONS = 6
PAGE = 2

INTERACTIONS = {"create", "read", "vread", "update", "delete", "history-instance", "search-type"}


def patient(key: str) -> dict:
    return _filled("patient", key=key)


def observation(key: str, subject: str) -> dict:
    return _filled("observation", key=key, patient=subject)


def transaction(key: str) -> dict:
    names = {name: str(uuid.uuid4()) for name in ("encounter", "patient", "observation")}
    return _filled("transaction", key=key, **names)


def content(resource: dict) -> dict:
    """What the client sent: without what the server sets."""
    return {name: value for name, value in resource.items() if name not in ("id", "meta")}


def check_capabilities(statement: dict) -> None:
    equal(statement["resourceType"], "CapabilityStatement", "type")
    equal(statement["fhirVersion"], "4.0.1", "FHIR version")
    equal(statement["kind"], "instance", "kind")
    resources = {one["type"]: one for one in statement["rest"][0]["resource"]}
    for kind in ("Patient", "Observation", "Encounter"):
        offered = {one["code"] for one in resources[kind]["interaction"]}
        holds(offered >= INTERACTIONS, f"{kind} lacks {sorted(INTERACTIONS - offered)}")
    system = {one["code"] for one in statement["rest"][0].get("interaction", [])}
    holds("transaction" in system, "transaction is not offered")


def check_outcome(outcome: dict | None) -> None:
    """An OperationOutcome that tells a person what is wrong."""
    holds(isinstance(outcome, dict), "the answer has no JSON")
    equal(outcome["resourceType"], "OperationOutcome", "type")
    issue = outcome["issue"][0]
    holds(issue["severity"] in ("error", "fatal"), f"severity {issue['severity']}")
    holds(issue.get("details", {}).get("text") or issue.get("diagnostics"), "nothing is said to a person")


def check_pages(pages: list[dict], wanted_ids: list[str]) -> None:
    """Pages of a search that was followed to its end."""
    sizes = [len(page.get("entry", [])) for page in pages]
    equal(sizes, [PAGE] * (len(wanted_ids) // PAGE), "entries on the pages")
    found = [entry["resource"]["id"] for page in pages for entry in page["entry"]]
    equal(sorted(found), sorted(wanted_ids), "ids on all pages")
    for page in pages:
        equal(page["type"], "searchset", "type of the Bundle")
        holds("self" in [link["relation"] for link in page["link"]], "a page without its self link")


def check_history(bundle: dict, versions: list[str]) -> None:
    equal(bundle["type"], "history", "type of the Bundle")
    equal([entry["resource"]["meta"]["versionId"] for entry in bundle["entry"]], versions, "versions, the newest first")


def check_transaction_answer(bundle: dict) -> dict[str, str]:
    """References (`Patient/1`) of what a transaction created, by type."""
    equal(bundle["type"], "transaction-response", "type of the Bundle")
    equal([entry["response"]["status"][:3] for entry in bundle["entry"]], ["201"] * 3, "status of the entries")
    created = {}
    for entry, kind in zip(bundle["entry"], ("Encounter", "Patient", "Observation"), strict=True):
        parts = entry["response"]["location"].split("/")
        at = parts.index(kind)
        created[kind] = "/".join(parts[at : at + 2])
    return created


def check_references(observation: dict, created: dict[str, str]) -> None:
    equal(observation["subject"]["reference"], created["Patient"], "subject")
    equal(observation["encounter"]["reference"], created["Encounter"], "encounter")


def check_everything(bundles: list[dict], patient_id: str, observation_ids: list[str]) -> None:
    found = [(entry["resource"]["resourceType"], entry["resource"]["id"]) for one in bundles for entry in one["entry"]]
    wanted = [("Patient", patient_id), *(("Observation", each) for each in observation_ids)]
    equal(sorted(found), sorted(wanted), "everything")


def _filled(name: str, **values: str) -> dict:
    text = (DATA / f"{name}.json").read_text()
    for key, value in values.items():
        text = text.replace(f"{{{key}}}", value)
    return json.loads(text)
