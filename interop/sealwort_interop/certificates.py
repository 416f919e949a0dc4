"""Certificates and revocation: who speaks (`spec/protocol.md`, sections 3.1 to 3.3)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, ObjectIdentifier, SignatureAlgorithmOID

from . import crypto
from .refusal import Refused

NAME = "[a-z0-9][a-z0-9-]{0,62}"
IDENTITY = re.compile(rf"sealwort://(?P<exchange>{NAME})/(?P<role>ca|broker|archive|gateway)/(?P<name>{NAME})")
CHAIN_CERTIFICATES_MAX = 2
CERTIFICATE_BYTES_MAX = 4096
CRL_BYTES_MAX = 4 * 2**20
ISSUERS_MAX = 4
PUBLIC_KEY_BYTES_MAX = 256
CRL_AHEAD_SECONDS_MAX = 60
POLICIES = {
    ObjectIdentifier(f"1.3.6.1.4.1.32473.83.1.{number}"): role
    for number, role in enumerate(("ca", "broker", "archive", "gateway"), start=1)
}
USES = {
    "hop": {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH},
    "statement": {ObjectIdentifier("1.3.6.1.4.1.32473.83.2.1")},
}
SIGNATURES = (SignatureAlgorithmOID.ED25519, SignatureAlgorithmOID.ECDSA_WITH_SHA256)
LEAF_EXTENSIONS = {
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.CERTIFICATE_POLICIES,
}


class CertificateRefused(Refused):
    """Travels as `certificate-refused`; `check` is the code of section 3.2 or 3.3, which stands in logs."""

    def __init__(self, check: str, reason: str):
        super().__init__("certificate-refused", f"{check}: {reason}")
        self.check = check


@dataclass(frozen=True)
class Party:
    """Who a verified leaf certificate names, and its key."""

    identity: str
    exchange: str
    role: str
    name: str
    key: crypto.PublicKey
    leaf: bytes
    serial: bytes
    not_before: int
    not_after: int


@dataclass(frozen=True)
class _Leaf:
    """What section 3.1 says of a party's certificate, read."""

    certificate: x509.Certificate
    identity: re.Match[str]
    role: str
    use: str
    key: crypto.PublicKey


@dataclass(frozen=True)
class Taken:
    """A revocation list that was taken; times in Unix seconds."""

    number: int
    this_update: int
    next_update: int
    revoked: int


def serial(data: bytes) -> bytes:
    """The serial number of a certificate of section 3.1."""
    return _read_leaf(data).certificate.serial_number.to_bytes(16, "big")


def unverified(data: bytes) -> tuple[re.Match[str], crypto.PublicKey]:
    """Whom a certificate names and with which key, before anybody has verified it."""
    leaf = _read_leaf(data)
    return leaf.identity, leaf.key


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


