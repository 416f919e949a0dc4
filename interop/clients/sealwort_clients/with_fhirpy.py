"""fhirpy: the whole life of a patient's record."""

from __future__ import annotations

from fhirpy import SyncFHIRClient
from fhirpy.base.exceptions import AuthorizationError, MultipleResourcesFound, ResourceNotFound

from sealwort_clients import scenario, world
from sealwort_clients.checks import check, end, equal, holds
from sealwort_clients.scenario import IDENTIFIER_SYSTEM, OBSERVATIONS, PAGE
from sealwort_clients.world import Answers, World, fresh


def client(told: World, answers: Answers, headers: dict | None = None, bearer: str | None = None) -> SyncFHIRClient:
    options = {"timeout": told.limits["request_seconds"], "hooks": {"response": answers.hook}}
    return SyncFHIRClient(told.fhir, bearer or told.bearer, headers, requests_config=options)


def resource(fhir: SyncFHIRClient, content: dict):
    return fhir.resource(content["resourceType"], **{k: v for k, v in content.items() if k != "resourceType"})


def main() -> None:
    told = world.told()
    answers = Answers(told, "fhirpy")
    fhir = client(told, answers)
    key = fresh("fhirpy")

    with check("capability statement"):
        scenario.check_capabilities(fhir.execute("metadata", method="get"))
    with check("a wrong token is refused"):
        try:
            client(told, answers, bearer="Bearer not-a-token").get("Patient", "1")
            raise AssertionError("it was let in")
        except AuthorizationError:
            equal(answers.status, 401, "status")
            scenario.check_outcome(answers.body)
    with check("create"):
        patient = resource(fhir, scenario.patient(key))
        patient.save()
        equal(answers.status, 201, "status")
        equal(patient["meta"]["versionId"], "1", "version")
    with check("read gives back what was written"):
        equal(scenario.content(fhir.get("Patient", patient.id)), scenario.patient(key), "content")
    with check("update"):
        patient["active"] = False
        patient.save()
        equal((answers.status, patient["meta"]["versionId"]), (200, "2"), "status and version")
    with check("update of an old version is refused with 412"):
        stale = resource(client(told, answers, {"If-Match": 'W/"1"'}), scenario.patient(key) | {"id": patient.id})
        try:
            stale.save()
            raise AssertionError("it was taken")
        except MultipleResourcesFound:  # what fhirpy makes of every 412
            equal(answers.status, 412, "status")
            scenario.check_outcome(answers.body)
        equal(fhir.get("Patient", patient.id)["active"], False, "active, which the refused update would change")
    with check("update of the newest version with If-Match"):
        newest = resource(client(told, answers, {"If-Match": 'W/"2"'}), dict(patient) | {"gender": "other"})
        equal(newest.save()["meta"]["versionId"], "3", "version")
    with check("refresh, which sends a bare version in If-None-Match"):
        patient.refresh()
        equal(patient["gender"], "other", "gender")
    with check("vread"):
        first = fhir.execute(f"Patient/{patient.id}/_history/1", method="get")
        equal((first["active"], first["meta"]["versionId"]), (True, "1"), "first version")
    with check("history"):
        scenario.check_history(fhir.execute(f"Patient/{patient.id}/_history", method="get"), ["3", "2", "1"])

    ids = []
    with check("search with paging to the end"):
        for number in range(OBSERVATIONS):
            created = resource(fhir, scenario.observation(f"{key}-{number}", f"Patient/{patient.id}")).save()
            ids.append(created.id)
        before = len(answers.bodies)
        found = fhir.resources("Observation").search(patient=patient.id).limit(PAGE).fetch_all()
        equal(sorted(one.id for one in found), sorted(ids), "ids")
        scenario.check_pages(answers.bodies[before:], ids)
    with check("search by identifier"):
        found = fhir.resources("Patient").search(identifier=f"{IDENTIFIER_SYSTEM}|{key}").get()
        equal(found.id, patient.id, "id")
    with check("search that finds nothing is an empty Bundle"):
        equal(fhir.resources("Observation").search(patient=patient.id, code="no-such").fetch(), [], "found")
    with check("count, which sends the unknown parameter _totalMethod"):
        equal(fhir.resources("Observation").search(patient=patient.id).count(), OBSERVATIONS, "total")
    with check("POST _search"):
        query = {"patient": patient.id, "_count": OBSERVATIONS}
        bundle = fhir.execute("Observation/_search", method="post", params=query)
        equal(sorted(one["resource"]["id"] for one in bundle["entry"]), sorted(ids), "ids")
    with check("conditional create of what exists creates nothing"):
        once = client(told, answers, {"If-None-Exist": f"identifier={IDENTIFIER_SYSTEM}|{key}"})
        resource(once, scenario.patient(key)).save()
        equal((answers.status, answers.body["id"]), (200, patient.id), "status and id")
    with check("conditional create of what does not exist creates it"):
        other = f"{key}-other"
        once = client(told, answers, {"If-None-Exist": f"identifier={IDENTIFIER_SYSTEM}|{other}"})
        created = resource(once, scenario.patient(other)).save()
        equal(answers.status, 201, "status")
        holds(created.id != patient.id, "it is the same patient")
    with check("transaction with urn:uuid references"):
        answer = fhir.execute("", method="post", data=scenario.transaction(f"{key}-transaction"))
        created = scenario.check_transaction_answer(answer)
        scenario.check_references(fhir.reference(reference=created["Observation"]).to_resource(), created)
    with check("a transaction with one wrong entry changes nothing"):
        wrong = scenario.transaction(f"{key}-wrong")
        wrong["entry"][2]["resource"]["status"] = "no-such-status"
        try:
            fhir.execute("", method="post", data=wrong)
            raise AssertionError("it was taken")
        except Exception as error:
            if isinstance(error, AssertionError):
                raise
            holds(400 <= answers.status < 500, f"status {answers.status}")
            scenario.check_outcome(answers.body)
        found = fhir.resources("Patient").search(identifier=f"{IDENTIFIER_SYSTEM}|{key}-wrong").fetch()
        equal(found, [], "patients of the refused transaction")
    with check("$everything"):
        bundle = patient.execute("$everything", method="get")
        scenario.check_everything([bundle], patient.id, ids)
    with check("delete, then 410"):
        fhir.delete("Observation", ids[0])
        holds(answers.status in (200, 204), f"status {answers.status}")
        try:
            fhir.get("Observation", ids[0])
            raise AssertionError("it is still there")
        except ResourceNotFound:
            equal(answers.status, 410, "status")
            scenario.check_outcome(answers.body)
        equal(len(fhir.resources("Observation").search(patient=patient.id).fetch()), OBSERVATIONS - 1, "still found")
    end()


if __name__ == "__main__":
    main()
