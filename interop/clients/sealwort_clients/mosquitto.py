"""A real Mosquitto with a configuration of its own: a free loopback port, one user, a password file."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path

START_SECONDS = 10
USERS = "gateway", "monitor"
# Debian keeps the server where only root looks.
PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))


class Mosquitto:
    """Runs while `with` does, and is ended by its id."""

    def __init__(self, folder: Path):
        self._folder = folder / "mosquitto"

    @staticmethod
    def is_installed() -> bool:
        return all(shutil.which(name, path=PATH) for name in ("mosquitto", "mosquitto_passwd"))

    def __enter__(self) -> dict:
        self._folder.mkdir(mode=0o700)
        passwords = {name: secrets.token_urlsafe(24) for name in USERS}
        users = self._folder / "users"
        for name, password in passwords.items():
            create = [] if users.exists() else ["-c"]
            passwd = shutil.which("mosquitto_passwd", path=PATH)
            subprocess.run(
                [passwd, *create, "-b", str(users), name, password], check=True, capture_output=True, timeout=20
            )
        # The gateway takes its password from a file.
        password_file = self._folder / "gateway.password"
        password_file.write_text(passwords["gateway"])
        password_file.chmod(0o600)
        port = free_port()
        config = self._folder / "mosquitto.conf"
        config.write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {users}\npersistence false\n"
            f"log_dest stderr\nuser {os.environ.get('USER') or 'root'}\n"
        )
        self._log = (self._folder / "log").open("wb")
        server = shutil.which("mosquitto", path=PATH)
        self._process = subprocess.Popen(
            [server, "-c", str(config)], stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL
        )
        try:
            wait_for(port)
        except BaseException:
            self.__exit__()
            raise
        return {
            "url": f"mqtt://127.0.0.1:{port}",
            "port": port,
            "user": "gateway",
            "password_file": str(password_file),
            "monitor_password": passwords["monitor"],
        }

    def __exit__(self, *_) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=10)
        self._log.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise RuntimeError(f"Mosquitto did not start within {START_SECONDS} seconds") from None
            time.sleep(0.05)
