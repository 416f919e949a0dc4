"""A running `sealwort demo` as its operator uses it: the command line, and the gateways' FHIR face over HTTP."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote

START_SECONDS = 120
COMMAND_SECONDS = 60
LOG_END_CHARACTERS = 4000
USER = ("--user", "dr-interop", "--role", "physician")


class Demo:
    """The demo in a child process; `with` ends it, by the id that was started."""

    def __init__(self, program: Path, folder: Path):
        self.program = program
        self.folder = folder / "demo"
        self._log_file = folder / "demo.log"

    def __enter__(self) -> Demo:
        self._log = self._log_file.open("wb")
        command = [str(self.program), "demo", "--json", "--dir", str(self.folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._log, stdin=subprocess.DEVNULL)
        try:
            self.story = json.loads(self._first_line())
        except BaseException:
            self._end()
            raise
        self.urls = {words.split(",")[0].split(" (")[0]: url for words, url in self.story["urls"].items()}
        return self

    def __exit__(self, kind, *_) -> None:
        ended = self._process.poll()
        self._end()
        if ended is not None:
            print(f"the demo ended by itself with exit code {ended}", file=sys.stderr)
        if kind is not None or ended is not None:
            print(f"the end of what it logged:\n{self._log_end()}", file=sys.stderr)

    def invite(self, name: str) -> bytes:
        """The invitation of a further gateway."""
        path = self.folder.parent / f"{name}.invitation"
        self.run("ca", "invite", "--dir", str(self.folder / "ca"), "--out", str(path), "gateway", name)
        return path.read_bytes()

    def gateway(self, name: str) -> Gateway:
        return Gateway(self, name)

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        """A command of the program that must succeed."""
        return subprocess.run(
            [str(self.program), *arguments], check=True, capture_output=True, timeout=COMMAND_SECONDS, text=True
        )

    def _first_line(self) -> bytes:
        deadline = time.monotonic() + START_SECONDS
        output = self._process.stdout
        data = b""
        while b"\n" not in data:
            ready, _, _ = select.select([output], [], [], max(0, deadline - time.monotonic()))
            piece = os.read(output.fileno(), 65536) if ready else b""
            if not piece:
                raise RuntimeError(f"the demo did not start within {START_SECONDS} seconds:\n{self._log_end()}")
            data += piece
        return data.split(b"\n", 1)[0]

    def _log_end(self) -> str:
        return self._log_file.read_text(errors="replace")[-LOG_END_CHARACTERS:]

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=20)
        self._process.stdout.close()
        self._log.close()


class Gateway:
    """A hospital's gateway of the demo, used through its FHIR face."""

    def __init__(self, demo: Demo, name: str):
        self._demo = demo
        letter = name.removeprefix("hospital-").upper()
        self.identity = f"sealwort://{demo.story['exchange']}/gateway/{name}"
        self.url = demo.urls[f"hospital {letter}"]
        self._token_file = demo.folder.parent / f"{name}.token"
        demo.run("gateway", "token", "--dir", str(demo.folder / name), *USER, "--out", str(self._token_file))
        self._token = self._token_file.read_text().strip()

    def get(self, path: str) -> tuple[int, bytes]:
        return self._http("GET", path, None)

    def put(self, path: str, resource: bytes) -> tuple[int, bytes]:
        return self._http("PUT", path, resource)

    def post(self, path: str, resource: bytes) -> tuple[int, bytes]:
        return self._http("POST", path, resource)

    def find(self, system: str, value: str) -> tuple[int, bytes]:
        return self.get(f"/Patient?identifier={quote(system, safe='')}%7C{quote(value, safe='')}")

    def consent(self, verb: str, to: str, patient: str) -> None:
        """`grant` or `withdraw`; `patient` is an identifier system|value."""
        options = ["--to", to, "--gateway", self.url.removesuffix("/fhir"), "--token-file", str(self._token_file)]
        self._demo.run("consent", verb, *options, patient)

    def _http(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/fhir+json"}
        request = urllib.request.Request(self.url + path, data=body, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


def outcome_code(body: bytes) -> str:
    """The stable code in an OperationOutcome."""
    return json.loads(body)["issue"][0]["details"]["coding"][0]["code"]
