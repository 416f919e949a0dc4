"""A real MLLP client (`hl7.client`) sends messages of HL7 v2, and what they say is found through FHIR."""

from __future__ import annotations

import time

import hl7
import requests
from hl7.client import MLLPClient

from sealwort_clients import world
from sealwort_clients.checks import check, end, equal, holds
from sealwort_clients.world import Answers, World, fresh

AUTHORITY = "2.999.7.3"


def message(kind: str, control: str, *segments: str) -> str:
    now = time.strftime("%Y%m%d%H%M%S")
    header = f"MSH|^~\\&|LAB|WARD|SEALWORT|GATEWAY|{now}||{kind}|{control}|P|2.5.1||||||UNICODE UTF-8"
    return "\r".join((header, *segments)) + "\r"


def person(number: str) -> str:
    identifier = f"{number}^^^WARD&{AUTHORITY}&ISO^MR"
    return f"PID|1||{identifier}||Grünewald-Łoś^Ada^Zoë||19680229|F|||Hauptstraße 5^^Bad Ems^^56130^DE"


def send(told: World, content: str | bytes) -> hl7.Message:
    """Sends one message; the acknowledgement, parsed."""
    if told.mllp is None:
        raise AssertionError("the demo tells no address of hospital A that begins with mllp://")
    host, port = told.mllp.rsplit(":", 1)
    with MLLPClient(host, int(port)) as client:
        client.socket.settimeout(told.limits["request_seconds"])
        answer = client.send_message(content)
    holds(answer.startswith(b"\x0b") and answer.endswith(b"\x1c\r"), f"the answer is not framed: {answer!r}")
    return hl7.parse(answer[1:-2].decode())


def acknowledged(answer: hl7.Message, code: str, control: str) -> None:
    equal(str(answer.segment("MSA")[1]), code, f"acknowledgement ({answer})")
    equal(str(answer.segment("MSA")[2]), control, "MSA-2, the message that is answered")
    header = answer.segment("MSH")
    equal([str(header[at]) for at in (3, 4, 5, 6)], ["SEALWORT", "GATEWAY", "LAB", "WARD"], "MSH-3 to 6, swapped")


def main() -> None:
    told = world.told()
    answers = Answers(told, "hl7")
    number = fresh("hl7")

    def find(path: str, **query: str) -> list[dict]:
        headers, seconds = {"Authorization": told.bearer}, told.limits["request_seconds"]
        options = {"headers": headers, "timeout": seconds, "hooks": {"response": answers.hook}}
        answer = requests.get(f"{told.fhir}/{path}", params=query, **options)
        answer.raise_for_status()
        return [entry["resource"] for entry in answer.json().get("entry", [])]

    def patients() -> list[dict]:
        return find("Patient", identifier=f"urn:oid:{AUTHORITY}|{number}")

    with check("ADT^A01 is accepted"):
        visit = "PV1|1|I|ICU^2^1^WARD||||1234^Doctor^Dora||||||||||||V1"
        acknowledged(
            send(told, message("ADT^A01^ADT_A01", "C1", "EVN|A01|20260301083000", person(number), visit)), "AA", "C1"
        )
    with check("its patient is there as soon as it was acknowledged"):
        (patient,) = patients()
        equal(
            (patient["name"][0]["family"], patient["birthDate"]), ("Grünewald-Łoś", "1968-02-29"), "name and birth date"
        )
    with check("its encounter is there"):
        (encounter,) = find("Encounter", patient=patient["id"])
        equal(encounter["class"]["code"], "IMP", "class of the encounter")
    with check("ORU^R01 is accepted, and its observation is there"):
        request = "OBR|1|P1|F1|24323-8^Panel^LN|||20260301083000"
        result = "OBX|1|NM|8867-4^Heart rate^LN||72.50|/min^/min^UCUM|60-100||||F|||20260301083000"
        acknowledged(send(told, message("ORU^R01^ORU_R01", "C2", person(number), request, result)), "AA", "C2")
        (observation,) = find("Observation", patient=patient["id"], code="http://loinc.org|8867-4")
        equal((observation["status"], observation["valueQuantity"]["value"]), ("final", 72.5), "status and value")
    with check("its number keeps its zero"):
        where, headers = f"{told.fhir}/Observation/{observation['id']}", {"Authorization": told.bearer}
        text = requests.get(where, headers=headers, timeout=told.limits["request_seconds"]).text
        holds('"value":72.50' in text.replace(" ", ""), "72.50 was altered")
    with check("ADT^A08 changes the same patient"):
        changed = person(number).replace("Ada^Zoë", "Ada^Zoë Maria")
        acknowledged(send(told, message("ADT^A08^ADT_A01", "C3", "EVN|A08|20260301093000", changed)), "AA", "C3")
        (after,) = patients()
        equal((after["id"], after["name"][0]["given"][-1]), (patient["id"], "Zoë Maria"), "id and given name")
    with check("the same message again makes nothing twice"):
        acknowledged(send(told, message("ORU^R01^ORU_R01", "C2", person(number), request, result)), "AA", "C2")
        equal(len(find("Observation", patient=patient["id"], code="http://loinc.org|8867-4")), 1, "observations")
    with check("lines that end with a line feed are understood"):
        plain = message("ADT^A08^ADT_A01", "C4", "EVN|A08|20260301103000", person(number)).replace("\r", "\n")
        acknowledged(send(told, plain), "AA", "C4")
    for name, control, content in (
        ("a message of a kind that is not taken", "B1", message("ZZZ^Z99", "B1", person(number))),
        ("a result without a patient", "B2", message("ORU^R01^ORU_R01", "B2", "OBR|1|||X", "OBX|1|NM|X||1")),
        (
            "a birth date that is none",
            "B3",
            message("ADT^A08", "B3", "EVN|A08", person(number).replace("19680229", "19681340")),
        ),
    ):
        with check(f"{name} is answered with a NACK"):
            answer = send(told, content)
            holds(str(answer.segment("MSA")[1]) in ("AE", "AR"), f"acknowledgement {answer.segment('MSA')}")
            equal(str(answer.segment("MSA")[2]), control, "MSA-2")
            holds(any(str(segment[0]) == "ERR" for segment in answer), "no ERR tells what is wrong")
    for name, content in (
        ("text that is no message", b"hello"),
        ("nothing", b""),
        ("a header that is cut off", b"MSH|^~\\&|LAB"),
        (
            "text that is not what its MSH-18 says",
            b"MSH|^~\\&|LAB|WARD|S|G|2026||ADT^A01|B9|P|2.5||||||UNICODE UTF-8\rPID|1||\xff\xfe\r",
        ),
    ):
        with check(f"{name} is answered with a NACK"):
            answer = send(told, content)
            holds(str(answer.segment("MSA")[1]) in ("AE", "AR"), f"acknowledgement {answer.segment('MSA')}")
    with check("after all that, a good message is accepted"):
        acknowledged(send(told, message("ADT^A08^ADT_A01", "C9", "EVN|A08|20260301", person(number))), "AA", "C9")
        equal(len(patients()), 1, "patients")
    end()


if __name__ == "__main__":
    main()
