"""SMART Backend Services with Authlib: `private_key_jwt`, client credentials, and what the token is good for."""

from __future__ import annotations

import time

import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc.jwk import ECKey

from sealwort_clients import scenario, world
from sealwort_clients.checks import check, end, equal, holds
from sealwort_clients.world import Answers, World, fresh

ASSERTION_SECONDS = 240


def fetch(told: World, key: ECKey, endpoint: str, scope: str, **claims) -> tuple[OAuth2Session, dict]:
    """A token by client credentials, and the session that uses it. `claims` replace those of the assertion."""
    backend = told.settings["backend"]
    signed = "private_key_jwt"
    session = OAuth2Session(
        backend["client_id"],
        key,
        scope=scope,
        token_endpoint_auth_method=signed,
        revocation_endpoint_auth_method=signed,
    )
    sign(told, session, endpoint, **claims)
    token = session.fetch_token(endpoint, grant_type="client_credentials", timeout=told.limits["request_seconds"])
    return session, token


def sign(told: World, session: OAuth2Session, endpoint: str, **claims) -> None:
    """Has the session sign its next request. Authlib writes its jti into the claims, and a jti counts once."""
    header = {"typ": "JWT", "kid": told.settings["backend"]["key_id"]}
    claims = {"exp": int(time.time()) + ASSERTION_SECONDS} | claims
    session.register_client_auth_method(PrivateKeyJWT(endpoint, claims, header, "ES384"))


def refused(error: str, told: World, key: ECKey, endpoint: str, scope: str, **claims) -> None:
    try:
        fetch(told, key, endpoint, scope, **claims)
    except OAuthError as found:
        equal(found.error, error, "error")
    else:
        raise AssertionError("a token was given")


def main() -> None:
    told = world.told()
    answers = Answers(told, "backend")
    seconds = told.limits["request_seconds"]
    backend = told.settings["backend"]
    key = ECKey.import_key(told.backend_key)
    scope = backend["scope"]

    def as_user(method: str, path: str, body: dict) -> dict:
        headers = {"Authorization": told.bearer, "Content-Type": "application/fhir+json"}
        answer = requests.request(method, f"{told.fhir}/{path}", json=body, headers=headers, timeout=seconds)
        answer.raise_for_status()
        return answer.json()

    with check("the configuration names the token endpoint and how to sign"):
        configuration = requests.get(f"{told.fhir}/.well-known/smart-configuration", timeout=seconds).json()
        endpoint = configuration["token_endpoint"]
        holds("private_key_jwt" in configuration["token_endpoint_auth_methods_supported"], "no private_key_jwt")
        holds("ES384" in configuration["token_endpoint_auth_signing_alg_values_supported"], "no ES384")
        holds("client-confidential-asymmetric" in configuration["capabilities"], "no client-confidential-asymmetric")
        equal(configuration["code_challenge_methods_supported"], ["S256"], "challenge methods")
    with check("a patient with an observation, written by a user"):
        name = fresh("backend")
        patient = as_user("POST", "Patient", scenario.patient(name))["id"]
        observation = as_user("POST", "Observation", scenario.observation(name, f"Patient/{patient}"))["id"]
    with check("client credentials"):
        session, token = fetch(told, key, endpoint, scope)
        session.hooks["response"].append(answers.hook)
        equal(token["token_type"].lower(), "bearer", "type of the token")
        equal(token["scope"], scope, "scope granted")
        holds(0 < token["expires_in"] <= 3600, f"the token lives {token['expires_in']} seconds")
        holds("refresh_token" not in token, "a backend service got a refresh token")
    with check("the token reads an Observation"):
        found = session.get(f"{told.fhir}/Observation/{observation}", timeout=seconds)
        equal((found.status_code, found.json()["id"]), (200, observation), "status and id")
    with check("the token searches Observations"):
        found = session.get(f"{told.fhir}/Observation", params={"patient": patient}, timeout=seconds)
        equal([one["resource"]["id"] for one in found.json()["entry"]], [observation], "ids")
    for what, method, path, body in (
        ("read a Patient", "GET", "Patient/{patient}", None),
        ("include a Patient", "GET", "Observation?patient={patient}&_include=Observation:subject", None),
        ("write an Observation", "PUT", "Observation/{observation}", "observation"),
        ("delete an Observation", "DELETE", "Observation/{observation}", None),
        ("take everything", "GET", "Patient/{patient}/$everything", None),
    ):
        with check(f"the token does not {what}"):
            content = scenario.observation(name, f"Patient/{patient}") | {"id": observation} if body else None
            path = path.format(patient=patient, observation=observation)
            answer = session.request(method, f"{told.fhir}/{path}", json=content, timeout=seconds)
            if "_include" in path and answer.status_code == 200:
                kinds = {one["resource"]["resourceType"] for one in answer.json().get("entry", [])}
                holds("Patient" not in kinds, "a Patient was shown")
            elif path.endswith("$everything") and answer.status_code == 200:
                kinds = {one["resource"]["resourceType"] for one in answer.json().get("entry", [])}
                holds(kinds <= {"Observation"}, f"shown: {sorted(kinds)}")
            else:
                equal(answer.status_code, 403, "status")
                scenario.check_outcome(answer.json())
    with check("more than was registered is not granted"):
        try:
            _, wide = fetch(told, key, endpoint, f"{scope} system/*.cruds")
            equal(wide["scope"], scope, "scope granted")
        except OAuthError as error:
            equal(error.error, "invalid_scope", "error")
    with check("nothing of what was registered is invalid_scope"):
        refused("invalid_scope", told, key, endpoint, "system/Patient.rs")
    with check("another key is refused"):
        refused("invalid_client", told, ECKey.generate_key("P-384", private=True), endpoint, scope)
    with check("an assertion for another server is refused"):
        refused("invalid_client", told, key, endpoint, scope, aud="https://elsewhere.example/token")
    with check("an assertion that is over is refused"):
        refused("invalid_client", told, key, endpoint, scope, exp=int(time.time()) - 60)
    with check("an assertion counts once"):
        once = fresh("jti")
        fetch(told, key, endpoint, scope, jti=once)
        refused("invalid_client", told, key, endpoint, scope, jti=once)
    with check("introspection, and the token's end by revocation"):
        token_of = {"token": token["access_token"]}
        headers = {"Authorization": told.bearer}
        where = configuration["introspection_endpoint"]
        seen = requests.post(where, data=token_of, headers=headers, timeout=seconds).json()
        equal((seen["active"], seen["scope"]), (True, scope), "introspection")
        sign(told, session, endpoint)
        revoked = session.revoke_token(configuration["revocation_endpoint"], token["access_token"], timeout=seconds)
        equal((revoked.status_code, revoked.text), (200, ""), "revocation")
        seen = requests.post(where, data=token_of, headers=headers, timeout=seconds).json()
        equal(seen, {"active": False}, "introspection after revocation")
        bearer = {"Authorization": f"Bearer {token['access_token']}"}
        answer = requests.get(f"{told.fhir}/Observation/{observation}", headers=bearer, timeout=seconds)
        equal(answer.status_code, 401, "status after revocation")
    end()


if __name__ == "__main__":
    main()
