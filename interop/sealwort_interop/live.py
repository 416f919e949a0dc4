"""The Python hospital among the real services: `python -m sealwort_interop.live PROGRAM`.

Starts `sealwort demo`, joins it as a third hospital, and checks the whole path in both directions. Prints each step
with its number and bytes, each check with `ok` or `FAILED`; the exit code is 1 when one failed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from . import enrolment, fhir, hospital, messages
from .demo import Demo, Gateway, outcome_code
from .hospital import Hospital, clock
from .refusal import Refused
from .transport import TransportFault

SYSTEM = "urn:oid:2.16.840.1.113883.2.4.6.3"
NAME = "hospital-python"


class Checks:
    """Counts what was checked, and says it."""

    def __init__(self):
        self.passed = 0
        self.failed: list[str] = []

    def that(self, what: str, holds: bool, note: str = "") -> None:
        if holds:
            self.passed += 1
        else:
            self.failed.append(what)
        print(f"{'ok    ' if holds else 'FAILED'} {what}{f' ({note})' if note else ''}", flush=True)

    def refused(self, what: str, code: str, action: Callable[[], object]) -> None:
        """`action` must be refused with this code."""
        try:
            action()
        except Refused as error:
            self.that(f"{what}: {code}", error.code == code, f"{error.by}: {error.code}")
        else:
            self.that(f"{what}: {code}", False, "it was let through")


def tell(phase: str, step: str, route: str, size: int, what: str) -> None:
    print(f"       {phase:<14} step {step:<4} {route:<6} {size:>7} B  {what}", flush=True)


def title(words: str) -> None:
    print(f"\n{words}", flush=True)


def resources(patient: str, value: str, family: str) -> list[bytes]:
    """A synthetic record: odd spacing and letters on purpose, since the bytes must come back as they are."""
    subject = f'"subject" : {{"reference":"Patient/{patient}"}}'
    note = "a long and rather repetitive note. " * 400
    act = json.dumps({"system": fhir.ACT_CODE, "code": "HIV"})
    return [
        each.encode()
        for each in (
            f'{{"resourceType":"Patient", "id":"{patient}",\n "identifier":[{{"system":"{SYSTEM}","value":"{value}"}}],'
            f' "name":[{{"family":"{family}","given":["Zoë"]}}]}}',
            f'{{"resourceType":"Observation","id":"{patient}-pulse",  {subject},"status":"final",'
            '"code":{"text":"pulse"},"valueQuantity":{"value":62.00,"unit":"/min"}}',
            f'{{"resourceType":"Observation","id":"{patient}-hiv",{subject},"status":"final",'
            f'"code":{{"text":"viral load"}},"meta":{{"security":[{act}]}}}}',
            f'{{"resourceType":"Observation","id":"{patient}-note",{subject},"status":"final",'
            f'"code":{{"text":"note"}},"note":[{{"text":"{note}"}}]}}',
        )
    ]


def identifier_value(start: str) -> str:
    """Another one each time."""
    return f"{start}{time.time_ns() % 10**10}"


def contents(reading: hospital.Reading) -> list[bytes]:
    return [change.content for change, _ in reading.changes]


def joining(checks: Checks, demo: Demo, algorithm: str, name: str) -> Hospital:
    title(f"Joining as {name} with keys of the kind {algorithm}")
    data = demo.invite(name)
    invitation = enrolment.read_invitation(data, clock())
    membership = enrolment.join(invitation, clock(), algorithm)
    checks.that("the authority enrols both keys, with proof of possession of each", len(membership.hop_chain) == 2)
    checks.that("the grant holds the directory key", len(membership.directory_key) == 32)
    enrolment.refresh_list(membership, clock())
    checks.that("the newest revocation list is fetched and taken", True)
    checks.refused("the invitation a second time", "invitation-used", lambda: enrolment.join(invitation, clock()))
    there = Hospital(membership, demo.urls["broker"], tell, consent_algorithm=algorithm)
    session = there.connect()
    checks.that("the nine steps end in a session", len(session.id) == 32, f"key exchange {there.connection.group}")
    checks.that("the hop's key exchange is X25519MLKEM768", there.connection.group == "X25519MLKEM768")
    return there


def writing(checks: Checks, here: Hospital, rust: Gateway) -> None:
    """Python writes; Python and the Rust gateway read."""
    title("Python writes, Python reads")
    name = here.membership.name
    value = identifier_value("90")
    record = resources(f"{name}-patient", value, "Ångström")
    patient = here.find_or_register(json.loads(record[0]))
    checks.that("the patient is registered at archive and broker", len(patient.pseudonym) == 32)
    receipt = here.upload(patient, record)
    checks.that("the receipt is of what was sealed", receipt.sequence == len(record), f"sequence {receipt.sequence}")
    checks.that("Python reads the bytes that it wrote", contents(here.read(patient.pseudonym)) == record)
    checks.that(
        "the broker finds the patient by the identifier", here.find_or_register(json.loads(record[0])) == patient
    )
    more = [record[1].replace(b"62.00", b"64.50")]
    receipt = here.upload(patient, more)
    checks.that("a second deposit follows the first", receipt.sequence == len(record) + 1)
    checks.that("both are read in the log's order", contents(here.read(patient.pseudonym)) == record + more)

    crossing(checks, here, patient.pseudonym, record[1])
    record += more + [record[1]] * 2

    title("The Rust gateway reads what Python wrote")
    notices = here.notices()
    checks.that("the broker's notices are heard", notices.next().name == "alive")
    status, body = rust.find(SYSTEM, value)
    checks.that(
        "without consent: 403, consent-no-provision", (status, outcome_code(body)) == (403, "consent-no-provision")
    )
    here.grant(patient, rust.identity)
    checks.that("the consent's notice arrives", heard(notices, "consent_changed", patient.pseudonym))
    status, body = rust.find(SYSTEM, value)
    found = status == 200 and record[0] in without_version(body)
    checks.that("with consent: found, with the same bytes", found, f"status {status}")
    latest = record[:4]
    for resource in latest:
        parsed = json.loads(resource)
        status, body = rust.get(f"/{parsed['resourceType']}/{parsed['id']}")
        same = (status, without_version(body)) == (200, resource)
        checks.that(f"{parsed['resourceType']}/{parsed['id']}: the same bytes", same)
    here.withdraw(patient, rust.identity)
    status, body = rust.find(SYSTEM, value)
    checks.that(
        "after withdrawal: 403, consent-no-provision", (status, outcome_code(body)) == (403, "consent-no-provision")
    )
    here.upload(patient, [record[3]])
    reading = here.read(patient.pseudonym)
    checks.that("in the new epoch Python writes, and reads all epochs", contents(reading) == [*record, record[3]])
    here.grant(patient, rust.identity, labels=fhir.GENERAL)
    status, body = rust.get(f"/Observation/{name}-patient-hiv")
    checks.that("a label that was not granted stays closed", status in (403, 404, 410), f"status {status}")
    status, body = rust.get(f"/Observation/{name}-patient-pulse")
    checks.that("a label that was granted is open", (status, without_version(body)) == (200, record[1]))


def without_version(shown: bytes) -> bytes:
    """What a gateway shows, without the version and the time that it sets in `meta`; everything else is as written."""
    version = rb'"versionId":"[0-9]+","lastUpdated":"[^"]+"'
    shown = re.sub(rb"(?<={)" + version + rb",|,?" + version, b"", shown)
    return shown.replace(b',"meta":{}', b"")


def crossing(checks: Checks, here: Hospital, patient: bytes, resource: bytes) -> None:
    """Two writers at once, and a deposit that is sent twice."""
    changes = [fhir.change(resource)]
    labels = (changes[0][1],)
    early = here.authorise(patient, "write", labels)
    deposit = os.urandom(16)
    between = here.store(patient, here.authorise(patient, "write", labels), changes, deposit)
    late = here.store(patient, early, changes, os.urandom(16))
    checks.that("after a conflict everything is sealed anew", late.sequence == between.sequence + 1)
    again = here.store(patient, here.authorise(patient, "write", labels), changes, deposit)
    same = (again.sequence, again.head) == (between.sequence, between.head)
    checks.that("a deposit sent twice is stored once, and found in the log", same, f"sequence {again.sequence}")


def heard(notices: hospital.Notices, name: str, patient: bytes) -> bool:
    """Whether a notice about the patient comes among the next few."""
    for _ in range(8):
        notice = notices.next()
        if notice.name == name and notice.fields.patient == patient:
            return True
    return False


def reading(checks: Checks, here: Hospital, rust: Gateway) -> None:
    """The Rust gateway writes; Python reads."""
    title("Python reads what the Rust gateway wrote")
    name = here.membership.name
    value = identifier_value("91")
    record = resources(f"rust-patient-{name}", value, "Müller")
    bundle = b",".join(
        b'{"resource":' + each + b',"request":{"method":"PUT","url":"%s"}}' % url(each) for each in record
    )
    status, _ = rust.post("", b'{"resourceType":"Bundle","type":"transaction","entry":[' + bundle + b"]}")
    checks.that("the gateway takes a Bundle", status == 200, f"status {status}")
    locators = fhir.locators(here.membership.directory_key, json.loads(record[0]))
    patient = here.locate(locators)
    checks.that("Python finds the patient by the same locators", patient is not None)
    if patient is None:
        return
    checks.refused("reading without consent", "consent-no-provision", lambda: here.read(patient.pseudonym))
    rust.consent("grant", name, f"{SYSTEM}|{value}")
    found = here.read(patient.pseudonym)
    checks.that("with consent Python reads the same bytes", sorted(contents(found)) == sorted(record))
    checks.that("the author is the Rust hospital", {author for _, author in found.changes} == {rust.identity})
    checks.that("nothing was withheld", found.withheld == 0)
    some = here.read(patient.pseudonym, labels=fhir.GENERAL)
    checks.that("asking for one label withholds the others", some.withheld == 1, f"{some.withheld} withheld")
    checks.refused(
        "writing with consent to read", "consent-action-not-granted", lambda: here.upload(patient, record[1:2])
    )
    rust.consent("withdraw", name, f"{SYSTEM}|{value}")
    checks.refused("reading after withdrawal", "consent-no-provision", lambda: here.read(patient.pseudonym))


def url(resource: bytes) -> bytes:
    parsed = json.loads(resource)
    return f"{parsed['resourceType']}/{parsed['id']}".encode()


def refusals(checks: Checks, here: Hospital, demo: Demo) -> None:
    """What the text says of wrong messages, tried on the real broker and archive."""
    title("Wrong messages are refused with the text's codes")
    channel = here.session.with_broker
    content = messages.TO_BROKER.make("locate", locators=[bytes(32)])

    def post(path: str, body: bytes, connection=None) -> None:
        status, answer = (connection or here.connection).request(path, body)
        if status != 200:
            raise hospital.refusal_of(status, answer)

    _, message = channel.seal(content)
    post("/v1/channel", message)
    checks.refused("a channel message twice", "message-replayed", lambda: post("/v1/channel", message))
    _, message = channel.seal(content)
    altered = message[:-1] + bytes([message[-1] ^ 1])
    checks.refused("an altered ciphertext", "seal-broken", lambda: post("/v1/channel", altered))
    post("/v1/channel", message)
    checks.that("the message itself still opens afterwards", True)
    checks.refused("bytes behind a message", "message-malformed", lambda: post("/v1/channel", message + b"\x00"))

    other = Hospital(here.membership, demo.urls["broker"])
    other.connect()
    _, message = channel.seal(content)
    checks.refused(
        "a session on another connection", "session-unknown", lambda: post("/v1/channel", message, other.connection)
    )
    other.close()

    checks.refused("a hello of another version", "version-unknown", lambda: _hello(here, version=2))
    checks.refused("a hello of another exchange", "exchange-wrong", lambda: _hello(here, exchange="elsewhere"))
    checks.refused("a hello with another step", "step-wrong", lambda: _hello(here, step=2))
    checks.refused("a hello with a session", "session-wrong", lambda: _hello(here, session=b"\x01" * 32))
    checks.refused("a hello of another suite", "suite-unknown", lambda: _hello(here, suite=2))
    archive = f"sealwort://{here.membership.exchange}/archive/elsewhere"
    checks.refused("a hello to another archive", "party-wrong", lambda: _hello(here, archive=archive))
    chain = here.membership.hop_chain
    checks.refused("a hello with the hop certificate", "certificate-refused", lambda: _hello(here, certificate=chain))
    checks.that(
        "the session lives on after all of it", here.ask_broker("locate", locators=[bytes(32)]).name == "not_located"
    )


def _hello(here: Hospital, **changed) -> None:
    """A hello with something in it changed."""
    header = messages.header(here.membership.exchange, 1)
    for name in ("version", "exchange", "step", "session"):
        setattr(header, name, changed.pop(name, getattr(header, name)))
    fields = {
        "header": header,
        "suite": messages.SUITE,
        "nonce": bytes(32),
        "certificate": here.membership.statement_chain,
        "archive": here.archive_identity,
        "cookie": b"",
    }
    status, answer = here.connection.request("/v1/authenticate/1", messages.HELLO.make(**(fields | changed)))
    if status != 200:
        raise hospital.refusal_of(status, answer)


def renewing(checks: Checks, here: Hospital, demo: Demo) -> None:
    title("Renewing")
    renewed = enrolment.renew(here.membership, clock())
    checks.that("the authority renews both certificates", renewed.hop_chain[0] != here.membership.hop_chain[0])
    again = Hospital(renewed, demo.urls["broker"])
    again.connect()
    checks.that(
        "the nine steps with the new certificates", again.ask_broker("locate", locators=[bytes(32)]) is not None
    )
    again.close()
    demo.run("ca", "revoke", "--dir", str(demo.folder / "ca"), here.membership.identity)
    checks.that("once revoked, the broker takes no connection of ours", turned_away(renewed, demo))


def turned_away(membership: enrolment.Membership, demo: Demo) -> bool:
    """Whether the broker stops taking us within the minute that section 3.3 promises."""
    deadline = time.monotonic() + 75
    while time.monotonic() < deadline:
        late = Hospital(membership, demo.urls["broker"])
        try:
            late.connect()
        except (TransportFault, Refused):
            return True
        late.close()
        time.sleep(2)
    return False


def run(program: Path) -> int:
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="sealwort-interop-") as folder, Demo(program, Path(folder)) as demo:
        print(f"the demo is up: {', '.join(demo.urls.values())}")
        a, b = demo.gateway("hospital-a"), demo.gateway("hospital-b")
        first = joining(checks, demo, "ed25519", NAME)
        writing(checks, first, b)
        reading(checks, first, a)
        refusals(checks, first, demo)
        second = joining(checks, demo, "p256", f"{NAME}-p256")
        writing(checks, second, b)
        reading(checks, second, a)
        second.close()
        renewing(checks, first, demo)
        first.close()
    print(f"\nlive: {checks.passed} checks passed, {len(checks.failed)} failed")
    for what in checks.failed:
        print(f"FAILED {what}")
    return 1 if checks.failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program", type=Path, help="the sealwort program")
    # Whoever ends this program ends the demo with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    return run(parser.parse_args().program)


if __name__ == "__main__":
    sys.exit(main())
