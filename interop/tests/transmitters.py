"""The broker's and the archive's side of the seven steps, as far as vectors need them (`spec/protocol.md`, sections 7.2
to 7.5). They stand on a finished run of the nine steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

from parties import Archive, Broker

from sealwort_interop import cose, directive, log, messages, record, transmission
from sealwort_interop.handshake import policies_digest
from sealwort_interop.messages import check_header
from sealwort_interop.refusal import Refused

CHALLENGE_SECONDS = 30


@dataclass
class Patient:
    """What T and M each hold of a patient."""

    pseudonym: bytes
    registration: bytes
    directive: SimpleNamespace
    halves: dict[str, dict[int, bytes]]
    """By side, then epoch."""

    def sub_halves(self, side: str, action: str, tags: list[bytes], hospital: str) -> list[SimpleNamespace]:
        """Section 8.2: nodes of all epochs to a reader, leaves of the newest to a writer."""
        halves = self.halves[side]
        epochs = [max(halves)] if action == "write" else sorted(halves)
        given = []
        for epoch in epochs:
            for tag in tags:
                node = record.node(halves[epoch], side, self.pseudonym, epoch, tag)
                author = hospital if action == "write" else None
                secret = node if author is None else record.leaf(node, author)
                given.append(SimpleNamespace(epoch=epoch, tag=tag, author=author, secret=secret))
        return given


@dataclass
class BrokerDesk:
    side: Broker
    patient: Patient
    witness: log.Head
    challenge: bytes
    token_id: bytes
    salt: bytes

    def request(self, data: bytes, now: int) -> SimpleNamespace:
        """Step 1 in, step 2 out."""
        side = self.side
        payload = cose.verify("request", data, side.gateway.key)
        asked = messages.ACCESS_REQUEST.decode(payload)
        check_header(asked.header, side.exchange, 1, side.session)
        if len(asked.tags) > messages.TAGS_MAX or not transmission.ascending(asked.tags):
            raise Refused("token-refused", "labels of a request")
        if max(len(asked.user.encode()), len(asked.user_role.encode())) > messages.USER_BYTES_MAX:
            raise Refused("statement-invalid", "the user's name or role")
        if (asked.emergency is not None) != (asked.action == "emergency"):
            raise Refused("statement-invalid", "an emergency access and the action emergency come together")
        if asked.purpose not in side.gateway_policies.purposes:
            raise Refused("policy-mismatch", "a purpose that the session's policies do not hold")
        self.asked, self.request_digest, self.since = asked, cose.statement_digest(data), now
        return SimpleNamespace(policies=side.policies, time_stamp=now, challenge=self.challenge)

    def accept(self, accepted: SimpleNamespace, now: int) -> SimpleNamespace:
        """Step 3 in, step 4 out."""
        side, asked = self.side, self.asked
        digest = policies_digest(side.policies)
        right = (self.since + 1, self.challenge, digest)
        if (
            accepted.time_stamp,
            accepted.challenge,
            accepted.policies,
        ) != right or now > self.since + CHALLENGE_SECONDS:
            raise Refused("challenge-wrong", "another answer than the challenge asks for")
        if accepted.binding != side.binding:
            raise Refused("token-refused", "another h_LM")
        allowed = directive.decide(
            self.patient.directive, asked.patient, side.gateway.identity, asked.action, asked.purpose, asked.tags, now
        )
        lifetime = min(side.policies.token_lifetime, side.gateway_policies.token_lifetime)
        payload = messages.TOKEN.make(
            exchange=side.exchange,
            issuer=side.me.identity,
            holder=side.gateway.identity,
            holder_key=cose.key_id(side.gateway.key),
            audience=side.archive,
            id=self.token_id,
            patient=asked.patient,
            action=asked.action,
            tags=allowed.permitted,
            purpose=asked.purpose,
            emergency=None,
            user=asked.user,
            user_role=asked.user_role,
            request=self.request_digest,
            policies=digest,
            directive_version=self.patient.directive.version,
            epoch=self.patient.directive.epoch,
            witness_sequence=self.witness[0],
            witness_head=self.witness[1],
            binding=side.binding,
            issued_at=now,
            expires_at=now + lifetime,
        )
        self.token = cose.sign("token", side.me.key, payload)
        sealed = transmission.seal_token(side.keys["TM"].exporter, side.session, self.token, self.salt)
        return SimpleNamespace(
            sealed=sealed,
            token=self.token,
            sub_halves=self.patient.sub_halves("broker", asked.action, allowed.permitted, side.gateway.identity),
            registration=self.patient.registration,
        )


@dataclass
class ArchiveDesk:
    side: Archive
    patient: Patient
    entries: list[SimpleNamespace]
    head: log.Head
    used: set[bytes] = field(default_factory=set)

    def present(self, sealed: bytes, possession: bytes, now: int) -> SimpleNamespace:
        """Step 5 in, step 6 out."""
        side = self.side
        statement = transmission.unseal_token(side.keys["TM"].exporter, side.session, sealed)
        token = transmission.verify_token(
            statement,
            side.broker.key,
            lifetime=side.policies.token_lifetime,
            skew=side.policies.clock_skew,
            now=now,
            exchange=side.exchange,
            issuer=side.broker.identity,
            holder=side.gateway.identity,
            holder_key=cose.key_id(side.gateway.key),
            audience=side.me.identity,
            binding=side.keys["LM"].binding,
        )
        proof = messages.POSSESSION.decode(cose.verify("possession", possession, side.gateway.key))
        proved = (proof.token_id, proof.binding, proof.token)
        if proved != (token.id, token.binding, cose.statement_digest(statement)) or token.id in self.used:
            raise Refused("token-refused", "possession of another token, or used before")
        if token.patient != self.patient.pseudonym:
            raise Refused("patient-unknown", "no such patient")
        if self.patient.directive.version < token.directive_version:
            raise Refused("directive-behind", "an older directive than the token's")
        if token.action == "write" and self.patient.directive.epoch != token.epoch:
            raise Refused("epoch-changed", "another epoch")
        allowed = directive.decide(
            self.patient.directive, token.patient, token.holder, token.action, token.purpose, token.tags, now
        )
        self.token = token
        return SimpleNamespace(
            authority=token.id,
            expires=token.expires_at,
            tags=allowed.permitted,
            sub_halves=self.patient.sub_halves("archive", token.action, allowed.permitted, token.holder),
            registration=self.patient.registration,
            sequence=self.head[0],
            head=self.head[1],
        )

    def receipt(self, head: log.Head, deposit: bytes | None, now: int) -> bytes:
        payload = messages.RECEIPT.make(
            exchange=self.side.exchange,
            archive=self.side.me.identity,
            patient=self.patient.pseudonym,
            sequence=head[0],
            head=head[1],
            deposit=deposit,
            issued_at=now,
        )
        return cose.sign("receipt", self.side.me.key, payload)