@dataclass
class Trust:
    """An exchange's pinned root and its newest revocation lists. Without a list in force it believes nobody."""

    exchange: str
    root: bytes
    _lists: dict[bytes, tuple[x509.CertificateRevocationList, bytes]] = field(default_factory=dict)

    def verify(
        self,
        chain: list[bytes],
        use: str,
        now: int,
        roles: tuple[str, ...] = ("broker", "archive", "gateway"),
        name: str | None = None,
        revocation: bool = True,
    ) -> Party:
        """The party that `chain`, leaf first, names; the checks of section 3.2 in their order.

        `revocation=False` is for certificates behind a signature made earlier, at whose time `now` they are judged,
        and for the authority itself.
        """
        leaf = _read_leaf(chain[0] if chain else b"")
        identity = leaf.identity
        if len(chain) != CHAIN_CERTIFICATES_MAX:
            raise CertificateRefused("unknown-issuer", "a chain is the leaf and the issuing certificate")
        root = x509.load_der_x509_certificate(self.root)
        if not _in_validity(root, now):
            raise CertificateRefused("issuer-not-valid", "the root is outside its validity")
        try:
            issuing = self._issuing(chain[1], root)
        except CertificateRefused as error:
            if identity["exchange"] != self.exchange:
                raise self._elsewhere(identity) from error
            raise
        if not _in_validity(issuing, now):
            raise CertificateRefused("issuer-not-valid", "the issuing certificate is outside its validity")
        if _time(now) < leaf.certificate.not_valid_before_utc:
            raise CertificateRefused("certificate-not-yet-valid", "the certificate begins later")
        if _time(now) > leaf.certificate.not_valid_after_utc:
            raise CertificateRefused("certificate-expired", "the certificate has ended")
        _check_issued(leaf.certificate, issuing)
        if identity["exchange"] != self.exchange:
            raise self._elsewhere(identity)
        if leaf.role != identity["role"]:
            raise CertificateRefused("role-mismatch", f"identity {identity[0]} with the policy of role {leaf.role}")
        if leaf.role not in roles:
            raise CertificateRefused("wrong-role", f"role {leaf.role}")
        if name is not None and identity["name"] != name:
            raise CertificateRefused("wrong-name", f"{identity[0]} instead of {name}")
        if leaf.use != use:
            raise CertificateRefused("wrong-key-use", f"a certificate for the use {leaf.use}")
        if revocation:
            self._check_revocation(leaf.certificate, chain[1], now)
        return Party(
            identity[0],
            identity["exchange"],
            leaf.role,
            identity["name"],
            leaf.key,
            chain[0],
            leaf.certificate.serial_number.to_bytes(16, "big"),
            _seconds(leaf.certificate.not_valid_before_utc),
            _seconds(leaf.certificate.not_valid_after_utc),
        )

    def take_list(self, data: bytes, issuing: bytes, now: int) -> Taken:
        """A revocation list together with its issuing certificate (section 3.3)."""
        root = x509.load_der_x509_certificate(self.root)
        try:
            issuer = self._issuing(issuing, root)
        except CertificateRefused as error:
            raise CertificateRefused("bad-issuing-certificate", error.reason) from error
        if not _in_validity(issuer, now):
            raise CertificateRefused("issuing-certificate-not-valid", "outside its validity")
        crl = _read_list(data)
        number = _list_number(crl)
        if crl.issuer != issuer.subject:
            raise CertificateRefused("crl-bad-signature", "a list of another issuer")
        if not _list_signed(crl, issuer):
            raise CertificateRefused("crl-bad-signature", "the issuing certificate's key did not sign it")
        if _time(now) >= crl.next_update_utc:
            raise CertificateRefused("crl-stale", "the list has ended")
        if crl.last_update_utc > _time(now) + timedelta(seconds=CRL_AHEAD_SECONDS_MAX):
            raise CertificateRefused("crl-not-yet-valid", "the list is of the future")
        held = self._lists.get(issuing)
        if held and number < _list_number(held[0]):
            raise CertificateRefused("crl-rollback", "an older list than the one at hand")
        if held and number == _list_number(held[0]) and held[1] != data:
            raise CertificateRefused("crl-conflict", "another list of the same number")
        if not held and len(self._lists) >= ISSUERS_MAX:
            raise CertificateRefused("too-many-issuers", "too many issuing certificates are followed")
        self._lists[issuing] = (crl, data)
        return Taken(number, _seconds(crl.last_update_utc), _seconds(crl.next_update_utc), len(crl))

    def _elsewhere(self, identity: re.Match[str]) -> CertificateRefused:
        return CertificateRefused("wrong-exchange", f"a party of the exchange {identity['exchange']}")

    def _issuing(self, data: bytes, root: x509.Certificate) -> x509.Certificate:
        def refuse(reason: str) -> CertificateRefused:
            return CertificateRefused("unknown-issuer", reason)

        try:
            issuing = x509.load_der_x509_certificate(data)
            extensions = {each.oid: each for each in issuing.extensions}
        except Exception as error:
            raise refuse("the second certificate is none") from error
        constraints = extensions.get(ExtensionOID.BASIC_CONSTRAINTS)
        usage = extensions.get(ExtensionOID.KEY_USAGE)
        if (
            not constraints
            or not constraints.critical
            or not constraints.value.ca
            or constraints.value.path_length != 0
        ):
            raise refuse("the second certificate may not issue")
        if not usage or not usage.critical or _usages(usage.value) != {"key_cert_sign", "crl_sign"}:
            raise refuse("the second certificate's key usage is another")
        if not _signed_by(issuing, root):
            raise refuse("the root did not sign the second certificate")
        return issuing

    def _check_revocation(self, leaf: x509.Certificate, issuing: bytes, now: int) -> None:
        if issuing not in self._lists:
            raise CertificateRefused("revocation-unknown", "no revocation list of this issuing certificate")
        crl, _ = self._lists[issuing]
        if crl.get_revoked_certificate_by_serial_number(leaf.serial_number) is not None:
            raise CertificateRefused("certificate-revoked", "the certificate is revoked")
        if _time(now) >= crl.next_update_utc:
            raise CertificateRefused("revocation-unknown", "the revocation list has ended")


