"""Joining an exchange with an invitation (`spec/protocol.md`, sections 3.6 and 3.7)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtensionOID, NameOID

from . import certificates, crypto
from .certificates import USES, Trust
from .refusal import Refused
from .transport import Connection

BODY_BYTES_MAX = 16 * 1024
REQUEST_BYTES_MAX = 2048
REQUESTED = {ExtensionOID.SUBJECT_ALTERNATIVE_NAME, ExtensionOID.EXTENDED_KEY_USAGE}


@dataclass
class Membership:
    """What a party has after joining. Chains are DER, leaf first."""

    exchange: str
    identity: str
    name: str
    hop_chain: list[bytes]
    hop_key: crypto.PrivateKey
    statement_chain: list[bytes]
    statement_key: crypto.PrivateKey
    directory_key: bytes
    trust: Trust
    authority_url: str


HEX = re.compile("([0-9a-f]{2})+")
HEX_32_BYTES = re.compile("[0-9a-f]{64}")
URL = re.compile("https://.{1,504}")
Member = Callable[[Any], bool]


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _matching(pattern: re.Pattern[str]) -> Member:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def _chain(value: Any) -> bool:
    return isinstance(value, list) and len(value) == certificates.CHAIN_CERTIFICATES_MAX and all(map(_hex, value))


def _number(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**64


_hex, _hex_32, _name = _matching(HEX), _matching(HEX_32_BYTES), _matching(re.compile(certificates.NAME))

OBJECTS: dict[str, dict[str, Member]] = {
    "invitation": {
        "exchange": _name,
        "role": lambda value: value in ("broker", "archive", "gateway"),
        "name": _name,
        "url": _matching(URL),
        "root": _hex_32,
        "secret": _hex_32,
        "expires": _number,
    },
    "enrol-request": {
        "identity": _matching(certificates.IDENTITY),
        "secret": _hex_32,
        "hop": _hex,
        "statement": _hex,
    },
    "renew-request": {"hop": _hex, "statement": _hex},
    "grant": {"hop": _chain, "statement": _chain, "root": _hex, "crl": _hex, "directory_key": _hex_32},
    "list": {"crl": _hex, "issuing": _hex},
    "root": {"exchange": _name, "root": _hex},
    "refusal": {"code": _text, "message": _text, "remedy": _text},
}
"""The objects of section 3.6, each with its members and what they must be."""
OPTIONAL = {"directory_key"}
LONG = {"grant", "list", "root"}


def read_object(what: str, data: bytes) -> dict[str, Any]:
    """One of `OBJECTS`: a JSON object with exactly its members, none repeated."""
    if what not in LONG and len(data) > BODY_BYTES_MAX:
        raise Refused("message-malformed", f"the {what} is too long")

    def once(pairs):
        if len({name for name, _ in pairs}) != len(pairs):
            raise ValueError("a repeated member")
        return dict(pairs)

    try:
        found = json.loads(data.decode("utf-8"), object_pairs_hook=once)
    except ValueError as error:
        raise Refused("message-malformed", f"not the JSON expected: {error}") from error
    members = OBJECTS[what]
    if not isinstance(found, dict) or not set(members) - OPTIONAL <= set(found) <= set(members):
        raise Refused("message-malformed", f"the {what} has the members {', '.join(members)}")
    for name, value in found.items():
        if not members[name](value):
            raise Refused("message-malformed", f"{name} of the {what}")
    return found


def read_invitation(data: bytes, now: int) -> dict[str, Any]:
    invitation = read_object("invitation", data)
    if now > invitation["expires"]:
        raise Refused("invitation-expired", "the invitation has expired")
    return invitation


@dataclass(frozen=True)
class Request:
    """What a certificate request asks for; its signature proved the key."""

    identity: str
    use: str
    key: crypto.PublicKey


def read_request(data: bytes) -> Request:
    """The authority's side of `certificate_request`."""

    def malformed(reason: str) -> Refused:
        return Refused("request-malformed", reason, by="ca")

    if len(data) > REQUEST_BYTES_MAX:
        raise malformed("too long")
    try:
        request = x509.load_der_x509_csr(data)
        extensions = {each.oid: each.value for each in request.extensions}
        count = len(request.extensions)
        key = crypto.supported(request.public_key())
        canonical = request.public_bytes(serialization.Encoding.DER) == data
    except Exception as error:
        raise malformed("not a certificate request") from error
    if not canonical or count != 2 or set(extensions) != REQUESTED:
        raise malformed("not the two extensions of section 3.6")
    names = list(extensions[ExtensionOID.SUBJECT_ALTERNATIVE_NAME])
    if len(names) != 1 or not isinstance(names[0], x509.UniformResourceIdentifier):
        raise malformed("not exactly one identity")
    if not certificates.IDENTITY.fullmatch(names[0].value):
        raise malformed("not an identity")
    extended = list(extensions[ExtensionOID.EXTENDED_KEY_USAGE])
    uses = [use for use, oids in USES.items() if set(extended) == oids and len(extended) == len(oids)]
    if not uses:
        raise malformed("extended key usage of no use")
    if not request.is_signature_valid:
        raise Refused("request-bad-signature", "the request does not prove its key", by="ca")
    return Request(names[0].value, uses[0], key)


def certificate_request(identity: str, use: str, key: crypto.PrivateKey) -> bytes:
    """PKCS#10, signed by the key that it asks for: the proof of possession."""
    role, name = identity.split("/")[3:]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{role} {name}")])
    usages = sorted(USES[use], key=lambda oid: oid.dotted_string)
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject)
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    )
    return request.public_bytes(serialization.Encoding.DER)


def new_key(algorithm: str) -> crypto.PrivateKey:
    """`ed25519` or `p256`."""
    if algorithm == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP256R1())


