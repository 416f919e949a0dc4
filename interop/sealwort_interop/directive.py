"""Registrations and consent directives (`spec/protocol.md`, sections 6.1 to 6.3)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import SimpleNamespace

from . import cbor, certificates, cose, crypto, messages
from .certificates import Trust
from .refusal import Refused

FORMAT = 2
ACTIONS = ("read", "write", "emergency")
READ, WRITE, EMERGENCY = range(3)
PURPOSES = ("TREAT", "ETREAT", "BTG", "HPAYMT", "HOPERAT", "HRESCH", "PUBHLTH", "PATRQT")
DIRECTIVE_AHEAD_SECONDS_MAX = REGISTERED_AHEAD_SECONDS_MAX = 300
DIRECTIVE_BYTES_MAX = 64 * 1024
PROVISIONS_MAX = 256
NAMES_MAX = 64
PROVISION_TAGS_MAX = REQUEST_TAGS_MAX = 16
TIME_MAX = 253_402_300_799
NO_PREVIOUS = bytes(32)
GRANTEE = re.compile("[!-~]{1,256}")
ROLE = re.compile("[!-~]{1,64}")
THESE, ALL_BUT = range(2)


def among(kind: int, *names: str) -> SimpleNamespace:
    """Those named, or all but those named."""
    return SimpleNamespace(kind=kind, names=sorted(names))


def holds(one: SimpleNamespace, name: str | None) -> bool:
    """Whether somebody of that name is meant. Who is not named is meant only where everybody is."""
    if name is None:
        return one.kind == ALL_BUT and not one.names
    return (name in one.names) == (one.kind == THESE)


def digest(payload: bytes) -> bytes:
    return crypto.digest("sealwort directive v1", payload)


def provision(
    number: int, grantee: str, actions: list[int], tags: list[bytes], start: int, until: int | None = None
) -> SimpleNamespace:
    """One sentence: users of any role at this hospital, these actions for treatment, these labels, this period."""
    return SimpleNamespace(
        id=number,
        grantees=among(THESE, grantee),
        roles=among(ALL_BUT),
        actions=sorted(actions),
        purposes=[PURPOSES.index("TREAT")],
        start=start,
        until=until,
        tags=sorted(tags),
    )


def first(exchange: str, patient: bytes, now: int, provisions: list[SimpleNamespace]) -> SimpleNamespace:
    return SimpleNamespace(
        format=FORMAT,
        exchange=exchange,
        patient=patient,
        version=1,
        epoch=1,
        issued_at=now,
        previous=NO_PREVIOUS,
        last_provision=max((each.id for each in provisions), default=0),
        provisions=provisions,
    )


def following(
    before: SimpleNamespace, now: int, provisions: list[SimpleNamespace], takes_back: bool
) -> SimpleNamespace:
    """The next version. Where it takes anything back its epoch is one higher."""
    return SimpleNamespace(
        format=FORMAT,
        exchange=before.exchange,
        patient=before.patient,
        version=before.version + 1,
        epoch=before.epoch + takes_back,
        issued_at=max(now, before.issued_at),
        previous=digest(messages.DIRECTIVE.encode(before)),
        last_provision=max([before.last_provision, *(each.id for each in provisions)]),
        provisions=provisions,
    )


def sign(directive: SimpleNamespace, authority: crypto.PrivateKey) -> bytes:
    payload = messages.DIRECTIVE.encode(directive)
    read(payload)
    return cose.sign("directive", authority, payload)


def read(payload: bytes) -> SimpleNamespace:
    """A directive that keeps every rule that it can keep by itself."""

    def refuse(what: str, reason: str) -> Refused:
        return Refused(f"directive-{what}", reason)

    if len(payload) > DIRECTIVE_BYTES_MAX:
        raise refuse("too-large", "more than 64 KiB")
    try:
        value = cbor.decode(payload)
    except cbor.NotCanonical as error:
        raise refuse("not-canonical", error.reason) from error
    except Refused as error:
        raise refuse("malformed", error.reason) from error
    if isinstance(value, list) and value and type(value[0]) is int and value[0] != FORMAT:
        raise refuse("unsupported-format", f"format {value[0]}")
    try:
        directive = messages.DIRECTIVE.read(value, "directive")
    except Refused as error:
        raise refuse("malformed", error.reason) from error
    if not re.fullmatch(certificates.NAME, directive.exchange):
        raise refuse("exchange-name", "not the name of an exchange")
    if directive.version == 0:
        raise refuse("version-zero", "versions start at 1")
    if not 1 <= directive.epoch <= directive.version:
        raise refuse("epoch-impossible", f"epoch {directive.epoch} in version {directive.version}")
    if (directive.previous == NO_PREVIOUS) != (directive.version == 1):
        raise refuse("previous-misplaced", "the first version has no predecessor, and only it")
    if directive.issued_at > TIME_MAX:
        raise refuse("issued-out-of-range", "issued beyond the year 9999")
    if len(directive.provisions) > PROVISIONS_MAX:
        raise refuse("too-many-provisions", f"{len(directive.provisions)} provisions")
    before = 0
    for each in directive.provisions:
        _check_provision(each)
        if each.id <= before:
            raise refuse("not-ascending" if before else "provision-id", f"provision {each.id} after {before}")
        before = each.id
    if before > directive.last_provision:
        raise refuse("provision-id", f"provision {before}, while the last one given is {directive.last_provision}")
    return directive


def _check_provision(one: SimpleNamespace) -> None:
    def refuse(what: str) -> Refused:
        return Refused(f"provision-{what}", f"provision {one.id}")

    for found, form, what in ((one.grantees, GRANTEE, "grantee"), (one.roles, ROLE, "role")):
        if sorted(set(found.names)) != found.names:
            raise Refused("directive-not-ascending", f"a list of provision {one.id}")
        if not all(form.fullmatch(name) for name in found.names):
            raise Refused(f"directive-{what}", f"provision {one.id}")
        if found.kind == THESE and not found.names:
            raise refuse("nobody")
        if len(found.names) > NAMES_MAX:
            raise refuse("too-many-names")
    for found, what in ((one.actions, "no-actions"), (one.tags, "no-labels"), (one.purposes, "no-purposes")):
        if not found:
            raise refuse(what)
    if len(one.tags) > PROVISION_TAGS_MAX:
        raise refuse("too-many-labels")
    for found in (one.actions, one.purposes, one.tags):
        if sorted(set(found)) != found:
            raise Refused("directive-not-ascending", f"a list of provision {one.id}")
    if one.start > TIME_MAX or (one.until or 0) > TIME_MAX:
        raise refuse("period-out-of-range")
    if one.until is not None and one.until <= one.start:
        raise refuse("period-empty")


def follow(current: bytes | None, following: bytes) -> str:
    """What `following` is after `current`, payloads: `first`, `unchanged`, `widened`, or `narrowed` (a new epoch)."""

    def refuse(what: str) -> Refused:
        return Refused(f"successor-{what}", f"version {new.version} does not follow")

    new = read(following)
    if current is None:
        if new.version != 1:
            raise refuse("version")
        return "first"
    old = read(current)
    if new.exchange != old.exchange:
        raise refuse("other-exchange")
    if new.patient != old.patient:
        raise refuse("other-patient")
    if new.version != old.version + 1:
        raise refuse("version")
    if new.previous != digest(current):
        raise refuse("previous-digest")
    if new.issued_at < old.issued_at:
        raise refuse("issued-earlier")
    if new.epoch not in (old.epoch, old.epoch + 1):
        raise refuse("epoch")
    if new.last_provision < old.last_provision:
        raise refuse("provision-id-reused")
    wording = {each.id: each for each in old.provisions}
    for each in new.provisions:
        if each.id in wording and each != wording[each.id]:
            raise refuse("provision-rewritten")
        if each.id not in wording and each.id <= old.last_provision:
            raise refuse("provision-id-reused")
    live = [each for each in old.provisions if each.until is None or each.until > new.issued_at]
    taken = [each for each in live if not any(_covers(other, each) for other in new.provisions)]
    if taken and new.epoch == old.epoch:
        raise refuse("epoch-not-raised")
    if new.epoch != old.epoch:
        return "narrowed"
    return "unchanged" if new.provisions == old.provisions else "widened"


def _covers(one: SimpleNamespace, other: SimpleNamespace) -> bool:
    ends = one.until is None or (other.until is not None and other.until <= one.until)
    return (
        _all_of(one.grantees, other.grantees)
        and _all_of(one.roles, other.roles)
        and set(other.actions) <= set(one.actions)
        and set(other.purposes) <= set(one.purposes)
        and set(other.tags) <= set(one.tags)
        and one.start <= other.start
        and ends
    )


def _all_of(one: SimpleNamespace, other: SimpleNamespace) -> bool:
    """Whether `one` means everybody whom `other` means."""
    mine, theirs = set(one.names), set(other.names)
    if one.kind == other.kind:
        return theirs <= mine if one.kind == THESE else mine <= theirs
    return one.kind == ALL_BUT and not mine & theirs


@dataclass(frozen=True)
class Decision:
    """Section 6.3: the tags permitted and the others, and when the first permitted tag ends."""

    permitted: list[bytes]
    withheld: list[bytes]
    until: int | None


def decide(
    directive: SimpleNamespace,
    patient: bytes,
    hospital: str,
    action: str,
    purpose: str,
    tags: list[bytes],
    now: int,
    role: str | None = None,
) -> Decision:
    """What of `tags` is permitted; the code of section 10.2 where nothing is."""
    if not tags:
        raise Refused("consent-nothing-requested", "no label")
    if len(set(tags)) > REQUEST_TAGS_MAX:
        raise Refused("consent-too-many-labels", f"{len(tags)} labels")
    if now > TIME_MAX:
        raise Refused("consent-time-out-of-range", "beyond the year 9999")
    if directive.patient != patient:
        raise Refused("consent-other-patient", "the directive of another patient")
    if action not in ACTIONS or purpose not in PURPOSES:
        raise Refused("request-invalid", f"the action {action} or the purpose {purpose}")
    left = directive.provisions
    act, why = ACTIONS.index(action), PURPOSES.index(purpose)
    for code, fits in (
        ("no-provision", lambda one: holds(one.grantees, hospital)),
        ("role-not-granted", lambda one: holds(one.roles, role)),
        ("action-not-granted", lambda one: act in one.actions),
        ("purpose-not-granted", lambda one: why in one.purposes),
        ("label-not-granted", lambda one: set(one.tags) & set(tags)),
    ):
        left = [one for one in left if fits(one)]
        if not left:
            raise Refused(f"consent-{code}", f"nothing for {hospital}")
    open_now = [one for one in left if one.start <= now and (one.until is None or now < one.until)]
    if not open_now:
        later = any(one.start > now for one in left)
        raise Refused("consent-not-started" if later else "consent-ended", "outside the period")
    permitted = sorted(tag for tag in set(tags) if any(tag in one.tags for one in open_now))
    ends = [_end(tag, open_now) for tag in permitted]
    return Decision(
        permitted,
        sorted(set(tags) - set(permitted)),
        min((end for end in ends if end is not None), default=None),
    )


def _end(tag: bytes, provisions: list[SimpleNamespace]) -> int | None:
    """When a tag is no longer permitted by these provisions; None is never."""
    ends = [one.until for one in provisions if tag in one.tags]
    return None if None in ends else max(ends)


def sign_registration(registration: SimpleNamespace, key: crypto.PrivateKey) -> bytes:
    return cose.sign("registration", key, messages.REGISTRATION.encode(registration))


def read_registration(data: bytes, trust: Trust, now: int | None = None) -> SimpleNamespace:
    """A registration, verified with the certificate inside: as of `now`, or as it stood when it was made."""
    statement = cose.parse("registration", data)
    registration = messages.REGISTRATION.decode(statement.payload)
    if registration.exchange != trust.exchange:
        raise Refused("exchange-wrong", "a registration of another exchange")
    if not registration.certificate:
        raise Refused("statement-invalid", "a registration without a certificate")
    if now is not None:
        if registration.registered_at > now + REGISTERED_AHEAD_SECONDS_MAX:
            raise Refused("clock-skew", "a registration of the future")
        trust.verify(registration.certificate, "statement", now, roles=("gateway",))
    at = registration.registered_at
    party = trust.verify(registration.certificate, "statement", at, roles=("gateway",), revocation=False)
    if party.identity != registration.registered_by:
        raise Refused("party-wrong", "the registration names another gateway than its certificate")
    statement.verify(party.key)
    locators = registration.locators
    if not 1 <= len(locators) <= messages.LOCATORS_MAX or sorted(set(locators)) != locators:
        raise Refused("statement-invalid", "the registration's locators are not in order, none, or too many")
    crypto.public_key(registration.authority)
    return registration
