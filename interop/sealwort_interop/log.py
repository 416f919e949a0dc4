"""A patient's log: the chain, the walk, receipts (`spec/protocol.md`, section 8.5)."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

from . import certificates, cose, crypto, messages
from .certificates import CertificateRefused, Party, Trust
from .record import Envelope, parse_envelope
from .refusal import Refused

OUTSIDE_VALIDITY = ("certificate-not-yet-valid", "certificate-expired")
Head = tuple[int, bytes]
"""Sequence and hash of a log's last entry."""


def genesis(patient: bytes) -> bytes:
    return crypto.digest("sealwort genesis v1", patient)


def entry_hash(envelope: bytes) -> bytes:
    return crypto.digest("sealwort entry hash v1", envelope)


def read_receipt(
    data: bytes, archive_key: crypto.PublicKey, exchange: str, archive: str, patient: bytes
) -> SimpleNamespace:
    receipt = messages.RECEIPT.decode(cose.verify("receipt", data, archive_key))
    if receipt.exchange != exchange:
        raise Refused("exchange-wrong", "a receipt of another exchange")
    if receipt.archive != archive:
        raise Refused("party-wrong", "a receipt of another archive")
    if receipt.patient != patient:
        raise Refused("log-rolled-back", "a receipt of another patient")
    return receipt


@dataclass
class Authors:
    """Chains of authors as the archive hands them out, by key id."""

    trust: Trust
    chains: dict[bytes, list[bytes]] = field(default_factory=dict)

    def add(self, chain: list[bytes]) -> None:
        identity, key = certificates.unverified(chain[0])
        if identity["role"] != "gateway":
            raise CertificateRefused("wrong-role", f"{identity[0]} is no author")
        self.chains[cose.key_id(key)] = chain

    def party(self, author: str, key_id: bytes, at: int) -> Party:
        """The author with this key, verified as of the time when the entry was written."""
        chain = self.chains.get(key_id)
        if chain is None:
            raise Refused("log-inconsistent", f"no certificate with the key of an entry of {author}")
        try:
            party = self.trust.verify(chain, "statement", at, roles=("gateway",), revocation=False)
        except CertificateRefused as error:
            if error.check in OUTSIDE_VALIDITY:
                raise Refused("log-inconsistent", "written when the author's certificate was not valid") from error
            raise
        if party.identity != author:
            raise Refused("party-wrong", f"signed by {party.identity}, while the header names {author}")
        return party


@dataclass
class Walk:
    """A reader's place in a log, and the witnessed head that it must meet."""

    exchange: str
    patient: bytes
    witness: Head
    sequence: int = 0
    head: bytes = b""

    def __post_init__(self):
        self.head = self.head or genesis(self.patient)
        self._start = self.sequence
        self._passed = {self.sequence: self.head}
        self._epoch = 0
        self._meet()

    def take(self, data: bytes, authors: Authors) -> Envelope:
        """The next entry's envelope: signature, author, place in the chain."""
        statement = cose.parse("entry", data)
        envelope = parse_envelope(statement.payload)
        header = envelope.header
        author = authors.party(header.author, statement.key_id, header.authored_at)
        statement.verify(author.key)
        if header.exchange != self.exchange:
            raise Refused("exchange-wrong", "an entry of another exchange")
        if header.patient != self.patient:
            raise Refused("log-inconsistent", "an entry of another patient")
        if header.sequence != self.sequence + 1:
            raise Refused("log-inconsistent", f"entry {header.sequence} follows entry {self.sequence}")
        if header.previous != self.head:
            known = self.sequence in (self._start, self.witness[0])
            raise Refused(
                "log-rolled-back" if known else "log-inconsistent", f"entry {header.sequence} has another predecessor"
            )
        if header.epoch < self._epoch:
            raise Refused("log-inconsistent", f"entry {header.sequence} goes back to epoch {header.epoch}")
        self._epoch = header.epoch
        self.sequence, self.head = header.sequence, entry_hash(data)
        self._passed[self.sequence] = self.head
        self._meet()
        return envelope

    def end(self, receipt: SimpleNamespace) -> None:
        if (receipt.sequence, receipt.head) != (self.sequence, self.head):
            raise Refused("log-rolled-back", "the entries do not lead to the head of the receipt")
        if self.sequence < self.witness[0]:
            raise Refused("log-rolled-back", f"the log ends at {self.sequence}, {self.witness[0]} was witnessed")

    def hold_against(self, heads: list[Head]) -> None:
        """Every head that the broker took, as far as the walk went, must lie on it."""
        for sequence, head in heads:
            if self._passed.get(sequence, head) != head:
                raise Refused("log-rolled-back", f"another entry {sequence} than the broker has witnessed")

    def _meet(self) -> None:
        if self.sequence == self.witness[0] and self.head != self.witness[1]:
            raise Refused("log-rolled-back", f"another entry {self.sequence} than the one witnessed")
