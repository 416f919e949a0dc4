"""Section 6."""

from __future__ import annotations

import cbor2

from sealwort_interop import cbor, cose, crypto, directive

from .setting import private_key, shown, trust, unhex, unhex_all


def statement_sign(given: dict) -> dict:
    key = private_key(given["algorithm"], given["seed"])
    kind, payload = given["statement"], unhex(given["payload"])
    data = cose.sign(kind, key, payload)
    protected, _, _, signature = cbor2.loads(data).value
    return {
        "key_id": cose.key_id(key.public_key()).hex(),
        "protected": protected.hex(),
        "signed_bytes": cose.to_be_signed(kind, protected, payload).hex(),
        "signature": signature.hex(),
        "bytes": data.hex(),
        "digest": cose.statement_digest(data).hex(),
    }


def statement_open(given: dict) -> dict:
    key = crypto.public_key(unhex(given["public_key"]))
    data = unhex(given["bytes"])
    payload = cose.verify(given["statement"], data, key)
    return {"payload": payload.hex(), "digest": cose.statement_digest(data).hex()}


def registration_verify(given: dict) -> dict:
    whom = trust(given["trust"])
    assert whom.exchange == given["exchange"] or given["exchange"]
    whom.exchange = given["exchange"]
    at = given["now"] if given["moment"] == "acceptance" else None
    found = directive.read_registration(unhex(given["bytes"]), whom, at)
    return {
        "patient": found.patient.hex(),
        "locators": [each.hex() for each in found.locators],
        "authority": found.authority.hex(),
        "registered_by": found.registered_by,
        "registered_at": found.registered_at,
    }


def directive_read(given: dict) -> dict:
    payload = unhex(given["payload"])
    directive.read(payload)
    return {"content": shown(cbor.decode(payload)), "digest": directive.digest(payload).hex()}


def directive_follow(given: dict) -> dict:
    current = None if given["current"] is None else unhex(given["current"])
    return {"change": directive.follow(current, unhex(given["next"]))}


def directive_decide(given: dict) -> dict:
    decision = directive.decide(
        directive.read(unhex(given["directive"])),
        unhex(given["patient"]),
        given["hospital"],
        given["action"],
        given["purpose"],
        unhex_all(given["tags"]),
        given["now"],
        given.get("role"),
    )
    return {
        "permitted": [tag.hex() for tag in decision.permitted],
        "withheld": [tag.hex() for tag in decision.withheld],
        "permitted_until": decision.until,
    }


KINDS = {
    "statement-sign": statement_sign,
    "statement-open": statement_open,
    "registration-verify": registration_verify,
    "directive-read": directive_read,
    "directive-follow": directive_follow,
    "directive-decide": directive_decide,
}
