"""The seven steps as the hospital takes them (`spec/protocol.md`, sections 7.2 and 7.3). Pure: bytes in, bytes out."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

from . import cose, crypto, directive, messages
from .certificates import Trust
from .handshake import Session, policies_digest
from .messages import header
from .refusal import Refused

TOKEN_LIFETIME_SECONDS_MAX = 60
EMERGENCY_SECONDS_MAX = 3600


@dataclass(frozen=True)
class Access:
    """What a user wants: one patient, one action, one purpose, some labels."""

    patient: bytes
    action: str
    tags: list[bytes]
    purpose: str = "TREAT"
    user: str = "dr-python"
    user_role: str = "physician"
    emergency: SimpleNamespace | None = None


@dataclass(frozen=True)
class Identity:
    """The hospital as a signer of statements."""

    exchange: str
    identity: str
    chain: list[bytes]
    key: crypto.PrivateKey


@dataclass(frozen=True)
class Token:
    """A verified token: its payload, its statement, and the sealed copy for the archive."""

    payload: SimpleNamespace
    statement: bytes
    sealed: bytes


def request(hospital: Identity, session: Session, access: Access) -> bytes:
    """Step 1, a statement."""
    payload = messages.ACCESS_REQUEST.make(
        header=header(hospital.exchange, 1, session.id),
        patient=access.patient,
        action=access.action,
        tags=sorted(access.tags),
        purpose=access.purpose,
        emergency=access.emergency,
        user=access.user,
        user_role=access.user_role,
    )
    return cose.sign("request", hospital.key, payload)


def acceptance(session: Session, challenge: SimpleNamespace, now: int) -> SimpleNamespace:
    """Step 3, when the challenge repeats the broker's policies of step 5 and is of now."""
    if challenge.policies != session.broker_policies:
        raise Refused("policy-changed", "the challenge holds other policies than step 5")
    if abs(challenge.time_stamp - now) > session.policies.clock_skew:
        raise Refused("clock-skew", "the challenge is not of now")
    return SimpleNamespace(
        time_stamp=challenge.time_stamp + 1,
        challenge=challenge.challenge,
        policies=policies_digest(challenge.policies),
        binding=session.binding,
    )


def read_token(
    hospital: Identity, session: Session, access: Access, signed_request: bytes, grant: SimpleNamespace, now: int
) -> Token:
    """Step 4, held against the session, the clock and the request."""
    token = verify_token(
        grant.token,
        session.broker.key,
        lifetime=session.policies.token_lifetime,
        skew=session.policies.clock_skew,
        now=now,
        exchange=hospital.exchange,
        issuer=session.broker.identity,
        holder=hospital.identity,
        holder_key=cose.key_id(hospital.key.public_key()),
        audience=session.archive.identity,
        binding=session.binding,
    )
    _same(
        token,
        patient=access.patient,
        action=access.action,
        purpose=access.purpose,
        user=access.user,
        user_role=access.user_role,
        request=cose.statement_digest(signed_request),
        policies=policies_digest(session.broker_policies),
    )
    if (token.emergency and token.emergency.id) != (access.emergency and access.emergency.id):
        raise Refused("token-refused", "the token's emergency is another one")
    if not set(token.tags) <= set(access.tags):
        raise Refused("token-refused", "the token names labels that nobody asked for")
    return Token(token, grant.token, grant.sealed)


def verify_token(
    statement: bytes, issuer_key: crypto.PublicKey, lifetime: int, skew: int, now: int, **parties
) -> SimpleNamespace:
    """What L and M both check of a token: signature, parties, labels, lifetime, clock."""
    token = messages.TOKEN.decode(cose.verify("token", statement, issuer_key))
    _same(token, **parties)
    if not ascending(token.tags):
        raise Refused("token-refused", "the token's labels are not in order, or none")
    if not 1 <= token.expires_at - token.issued_at <= lifetime:
        raise Refused("token-refused", "the token lives longer than agreed")
    check_emergency(token)
    if token.issued_at > now + skew:
        raise Refused("clock-skew", "the token was issued later than now")
    if now >= token.expires_at + skew:
        raise Refused("token-refused", "the token has expired")
    return token


def check_emergency(token: SimpleNamespace) -> None:
    """The action and the access come together, and no token outlasts the hour."""
    emergency = token.emergency
    if (emergency is not None) != (token.action == "emergency"):
        raise Refused("token-refused", "an emergency access and the action emergency come together")
    if emergency is None:
        return
    if emergency.begun_at > token.issued_at or token.expires_at > emergency.begun_at + EMERGENCY_SECONDS_MAX:
        raise Refused("token-refused", "the token outlasts the hour of its emergency access")


def ascending(tags: list[bytes]) -> bool:
    """At least one, and sorted without repetition."""
    return bool(tags) and sorted(set(tags)) == tags


def _same(token: SimpleNamespace, **expected) -> None:
    for name, value in expected.items():
        if getattr(token, name) != value:
            raise Refused("token-refused", f"the token's {name.replace('_', ' ')} is another one")


def check_registration(data: bytes, trust: Trust, patient: bytes) -> SimpleNamespace:
    """The registration that came with step 4, verified as it stood when it was made."""
    registration = directive.read_registration(data, trust)
    if registration.patient != patient:
        raise Refused("statement-invalid", "the registration of another patient")
    return registration


def possession(hospital: Identity, session: Session, token: Token) -> bytes:
    """The proof of step 5."""
    payload = messages.POSSESSION.make(
        token_id=token.payload.id, binding=session.binding, token=cose.statement_digest(token.statement)
    )
    return cose.sign("possession", hospital.key, payload)


def check_archive_grant(token: Token, from_broker: SimpleNamespace, grant: SimpleNamespace, skew: int) -> None:
    """Step 6, held against the token: id, labels, end, registrations, head."""
    if grant.authority != token.payload.id:
        raise Refused("token-refused", "the authority has another id than the token")
    if not ascending(grant.tags) or not set(grant.tags) <= set(token.payload.tags):
        raise Refused("token-refused", "the archive granted labels that the token does not name")
    if grant.expires > token.payload.expires_at + skew:
        raise Refused("token-refused", "the authority lasts longer than the token")
    if cose.statement_digest(grant.registration) != cose.statement_digest(from_broker.registration):
        raise Refused("statement-invalid", "broker and archive hold different registrations")
    witnessed = (token.payload.witness_sequence, token.payload.witness_head)
    if grant.sequence < witnessed[0] or (grant.sequence == witnessed[0] and grant.head != witnessed[1]):
        raise Refused("log-rolled-back", "the archive's head contradicts the witnessed one")


def seal_token(exporter: bytes, session_tm: bytes, token: bytes, salt: bytes) -> bytes:
    """What T does for M; the hospital never can, vectors check it."""
    key = crypto.expand(crypto.expand(exporter, "sealwort token sealing v1"), "sealwort token v1", salt)
    return salt + crypto.seal(key, 0, token, session_tm)


def unseal_token(exporter: bytes, session_tm: bytes, sealed: bytes) -> bytes:
    key = crypto.expand(crypto.expand(exporter, "sealwort token sealing v1"), "sealwort token v1", sealed[:16])
    return crypto.open_sealed(key, 0, sealed[16:], session_tm)
