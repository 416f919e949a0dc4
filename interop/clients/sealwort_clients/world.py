"""What a part is told about the running demo: a JSON file, whose path is the part's only argument. Also the record of
what the gateway answered, which `with_fhir_resources` parses in the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path


class World:
    """The running demo, as `demo.py` wrote it down."""

    def __init__(self, told: dict):
        self.fhir: str = told["fhir"]
        self.base: str = told["fhir"].removesuffix("/fhir")
        self.token: str = told["token"]
        self.program: str = told["program"]
        self.pid: int = told["pid"]
        self.provider: str = told["provider"]
        self.gateway: str = told["gateway"]
        self.answers: Path = Path(told["answers"])
        self.backend_key: str = told["backend_key"]
        self.mllp: str | None = told["mllp"]
        self.mqtt: dict | None = told["mqtt"]
        self.settings: dict = told["settings"]
        self.limits: dict = told["settings"]["limits"]

    @property
    def bearer(self) -> str:
        return f"Bearer {self.token}"

    def run(self, words: list[str], **values: str) -> subprocess.CompletedProcess:
        """A command of the program, which must succeed."""
        words = [word.format(gateway=self.gateway, **values) for word in words]
        reached = {"SEALWORT_CLIENT__GATEWAY": self.base, "SEALWORT_CLIENT__TOKEN": self.token}
        done = subprocess.run(
            [self.program, *words],
            capture_output=True,
            timeout=self.limits["command_seconds"],
            text=True,
            env=os.environ | reached,
        )
        if done.returncode:
            said = (done.stderr or done.stdout).strip()[-300:]
            raise RuntimeError(f"sealwort {' '.join(words[:3])} ended with {done.returncode}: {said}")
        return done


def told() -> World:
    """The world of this part."""
    if len(sys.argv) != 2:
        raise SystemExit(f"usage: {sys.argv[0]} WORLD.json (scripts/clients.sh starts this)")
    return World(json.loads(Path(sys.argv[1]).read_text()))


class Answers:
    """Remembers every answer of a `requests` client, and writes down those in JSON."""

    def __init__(self, world: World, part: str):
        self._folder, self._part, self._count = world.answers, part, 0
        self.statuses: list[int] = []
        self.bodies: list[dict | None] = []

    def hook(self, response, *_, **__) -> None:
        """For the `hooks` of requests."""
        try:
            body = response.json() if response.content else None
        except ValueError:
            body = None
        self.statuses.append(response.status_code)
        self.bodies.append(body)
        if isinstance(body, dict) and "resourceType" in body:
            self._count += 1
            (self._folder / f"{self._part}-{self._count:03}.json").write_bytes(response.content)

    @property
    def status(self) -> int:
        """The status of the last answer."""
        return self.statuses[-1]

    @property
    def body(self) -> dict | None:
        """The last answer."""
        return self.bodies[-1]


def fresh(name: str) -> str:
    """A key that no run used before."""
    return f"{name}-{uuid.UUID(bytes=os.urandom(16), version=4)}"
