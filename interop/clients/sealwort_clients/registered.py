"""The two apps that are registered with the gateway: a backend service with a key made here, and a public app. The
gateway reads the file anew when it changes."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

COORDINATE_BYTES = 48


def register(file: Path, settings: dict) -> str:
    """Writes `apps.json`. The private key of the backend service, as PEM."""
    key = ec.generate_private_key(ec.SECP384R1())
    point = key.public_key().public_numbers()
    app, backend = settings["app"], settings["backend"]
    apps = [
        {
            "client_id": app["client_id"],
            "name": "Public clients: an app",
            "kind": "public",
            "redirect_uris": [app["redirect_uri"]],
            "scope": f"launch/patient {app['scope']}",
        },
        {
            "client_id": backend["client_id"],
            "name": "Public clients: a backend service",
            "kind": "confidential",
            "scope": backend["scope"],
            "jwks": {
                "keys": [
                    {
                        "kty": "EC",
                        "crv": "P-384",
                        "alg": "ES384",
                        "use": "sig",
                        "kid": backend["key_id"],
                        "x": _base64url(point.x),
                        "y": _base64url(point.y),
                    }
                ]
            },
        },
    ]
    # In one step, so that the gateway never reads half a file.
    beside = file.with_suffix(".new")
    beside.write_text(json.dumps({"apps": apps}, indent=2))
    os.replace(beside, file)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _base64url(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(COORDINATE_BYTES, "big")).decode().rstrip("=")
