"""At least 200 bodies that are wrong: each gets an OperationOutcome that names the place, within a second, and the
gateway's memory stays within bounds. Nothing but the standard library speaks to the gateway here."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from sealwort_clients import malformed_bodies as made
from sealwort_clients import scenario, world
from sealwort_clients.checks import check, end, equal, holds, note
from sealwort_clients.malformed_bodies import Body
from sealwort_clients.world import World, fresh

BODIES_MIN = 200
WARM_UP = 20
# Words of XHTML that run something or fetch something.
RUNS = re.compile(r"<\s*(script|iframe|object|form|link|style|base|meta)|\son\w+\s*=|javascript:|data:text", re.I)


class Answer:
    """What came back."""

    def __init__(self, status: int, content: bytes, seconds: float):
        self.status, self.content, self.seconds = status, content, seconds

    def json(self) -> dict:
        return json.loads(self.content)


def send(told: World, body: Body) -> Answer:
    """Sends a body on a connection of its own. A gateway may answer before it has read everything."""
    address = urlsplit(told.fhir)
    begun = time.monotonic()
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=told.limits["request_seconds"])
    try:
        connection.putrequest("POST", f"{address.path}/{body.kind}".rstrip("/"))
        headers = {"Authorization": told.bearer, "Content-Type": body.media, "Content-Length": str(len(body.content))}
        for name, value in (headers | body.headers).items():
            connection.putheader(name, value)
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.endheaders(body.content)
        answer = connection.getresponse()
        return Answer(answer.status, answer.read(), time.monotonic() - begun)
    finally:
        connection.close()


def fault(body: Body, answer: Answer) -> str | None:
    """What is wrong with the answer; None where nothing is."""
    if answer.status < 300 and body.tells == made.NUMBER:
        number = body.content.split(b'"value": ')[-1].split(b",")[0]
        return None if number in answer.content else "taken, and the number was altered"
    if answer.status < 300 and body.tells == made.NARRATIVE:
        return "taken, and it would run" if RUNS.search(answer.json().get("text", {}).get("div", "")) else None
    if not 400 <= answer.status < 500:
        return f"status {answer.status}"
    try:
        outcome = answer.json()
        scenario.check_outcome(outcome)
    except (AssertionError, ValueError, KeyError) as error:
        return f"no OperationOutcome: {error}"
    issues = outcome["issue"]
    named = [plain(place) for issue in issues for place in issue.get("expression", [])]
    said = " ".join(f"{issue.get('details', {}).get('text', '')} {issue.get('diagnostics', '')}" for issue in issues)
    if body.tells in (made.ELEMENT, made.NUMBER, made.NARRATIVE):
        return None if plain(body.element) in named else f"{body.element} is not among {named}"
    if body.tells == made.SYNTAX:
        place = re.search(r"\bline \d+\b.*\bcolumn \d+|\bbyte \d+", said)
        return None if named or place else f"no place in: {said[:120]}"
    if body.tells == made.ANY_ELEMENT:
        return None if named else f"no element is named: {said[:120]}"
    return None


def plain(place: str) -> str:
    """An expression without indices and types, so that value.ofType(Quantity) is valueQuantity's value."""
    place = re.sub(r"\[(\d+|x)\]|\.(ofType|as)\(\w+\)", "", place)
    return re.sub(r"\.(value|effective|deceased)(Quantity|DateTime|Boolean)\b", r".\1", place)


class Memory:
    """Resident memory of the demo's process, in KiB, from `/proc`."""

    def __init__(self, pid: int):
        self._folder = Path("/proc") / str(pid)
        # Starts the peak anew (proc(5), clear_refs).
        (self._folder / "clear_refs").write_text("5")
        self._before = self._read("VmRSS")

    def growth(self) -> int:
        return self._read("VmHWM") - self._before

    def _read(self, name: str) -> int:
        lines = (self._folder / "status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])


def main() -> None:
    told = world.told()
    good = scenario.patient(fresh("malformed"))

    def write(resource: dict) -> Answer:
        return send(told, Body("", "", json.dumps(resource).encode(), "", kind=resource["resourceType"]))

    observation = None
    with check("what is well made is taken"):
        answer = write(good)
        equal(answer.status, 201, f"status ({answer.content[:200]!r})")
        observation = scenario.observation(fresh("malformed"), f"Patient/{answer.json()['id']}")
        for _ in range(WARM_UP):
            equal(write(observation).status, 201, "status")
    # Where that failed, what follows is tried all the same.
    bodies = list(made.bodies(good, observation or scenario.observation(fresh("malformed"), "Patient/nobody")))
    memory = Memory(told.pid)
    faults, counts, slow, slowest = defaultdict(list), defaultdict(int), [], 0.0
    for body in bodies:
        counts[body.family] += 1
        begun = time.monotonic()
        try:
            answer = send(told, body)
            wrong = fault(body, answer)
        except (OSError, http.client.HTTPException) as error:
            wrong = f"no answer: {type(error).__name__}: {error}"
        if wrong:
            faults[body.family].append(f"{body.name}: {wrong}")
        took = time.monotonic() - begun
        slowest = max(slowest, took)
        if took > told.limits["malformed_seconds"]:
            slow.append(f"{body.family}, {body.name}: {took:.2f} s")
    growth = memory.growth()

    for family, count in counts.items():
        with check(f"{family}: {count} bodies"):
            found = faults[family]
            holds(not found, f"{len(found)} of {count} wrong: " + "; ".join(found[:4]))
    with check(f"at least {BODIES_MIN} bodies"):
        holds(len(bodies) >= BODIES_MIN, f"there are {len(bodies)}")
    with check(f"each within {told.limits['malformed_seconds']} s"):
        holds(not slow, "; ".join(slow[:5]))
    with check(f"memory grew by at most {told.limits['malformed_growth_kib']} KiB"):
        holds(growth <= told.limits["malformed_growth_kib"], f"it grew by {growth} KiB")
    with check("after all that, what is well made is taken"):
        equal(write(scenario.patient(fresh("malformed"))).status, 201, "status")
    right = len(bodies) - sum(map(len, faults.values()))
    note(f"{right} of {len(bodies)} bodies as they must be; slowest {slowest:.3f} s; peak memory grew by {growth} KiB")
    end()


if __name__ == "__main__":
    main()
