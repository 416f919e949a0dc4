"""SMART App Launch with fhirclient: a user signs in, chooses a patient and lets the app in (PKCE, S256); the app reads
that patient and no other, and goes on with its refresh token."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import requests
from fhirclient import client as smart
from fhirclient.models.observation import Observation
from fhirclient.models.patient import Patient

from sealwort_clients import scenario, world
from sealwort_clients.browser import Browser, NoWayOn
from sealwort_clients.checks import check, end, equal, holds
from sealwort_clients.world import Answers, World, fresh


def app(told: World, answers: Answers) -> smart.FHIRClient:
    registered = told.settings["app"]
    settings = {
        "app_id": registered["client_id"],
        "api_base": told.fhir,
        "redirect_uri": registered["redirect_uri"],
        "scope": registered["scope"],
    }
    client = smart.FHIRClient(settings=settings)
    client.server.session.hooks["response"].append(answers.hook)
    client.prepare()
    return client


def changed(url: str, **parameters: str | None) -> str:
    """The URL with other parameters; None takes one away."""
    parts = urlsplit(url)
    query = {name: value for name, value in (dict(parse_qsl(parts.query)) | parameters).items() if value is not None}
    return urlunsplit(parts._replace(query=urlencode(query)))


def main() -> None:
    told = world.told()
    answers = Answers(told, "launch")
    seconds = told.limits["request_seconds"]
    redirect_uri = told.settings["app"]["redirect_uri"]
    headers = {"Authorization": told.bearer, "Content-Type": "application/fhir+json"}
    patients = []

    def create(resource: dict) -> str:
        url = f"{told.fhir}/{resource['resourceType']}"
        answer = requests.post(url, json=resource, headers=headers, timeout=seconds)
        answer.raise_for_status()
        return answer.json()["id"]

    def browser() -> Browser:
        # At the demo's provider the first one to be chosen is a physician of this hospital.
        return Browser({"patient": patients[0]}, told.provider, seconds)

    with check("two patients with an observation each, written by a user"):
        for number in range(2):
            key = fresh(f"launch-{number}")
            patients.append(create(scenario.patient(key)))
            create(scenario.observation(key, f"Patient/{patients[-1]}"))
    with check("the client finds where to authorize, and asks with PKCE"):
        client = app(told, answers)
        address = client.authorize_url
        asked = dict(parse_qsl(urlsplit(address).query))
        equal(asked["code_challenge_method"], "S256", "challenge method")
        equal(asked["aud"], told.fhir, "audience")
    with check("sign-in, patient and consent, in a browser"):
        visitor = browser()
        callback = visitor.follow(address)
        back = dict(parse_qsl(urlsplit(callback).query))
        equal(back.get("state"), asked["state"], "state")
        holds(callback.startswith(redirect_uri), f"it led to {callback.split('?')[0]}")
        holds(back.get("code"), f"no code, but {sorted(back)}")
        holds("Public clients: an app" in "".join(visitor.pages), "no page told the user the app's name")
    with check("the client changes the code for a token"):
        client.handle_callback(callback)
        equal(client.patient_id, patients[0], "patient")
        holds(client.ready, "the client is not ready")
    with check("the app reads its patient and searches"):
        equal(client.patient.id, patients[0], "patient")
        found = list(Observation.where({"patient": patients[0]}).perform_resources_iter(client.server))
        equal([one.subject.reference for one in found], [f"Patient/{patients[0]}"], "subjects")
    with check("the app does not see another patient"):
        for path in (
            f"Patient/{patients[1]}",
            f"Observation?patient={patients[1]}",
            f"Patient/{patients[1]}/$everything",
        ):
            try:
                shown = client.server.request_json(path)
            except Exception:
                holds(answers.status in (403, 404), f"{path}: status {answers.status}")
            else:
                # The server may say why it shows nothing.
                matches = [entry for entry in shown.get("entry", []) if entry["search"]["mode"] != "outcome"]
                equal(matches, [], path)
    with check("the app does not write"):
        try:
            Patient(scenario.patient(fresh("launch-app"))).create(client.server)
            raise AssertionError("it was taken")
        except Exception as error:
            if isinstance(error, AssertionError):
                raise
            equal(answers.status, 403, "status")
    with check("the client refreshes its token"):
        before = client.server.auth.access_token
        holds(client.server.auth.refresh_token, "there is no refresh token, though offline_access was asked")
        holds(client.reauthorize(), "the token was not refreshed")
        holds(client.server.auth.access_token != before, "the token is the same")
        equal(Patient.read(patients[0], client.server).id, patients[0], "patient, read with the new token")

    with check("a code serves once"):
        other = app(told, answers)
        callback = browser().follow(other.authorize_url)
        other.handle_callback(callback)
        try:
            other.handle_callback(callback)
            raise AssertionError("it served twice")
        except requests.HTTPError as error:
            equal(error.response.json()["error"], "invalid_grant", "error")
    with check("a code without its verifier is refused"):
        other = app(told, answers)
        callback = browser().follow(other.authorize_url)
        other.server.auth.code_verifier = "a-verifier-of-somebody-else-with-more-than-43-characters"
        try:
            other.handle_callback(callback)
            raise AssertionError("it was taken")
        except requests.HTTPError as error:
            equal(error.response.json()["error"], "invalid_grant", "error")
    for what, parameters in (
        ("without a challenge", {"code_challenge": None, "code_challenge_method": None}),
        ("with a plain challenge", {"code_challenge_method": "plain"}),
        ("for another server", {"aud": "https://elsewhere.example/fhir"}),
        ("for a token at once", {"response_type": "token"}),
    ):
        with check(f"a request {what} is refused at the app"):
            callback = browser().follow(changed(app(told, answers).authorize_url, **parameters))
            holds(callback.startswith(redirect_uri), f"it led to {callback.split('?')[0]}")
            back = dict(parse_qsl(urlsplit(callback).query))
            holds("error" in back and "code" not in back, f"the app got {sorted(back)}")
    for what, parameters in (
        ("to another address", {"redirect_uri": "https://elsewhere.example/done"}),
        ("of an unknown app", {"client_id": "nobody"}),
    ):
        with check(f"a request {what} never leaves the gateway"):
            try:
                away = browser().follow(changed(app(told, answers).authorize_url, **parameters))
                raise AssertionError(f"it led to {away}")
            except NoWayOn as error:
                holds(str(error).startswith("4"), str(error))
    end()


if __name__ == "__main__":
    main()
