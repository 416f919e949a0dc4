"""paho-mqtt publishes a vital sign of an enrolled device at a real Mosquitto, and it becomes an Observation; the same
over the gateway's own endpoint for devices."""

from __future__ import annotations

import json
import queue
import time
from datetime import UTC, datetime

import requests
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from sealwort_clients import scenario, world
from sealwort_clients.checks import check, end, equal, holds, skipped
from sealwort_clients.world import Answers, World, fresh


def measurement(told: World, value: float) -> bytes:
    """What a device sends: the form is in `settings.json`."""
    form = dict(told.settings["device"]["measurement"])
    form |= {"sequence": fresh("s")[-36:], "value": value, "time": datetime.now(UTC).isoformat(timespec="milliseconds")}
    return json.dumps(form).encode()


def publish(told: World, topic: str, body: bytes, password: str | None = None) -> None:
    """One message with quality of service 1, acknowledged by Mosquitto."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=fresh("monitor"), protocol=mqtt.MQTTv5)
    client.username_pw_set("monitor", password or told.mqtt["monitor_password"])
    answers = queue.Queue()
    client.on_connect = lambda _c, _u, _f, reason, _p: answers.put(reason)
    client.connect("127.0.0.1", told.mqtt["port"], keepalive=20)
    client.loop_start()
    try:
        answer = answers.get(timeout=told.limits["arrival_seconds"])
        if answer.is_failure:
            raise PermissionError(str(answer))
        info = client.publish(topic, body, qos=1)
        info.wait_for_publish(told.limits["arrival_seconds"])
        if not info.is_published():
            raise TimeoutError("Mosquitto did not acknowledge")
    finally:
        client.disconnect()
        client.loop_stop()


def main() -> None:
    told = world.told()
    answers = Answers(told, "paho")
    seconds = told.limits["request_seconds"]
    headers = {"Authorization": told.bearer}
    device_settings = told.settings["device"]

    def observations() -> list[dict]:
        query = {"patient": patient, "code": device_settings["code"]}
        options = {"params": query, "headers": headers, "timeout": seconds, "hooks": {"response": answers.hook}}
        answer = requests.get(f"{told.fhir}/Observation", **options)
        answer.raise_for_status()
        return [entry["resource"] for entry in answer.json().get("entry", []) if entry["search"]["mode"] == "match"]

    def arrives(value: float) -> dict:
        deadline = time.monotonic() + told.limits["arrival_seconds"]
        while True:
            found = [one for one in observations() if one["valueQuantity"]["value"] == value]
            if found:
                equal(len(found), 1, f"observations with {value}")
                return found[0]
            holds(time.monotonic() < deadline, f"it did not arrive within {told.limits['arrival_seconds']} seconds")
            time.sleep(0.1)

    def is_vital_sign(observation: dict, value: float) -> None:
        quantity = observation["valueQuantity"]
        equal((quantity["value"], quantity["code"]), (value, "/min"), "value and unit")
        equal(quantity["system"], "http://unitsofmeasure.org", "system of the unit")
        equal(observation["subject"]["reference"], f"Patient/{patient}", "subject")
        equal(observation["category"][0]["coding"][0]["code"], "vital-signs", "category")
        holds(observation["device"]["reference"], "no device")

    with check("a patient, written by a user"):
        created = requests.post(
            f"{told.fhir}/Patient", json=scenario.patient(fresh("paho")), headers=headers, timeout=seconds
        )
        patient = created.json()["id"]
    with check("a device is enrolled"):
        enrolled = json.loads(told.run(device_settings["enrol"], patient=patient).stdout)
        device, secret = enrolled["credentials"]["username"], enrolled["credentials"]["password"]

    def post(body: bytes, password: str) -> requests.Response:
        where = told.base + device_settings["path"].format(device=device)
        device_headers = {"Content-Type": "application/json"}
        return requests.post(where, data=body, headers=device_headers, auth=(device, password), timeout=seconds)

    with check("a measurement over HTTP becomes an Observation"):
        answer = post(measurement(told, 61), secret)
        holds(answer.status_code in (200, 201, 202, 204), f"status {answer.status_code}: {answer.text[:200]}")
        is_vital_sign(arrives(61), 61)
    with check("a wrong secret, and the secret of another device, are refused"):
        equal(post(measurement(told, 62), "not-the-secret").status_code, 401, "status with a wrong secret")
        other = json.loads(told.run(device_settings["enrol"], patient=patient).stdout)
        holds(
            post(measurement(told, 62), other["credentials"]["password"]).status_code in (401, 403), "another device's secret was taken"
        )
        equal([one for one in observations() if one["valueQuantity"]["value"] == 62], [], "what was refused")
    with check("what no heart does is refused"):
        answer = post(measurement(told, 100_000), secret)
        holds(400 <= answer.status_code < 500, f"status {answer.status_code}")
    with check("a device's secret opens nothing of FHIR"):
        opened = requests.get(
            f"{told.fhir}/Patient/{patient}", headers={"Authorization": f"Bearer {secret}"}, timeout=seconds
        )
        equal(opened.status_code, 401, "status")

    if told.mqtt is None:
        skipped("MQTT", "Mosquitto is not installed (Debian: apt-get install mosquitto; scripts/install.sh does)")
        end()
        return
    topic = told.settings["mqtt"]["topic"]
    with check("the demo can be told of Mosquitto"):
        holds(told.mqtt["known_to_demo"], f"sealwort demo has no option {told.settings['mqtt']['demo_arguments'][0]}")
    with check("Mosquitto refuses a wrong password"):
        try:
            publish(told, topic.format(device=device), b"{}", "not-the-password")
            raise AssertionError("it was taken")
        except PermissionError:
            pass
    with check("a measurement over MQTT becomes an Observation"):
        publish(told, topic.format(device=device), measurement(told, 71))
        is_vital_sign(arrives(71), 71)
    with check("the same message twice is one Observation"):
        body = measurement(told, 73)
        for _ in range(2):
            publish(told, topic.format(device=device), body)
        arrives(73)
        publish(told, topic.format(device=device), measurement(told, 74))
        arrives(74)
        equal(len([one for one in observations() if one["valueQuantity"]["value"] == 73]), 1, "observations with 73")
    with check("what is broken, or from nobody, changes nothing and stops nothing"):
        before = len(observations())
        publish(told, topic.format(device=device), b'{"type":')
        publish(told, topic.format(device="no-such-device"), measurement(told, 75))
        publish(told, topic.format(device=device), measurement(told, 76))
        arrives(76)
        equal(len(observations()), before + 1, "observations")
    end()


if __name__ == "__main__":
    main()