def connect_to_authority(
    url: str, exchange: str, fingerprint: str, now: int, hop: tuple[list[bytes], crypto.PrivateKey] | None = None
) -> tuple[Connection, bytes]:
    """A connection to the authority whose root has this fingerprint, and that root; with our hop chain, if any."""
    roots: list[bytes] = []

    def verify(chain: list[x509.Certificate]) -> None:
        ders = [certificates.der(each) for each in chain]
        if not ders or crypto.sha256(ders[-1]).hex() != fingerprint:
            raise Refused("wrong-root", "the authority's root is not the invitation's")
        Trust(exchange, ders[-1]).verify(ders[:-1], "hop", now, roles=("ca",), revocation=False)
        roots.append(ders[-1])

    chain, key = hop or ([], None)
    return Connection(url, verify, [x509.load_der_x509_certificate(each) for each in chain], key), roots[0]


def join(invitation: dict[str, Any], now: int, algorithm: str = "ed25519") -> Membership:
    """Makes two keys, proves both, and takes the grant only where all of it fits."""
    exchange, role, name = invitation["exchange"], invitation["role"], invitation["name"]
    identity = f"sealwort://{exchange}/{role}/{name}"
    keys = {use: new_key(algorithm) for use in USES}
    connection, root = connect_to_authority(invitation["url"], exchange, invitation["root"], now)
    try:
        body = requests(identity, keys) | {"identity": identity, "secret": invitation["secret"]}
        answer = _post(connection, "/v1/enrol", body)
    finally:
        connection.close()
    if crypto.sha256(root).hex() != invitation["root"]:
        raise Refused("wrong-root", "the authority showed another root than the invitation's")
    return take_joining_grant(invitation, answer, keys, now)


def take_joining_grant(
    invitation: dict[str, Any], answer: bytes, keys: dict[str, crypto.PrivateKey], now: int
) -> Membership:
    """The grant that answers an invitation: its root is the one that the invitation pins."""
    root = bytes.fromhex(read_object("grant", answer)["root"])
    if crypto.sha256(root).hex() != invitation["root"]:
        raise Refused("wrong-root", "the grant holds another root than the invitation")
    identity = f"sealwort://{invitation['exchange']}/{invitation['role']}/{invitation['name']}"
    return take_grant(answer, identity, keys, Trust(invitation["exchange"], root), invitation["url"], now)


def renew(membership: Membership, now: int, algorithm: str = "ed25519") -> Membership:
    """Two new keys and certificates, asked for under the present hop certificate."""
    keys = {use: new_key(algorithm) for use in USES}
    fingerprint = crypto.sha256(membership.trust.root).hex()
    hop = (membership.hop_chain, membership.hop_key)
    connection, _ = connect_to_authority(membership.authority_url, membership.exchange, fingerprint, now, hop)
    try:
        answer = _post(connection, "/v1/renew", requests(membership.identity, keys))
    finally:
        connection.close()
    renewed = take_grant(answer, membership.identity, keys, membership.trust, membership.authority_url, now)
    if renewed.directory_key != membership.directory_key:
        raise Refused("directory-key-changed", "the authority gave another directory key than before")
    return renewed


def requests(identity: str, keys: dict[str, crypto.PrivateKey]) -> dict[str, str]:
    return {use: certificate_request(identity, use, key).hex() for use, key in keys.items()}


def take_grant(
    answer: bytes, identity: str, keys: dict[str, crypto.PrivateKey], trust: Trust, url: str, now: int
) -> Membership:
    """The grant, where its root, list, certificates and directory key are what they must be."""
    role, name = identity.split("/")[3:]
    grant = read_object("grant", answer)
    if crypto.sha256(bytes.fromhex(grant["root"])) != crypto.sha256(trust.root):
        raise Refused("wrong-root", "the grant holds another root than the invitation")
    chains = {use: [bytes.fromhex(each) for each in grant[use]] for use in USES}
    trust.take_list(bytes.fromhex(grant["crl"]), chains["hop"][1], now)
    for use, chain in chains.items():
        party = trust.verify(chain, use, now, roles=(role,), name=name)
        if crypto.spki(party.key) != crypto.spki(keys[use].public_key()):
            raise Refused("wrong-key", "a certificate for another key than was made")
    if ("directory_key" in grant) != (role == "gateway"):
        raise Refused("directory-key", "a directory key is there exactly for a gateway")
    return Membership(
        exchange=trust.exchange,
        identity=identity,
        name=name,
        hop_chain=chains["hop"],
        hop_key=keys["hop"],
        statement_chain=chains["statement"],
        statement_key=keys["statement"],
        directory_key=bytes.fromhex(grant.get("directory_key", "")),
        trust=trust,
        authority_url=url,
    )


def _post(connection: Connection, path: str, body: dict[str, str]) -> bytes:
    status, answer = connection.request(path, json.dumps(body).encode())
    if status != 200:
        refusal = read_object("refusal", answer)
        raise Refused(refusal["code"], refusal["message"], by="ca", remedy=refusal["remedy"])
    return answer


def refresh_list(membership: Membership, now: int) -> None:
    """Fetches the newest revocation list. The authority's certificate is judged without one."""
    fingerprint = crypto.sha256(membership.trust.root).hex()
    connection, _ = connect_to_authority(membership.authority_url, membership.exchange, fingerprint, now)
    try:
        status, answer = connection.request("/v1/crl", method="GET")
    finally:
        connection.close()
    if status != 200:
        raise Refused("revocation-unknown", f"the authority answered {status}", by="ca")
    found = read_object("list", answer)
    membership.trust.take_list(bytes.fromhex(found["crl"]), bytes.fromhex(found["issuing"]), now)
