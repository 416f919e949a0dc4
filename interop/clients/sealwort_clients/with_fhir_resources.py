"""fhir.resources parses everything that the gateway answered to the other parts of this run, and what is asked here:
the models forbid elements that R4 does not know and demand those that it requires. Which models, and why: README.md."""

from __future__ import annotations

import json
from collections import Counter

import requests
from fhir.resources.R4B import get_fhir_model_class
from pydantic import ValidationError

from sealwort_clients import scenario, world
from sealwort_clients.checks import check, end, equal, holds, note
from sealwort_clients.world import Answers, fresh


def parse(content: bytes) -> str:
    """Parses a resource, and each resource in a Bundle once more by its own model. Its type."""
    resource = json.loads(content)
    kind = resource["resourceType"]
    get_fhir_model_class(kind).model_validate_json(content)
    for entry in resource.get("entry", []) if kind == "Bundle" else []:
        if "resource" in entry:
            parse(json.dumps(entry["resource"]).encode())
    return kind


def main() -> None:
    told = world.told()
    answers = Answers(told, "fhir_resources")
    session = requests.Session()
    session.headers["Authorization"] = told.bearer
    session.hooks["response"].append(answers.hook)
    seconds = told.limits["request_seconds"]

    def ask(
        method: str, path: str, status: int, kind: str, body: dict | None = None, headers: dict | None = None
    ) -> dict:
        answer = session.request(method, f"{told.fhir}/{path}", json=body, headers=headers, timeout=seconds)
        equal(answer.status_code, status, f"status of {method} {path}")
        equal(parse(answer.content), kind, "type")
        return answer.json()

    with check("the models have teeth"):
        for wrong in ({"birthday": "1968"}, {"gender": 1}, {"name": {"family": "x"}}):
            try:
                parse(json.dumps(scenario.patient("x") | wrong).encode())
            except ValidationError:
                continue
            raise AssertionError(f"{wrong} was parsed")
    key = fresh("fhir-resources")
    with check("CapabilityStatement"):
        ask("GET", "metadata", 200, "CapabilityStatement")
    with check("resources"):
        patient = ask("POST", "Patient", 201, "Patient", scenario.patient(key))["id"]
        observation = scenario.observation(key, f"Patient/{patient}")
        observation = ask("POST", "Observation", 201, "Observation", observation)["id"]
        ask("GET", f"Observation/{observation}", 200, "Observation")
    for name, path in (
        ("searchset", "Observation?patient={patient}"),
        ("searchset of patients", "Patient?identifier=urn:oid:2.999.7.1|{key}"),
        ("searchset with what is included", "Observation?patient={patient}&_include=Observation:subject"),
        ("searchset of nothing", "Encounter?patient={patient}"),
        ("summary of a searchset", "Observation?patient={patient}&_summary=true"),
        ("count", "Observation?patient={patient}&_summary=count"),
        ("history", "Patient/{patient}/_history"),
        ("$everything", "Patient/{patient}/$everything"),
        ("$summary, the document", "Patient/{patient}/$summary"),
    ):
        with check(f"Bundle: {name}"):
            ask("GET", path.format(patient=patient, key=key), 200, "Bundle")
    with check("Bundle: transaction-response"):
        ask("POST", "", 200, "Bundle", scenario.transaction(f"{key}-transaction"))
    with check("Bundle: batch-response, with an outcome in it"):
        entries = [{"request": {"method": "GET", "url": url}} for url in (f"Patient/{patient}", "Patient/nobody")]
        answer = ask("POST", "", 200, "Bundle", {"resourceType": "Bundle", "type": "batch", "entry": entries})
        equal([entry["response"]["status"][:3] for entry in answer["entry"]], ["200", "404"], "status of the entries")
    for name, method, path, status, body, headers in (
        ("400", "POST", "Patient", 400, {"resourceType": "Observation"}, None),
        ("401", "GET", "Patient/x", 401, None, {"Authorization": "Bearer x"}),
        ("404", "GET", "Patient/nobody", 404, None, None),
        ("404 of a type", "GET", "Paitent/1", 404, None, None),
        ("406", "GET", "Patient/{patient}", 406, None, {"Accept": "application/fhir+xml"}),
        ("412", "DELETE", "Observation/{observation}", 412, None, {"If-Match": 'W/"9"'}),
        ("415", "POST", "Patient", 415, {}, {"Content-Type": "text/plain"}),
        ("$validate", "POST", "Patient/$validate", 200, scenario.patient("x") | {"gender": "F"}, None),
    ):
        with check(f"OperationOutcome: {name}"):
            path = path.format(patient=patient, observation=observation)
            ask(method, path, status, "OperationOutcome", body, headers)
    with check("everything that the gateway answered in this run"):
        kinds, wrong = Counter(), []
        for file in sorted(told.answers.glob("*.json")):
            try:
                kinds[parse(file.read_bytes())] += 1
            except (ValidationError, KeyError, ValueError) as error:
                wrong.append(f"{file.name}: {' '.join(str(error).split())[:160]}")
        note(f"parsed: {', '.join(f'{count} {kind}' for kind, count in sorted(kinds.items()))}")
        holds(not wrong, f"{len(wrong)} cannot be parsed: " + "; ".join(wrong[:3]))
        holds(kinds.total(), "there were no answers")
    end()


if __name__ == "__main__":
    main()
