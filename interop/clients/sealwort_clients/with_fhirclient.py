"""fhirclient, the SMART client for Python: its models of R4 read and write a patient's record."""

from __future__ import annotations

import requests
from fhirclient import client as smart
from fhirclient.models.bundle import Bundle
from fhirclient.models.observation import Observation
from fhirclient.models.patient import Patient
from fhirclient.server import FHIRNotFoundException, FHIRUnauthorizedException

from sealwort_clients import scenario, world
from sealwort_clients.checks import check, end, equal, holds
from sealwort_clients.scenario import IDENTIFIER_SYSTEM, OBSERVATIONS, PAGE
from sealwort_clients.world import Answers, World, fresh


def signed_in(told: World, answers: Answers, token: str | None = None) -> smart.FHIRClient:
    """A client that has its access token already, as one that resumes a saved state."""
    auth = {"app_id": "clients", "access_token": token or told.token}
    server = {"base_uri": f"{told.fhir}/", "auth_type": "oauth2", "auth": auth}
    client = smart.FHIRClient(state={"app_id": "clients", "server": server})
    client.server.session.hooks["response"].append(answers.hook)
    return client


class With:
    """A header of the client's HTTP session, for a while."""

    def __init__(self, server, name: str, value: str):
        self._headers, self._name, self._value = server.session.headers, name, value

    def __enter__(self) -> None:
        self._headers[self._name] = self._value

    def __exit__(self, *_) -> None:
        del self._headers[self._name]


def main() -> None:
    told = world.told()
    answers = Answers(told, "fhirclient")
    server = signed_in(told, answers).server
    key = fresh("fhirclient")

    with check("capability statement"):
        statement = server.request_json("metadata", nosign=True)
        scenario.check_capabilities(statement)
        holds(server.capabilityStatement.rest, "the client's model has no rest")
        # Reading the statement makes the client start its authorization anew.
        server = signed_in(told, answers).server
    with check("a wrong token is refused"):
        try:
            Patient.read("1", signed_in(told, answers, "not-a-token").server)
            raise AssertionError("it was let in")
        except FHIRUnauthorizedException:
            scenario.check_outcome(answers.body)
    with check("create"):
        made = Patient(scenario.patient(key)).create(server)
        equal((answers.status, made["meta"]["versionId"]), (201, "1"), "status and version")
        patient_id = made["id"]
    with check("read gives back what was written"):
        patient = Patient.read(patient_id, server)
        equal(scenario.content(patient.as_json()), scenario.patient(key), "content")
    with check("update"):
        patient.active = False
        equal(patient.update(server)["meta"]["versionId"], "2", "version")
    with check("update of an old version is refused with 412"):
        with With(server, "If-Match", 'W/"1"'):
            patient.gender = "other"
            try:
                patient.update(server)
                raise AssertionError("it was taken")
            except requests.HTTPError as error:
                equal(error.response.status_code, 412, "status")
                scenario.check_outcome(error.response.json())
        equal(Patient.read(patient_id, server).gender, "female", "gender, which the refused update would change")
    with check("vread"):
        first = Patient.read_from(f"Patient/{patient_id}/_history/1", server)
        equal((first.active, first.meta.versionId), (True, "1"), "first version")
    with check("history"):
        history = Bundle.read_from(f"Patient/{patient_id}/_history", server)
        scenario.check_history(history.as_json(), ["2", "1"])

    ids = []
    with check("search with paging to the end"):
        for number in range(OBSERVATIONS):
            content = scenario.observation(f"{key}-{number}", f"Patient/{patient_id}")
            ids.append(Observation(content).create(server)["id"])
        search = Observation.where({"patient": patient_id, "_count": str(PAGE)})
        scenario.check_pages([page.as_json() for page in search.perform_iter(server)], ids)
    with check("search with an included patient"):
        search = Observation.where({"patient": patient_id}).include("subject")
        kinds = [one.resource_type for one in search.perform_resources_iter(server)]
        equal((kinds.count("Observation"), kinds.count("Patient")), (OBSERVATIONS, 1), "found and included")
    with check("search by identifier"):
        found = list(Patient.where({"identifier": f"{IDENTIFIER_SYSTEM}|{key}"}).perform_resources_iter(server))
        equal([one.id for one in found], [patient_id], "ids")
    with check("conditional create of what exists creates nothing"):
        with With(server, "If-None-Exist", f"identifier={IDENTIFIER_SYSTEM}|{key}"):
            made = Patient(scenario.patient(key)).create(server)
        equal((answers.status, made["id"]), (200, patient_id), "status and id")
    with check("transaction with urn:uuid references"):
        answer = Bundle(scenario.transaction(f"{key}-transaction")).create(server)
        created = scenario.check_transaction_answer(answer)
        observation = Observation.read(created["Observation"].split("/")[1], server)
        scenario.check_references(observation.as_json(), created)
        subject = observation.subject.resolved(Patient)
        equal(subject.relativePath(), created["Patient"], "subject, as the client resolves it")
    with check("$everything"):
        bundle = Bundle.read_from(f"Patient/{patient_id}/$everything", server)
        scenario.check_everything([bundle.as_json()], patient_id, ids)
    with check("delete, then 410"):
        Observation.read(ids[0], server).delete()
        holds(answers.status in (200, 204), f"status {answers.status}")
        try:
            Observation.read(ids[0], server)
            raise AssertionError("it is still there")
        except requests.HTTPError as error:
            equal(error.response.status_code, 410, "status")
            scenario.check_outcome(error.response.json())
    with check("what never was is 404"):
        try:
            Observation.read("no-such-observation", server)
            raise AssertionError("it is there")
        except FHIRNotFoundException:
            scenario.check_outcome(answers.body)
    end()


if __name__ == "__main__":
    main()