def _read_leaf(data: bytes) -> _Leaf:
    def malformed(reason: str) -> CertificateRefused:
        return CertificateRefused("certificate-malformed", reason)

    if len(data) > CERTIFICATE_BYTES_MAX:
        raise malformed("too long")
    try:
        certificate = x509.load_der_x509_certificate(data)
        extensions = {each.oid: each.value for each in certificate.extensions}
        key = crypto.supported(certificate.public_key())
        subject_key = crypto.spki(key)
    except Exception as error:
        raise malformed("not a certificate with a key of section 3.1") from error
    if der(certificate) != data or len(subject_key) > PUBLIC_KEY_BYTES_MAX or subject_key not in data:
        raise malformed("not in canonical form")
    names = list(extensions.get(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, []))
    if len(names) != 1 or not isinstance(names[0], x509.UniformResourceIdentifier):
        raise malformed("not exactly one identity")
    identity = IDENTITY.fullmatch(names[0].value)
    if not identity:
        raise malformed(f"not an identity: {names[0].value}")
    policies = [each.policy_identifier for each in extensions.get(ExtensionOID.CERTIFICATE_POLICIES, [])]
    if len(policies) != 1 or policies[0] not in POLICIES:
        raise malformed("not exactly one role's policy")
    extended = list(extensions.get(ExtensionOID.EXTENDED_KEY_USAGE, []))
    uses = [use for use, oids in USES.items() if set(extended) == oids and len(extended) == len(oids)]
    if not uses:
        raise malformed("extended key usage of no use")
    usage = extensions.get(ExtensionOID.KEY_USAGE)
    if usage is None or _usages(usage) != {"digital_signature"}:
        raise malformed("a key usage other than digitalSignature")
    serial = certificate.serial_number.to_bytes(20, "big")
    if serial[:4] != bytes(4) or not 1 <= serial[4] <= 0x7F:
        raise malformed("a serial number that is not 16 bytes")
    return _Leaf(certificate, identity, POLICIES[policies[0]], uses[0], key)


def _check_issued(leaf: x509.Certificate, issuing: x509.Certificate) -> None:
    if leaf.issuer != issuing.subject:
        raise CertificateRefused("unknown-issuer", "issued under another name")
    if not _signed_by(leaf, issuing):
        raise CertificateRefused("bad-certificate-signature", "the issuing key did not sign it")
    for each in leaf.extensions:
        if each.critical and each.oid not in LEAF_EXTENSIONS:
            raise CertificateRefused("certificate-malformed", f"unknown critical extension {each.oid.dotted_string}")
        if isinstance(each.value, x509.BasicConstraints) and each.value.ca:
            raise CertificateRefused("certificate-malformed", "a leaf that is an authority")


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Issuer name and signature; `cryptography` compares the two signature algorithm fields as it parses."""
    if certificate.signature_algorithm_oid not in SIGNATURES:
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _read_list(data: bytes) -> x509.CertificateRevocationList:
    if len(data) > CRL_BYTES_MAX:
        raise CertificateRefused("crl-too-long", "too long")
    try:
        crl = x509.load_der_x509_crl(data)
        oids = {each.oid for each in crl.extensions}
        complete = crl.public_bytes(serialization.Encoding.DER) == data and crl.next_update_utc is not None
    except Exception as error:
        raise CertificateRefused("crl-malformed", "not a revocation list") from error
    partial = {ExtensionOID.DELTA_CRL_INDICATOR, ExtensionOID.ISSUING_DISTRIBUTION_POINT}
    if not complete or ExtensionOID.CRL_NUMBER not in oids or oids & partial:
        raise CertificateRefused("crl-malformed", "not a complete list with a number and an end")
    return crl


def _list_signed(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    key = issuer.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey) and not isinstance(crl.signature_hash_algorithm, hashes.SHA256):
        return False
    try:
        return crl.is_signature_valid(key)
    except (TypeError, ValueError):
        return False


def _list_number(crl: x509.CertificateRevocationList) -> int:
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def _usages(usage: x509.KeyUsage) -> set[str]:
    names: tuple[str, ...] = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
    )
    names += ("key_cert_sign", "crl_sign")
    found = {name for name in names if getattr(usage, name)}
    if usage.key_agreement:
        found |= {name for name in ("encipher_only", "decipher_only") if getattr(usage, name)}
    return found


def _in_validity(certificate: x509.Certificate, now: int) -> bool:
    return certificate.not_valid_before_utc <= _time(now) <= certificate.not_valid_after_utc


def _time(now: int) -> datetime:
    return datetime.fromtimestamp(now, UTC)


def _seconds(time: datetime) -> int:
    return int(time.timestamp())
