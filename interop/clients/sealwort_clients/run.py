"""Starts one fresh demo (and a Mosquitto beside it), runs the parts against it, each in a process of its own with a
time limit, and counts. Usage: python -m sealwort_clients.run PROGRAM [PART…]."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

from sealwort_clients.mosquitto import Mosquitto
from sealwort_clients.registered import register

HERE = Path(__file__).resolve().parent.parent
# Where scripts/clients.sh installed the packages for Node, with the scripts beside them.
NODE_FOLDER = Path(os.environ.get("SEALWORT_CLIENTS_NODE", HERE / "node"))
# In this order: fhir.resources parses what the gateway answered to all others.
PYTHON = "fhirpy", "fhirclient", "hl7", "paho", "backend", "launch", "malformed", "fhir_resources"
NODE = "kit", "medplum"
PARTS = (*PYTHON[:2], *NODE, *PYTHON[2:])


class Demo:
    """The demo in a child process. `with` ends it, by the id that was started."""

    def __init__(self, program: Path, folder: Path, options: list[str], limits: dict):
        self._program, self._options, self._limits = program, options, limits
        self.folder, self._log_file = folder / "demo", folder / "demo.log"

    def __enter__(self) -> Demo:
        self._log = self._log_file.open("wb")
        command = [str(self._program), "demo", "--json", "--dir", str(self.folder), *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._log, stdin=subprocess.DEVNULL)
        try:
            self.story = json.loads(self._first_line())
        except BaseException:
            self.__exit__()
            raise
        self.pid = self._process.pid
        return self

    def __exit__(self, *_) -> None:
        stop(self._process)
        self._process.stdout.close()
        self._log.close()

    def url(self, label: str, scheme: str) -> str | None:
        """An address by its label and scheme: of a hospital the one FHIR base, the MLLP listener."""
        found = [url for words, url in self.story["urls"].items() if words.startswith(label)]
        return next((url for url in found if url.startswith(f"{scheme}://")), None)

    def _first_line(self) -> bytes:
        deadline = time.monotonic() + self._limits["demo_start_seconds"]
        output, data = self._process.stdout, b""
        while b"\n" not in data:
            ready, _, _ = select.select([output], [], [], max(0, deadline - time.monotonic()))
            piece = os.read(output.fileno(), 65536) if ready else b""
            if not piece:
                said = self._log_file.read_text(errors="replace")[-1000:]
                raise SystemExit(f"the demo did not start; it said: {said}")
            data += piece
        return data.split(b"\n", 1)[0]


def stop(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=20)


class Part:
    """One part: its process, and what it told."""

    def __init__(self, name: str):
        self.name, self.passed, self.failed, self.skipped = name, 0, 0, 0

    def run(self, world: Path, seconds: float) -> None:
        if self.name in NODE:
            node = shutil.which("node")
            if node is None or not (NODE_FOLDER / "node_modules").is_dir():
                self._skip("the whole part", "Node 20.19 or its packages are missing")
                return
            command = [node, str(NODE_FOLDER / f"with-{self.name}.mjs"), str(world)]
        else:
            command = [sys.executable, "-m", f"sealwort_clients.with_{self.name}", str(world)]
        print(f"\n{self.name}", flush=True)
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, stdin=subprocess.DEVNULL, cwd=HERE)
            try:
                output, _ = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                output, _ = process.communicate(timeout=20)
                self._fail("the part ends in time", f"it was stopped after {seconds} seconds")
            self._count(output)
            if process.returncode != 0:
                said.seek(0)
                self._fail(
                    "the part ends well", f"code {process.returncode}: {said.read()[-800:].decode(errors='replace')}"
                )

    def _count(self, output: bytes) -> None:
        ended = False
        for line in output.splitlines():
            try:
                told = json.loads(line)
            except ValueError:
                print(f"       {line.decode(errors='replace')}")
                continue
            if "check" in told and told["passed"]:
                self.passed += 1
                print(f"  ok   {told['check']}")
            elif "check" in told:
                self._fail(told["check"], told["detail"])
            elif "skipped" in told:
                self._skip(told["skipped"], told["detail"])
            elif "note" in told:
                print(f"       {told['note']}")
            ended = ended or "end" in told
        if not ended or not self.passed + self.failed + self.skipped:
            self._fail("the part comes to its end", "it told no end")

    def _fail(self, name: str, detail: str) -> None:
        self.failed += 1
        print(f"  FAIL {name}\n       {' '.join(detail.split())}", flush=True)

    def _skip(self, name: str, why: str) -> None:
        self.skipped += 1
        print(f"  SKIPPED: {self.name}: {name}: {why}", flush=True)


def main(program: Path, names: list[str]) -> int:
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise SystemExit(f"no part {', '.join(unknown)}; there are: {', '.join(PARTS)}")
    chosen = [name for name in PARTS if not names or name in names]
    settings = json.loads((HERE / "settings.json").read_text())
    limits = settings["limits"]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sealwort-clients-")))
        options, mqtt = [], None
        if "paho" in chosen and Mosquitto.is_installed():
            mqtt = stack.enter_context(Mosquitto(folder))
            options = offered_options(program, settings["mqtt"]["demo_arguments"], mqtt, limits)
            mqtt["known_to_demo"] = bool(options)
        demo = stack.enter_context(Demo(program, folder, options, limits))
        gateway = demo.folder / settings["hospital"]
        backend_key = register(gateway / settings["apps_file"], settings)
        mllp = demo.url(settings["label"], "mllp")
        world = {
            "fhir": demo.url(settings["label"], "http").removesuffix("/"),
            "token": token(program, gateway, folder, settings),
            "program": str(program),
            "pid": demo.pid,
            "gateway": str(gateway),
            "data": str(HERE / "data"),
            "answers": str(folder / "answers"),
            "backend_key": backend_key,
            "provider": demo.url(settings["provider_label"], "http"),
            "mllp": urlsplit(mllp).netloc if mllp else None,
            "mqtt": mqtt,
            "settings": settings,
        }
        (folder / "answers").mkdir()
        file = folder / "world.json"
        file.write_text(json.dumps(world))
        parts = [Part(name) for name in chosen]
        for part in parts:
            part.run(file, limits["part_seconds"])
    return summary(parts)


def offered_options(program: Path, options: list[str], mqtt: dict, limits: dict) -> list[str]:
    """The options by which the demo learns of Mosquitto; none where this program has no such option."""
    told = subprocess.run(
        [str(program), "demo", "--help"], capture_output=True, timeout=limits["command_seconds"], text=True
    )
    return [option.format(**mqtt) for option in options] if options[0] in told.stdout.split() else []


def token(program: Path, gateway: Path, folder: Path, settings: dict) -> str:
    file = folder / "user.token"
    words = [word.format(gateway=gateway, file=file) for word in settings["token"]]
    subprocess.run(
        [str(program), *words], check=True, capture_output=True, timeout=settings["limits"]["command_seconds"]
    )
    return file.read_text().strip()


def summary(parts: list[Part]) -> int:
    print(f"\n{'part':<16}{'passed':>8}{'failed':>8}{'skipped':>8}")
    for part in parts:
        print(f"{part.name:<16}{part.passed:>8}{part.failed:>8}{part.skipped:>8}")
    passed, failed, skipped = (sum(getattr(part, what) for part in parts) for what in ("passed", "failed", "skipped"))
    print(f"{'together':<16}{passed:>8}{failed:>8}{skipped:>8}")
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit("usage: python -m sealwort_clients.run PROGRAM [PART...]")
    sys.exit(main(Path(sys.argv[1]).resolve(), sys.argv[2:]))
