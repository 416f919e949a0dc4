"""Section 3."""

from __future__ import annotations

from sealwort_interop import certificates, crypto, enrolment

from .setting import private_key, trust, unhex, unhex_all

ROLES = ("ca", "broker", "archive", "gateway")


def certificate_verify(given: dict) -> dict:
    party = trust(given["trust"]).verify(
        unhex_all(given["chain"]),
        given["key_use"],
        given["now"],
        roles=tuple(given["roles"]) or ROLES,
        name=given["name"],
    )
    return {
        "identity": party.identity,
        "key_use": given["key_use"],
        "public_key": crypto.spki(party.key).hex(),
        "serial": party.serial.hex(),
        "not_before": party.not_before,
        "not_after": party.not_after,
    }


def list_take(given: dict) -> dict:
    taken = trust(given["trust"]).take_list(unhex(given["crl"]), unhex(given["issuing"]), given["now"])
    return {
        "number": taken.number,
        "this_update": taken.this_update,
        "next_update": taken.next_update,
        "revoked": taken.revoked,
    }


def certificate_request(given: dict) -> dict:
    asked = enrolment.read_request(unhex(given["request"]))
    return {"identity": asked.identity, "key_use": asked.use, "public_key": crypto.spki(asked.key).hex()}


def authority_message(given: dict) -> dict:
    return {"members": enrolment.read_object(given["object"], given["json"].encode())}


def join(given: dict) -> dict:
    invitation = enrolment.read_invitation(given["invitation"].encode(), given["now"])
    keys = {use: private_key("ed25519", given[f"{use}_seed"]) for use in ("hop", "statement")}
    membership = enrolment.take_joining_grant(invitation, given["grant"].encode(), keys, given["now"])
    output = {
        "identity": membership.identity,
        "hop": certificates.serial(membership.hop_chain[0]).hex(),
        "statement": certificates.serial(membership.statement_chain[0]).hex(),
    }
    if membership.directory_key:
        output["directory_key"] = membership.directory_key.hex()
    return output


KINDS = {
    "certificate-verify": certificate_verify,
    "list-take": list_take,
    "certificate-request": certificate_request,
    "authority-message": authority_message,
    "join": join,
}
