"""The nine steps as the hospital takes them (`spec/protocol.md`, section 4).

Pure: bytes in, bytes out. `Agreement` is the one pattern of all three pairs, in both roles, so that vectors can be
checked for every party.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

from . import certificates, crypto, kem, messages
from .cbor import decode, malformed
from .channel import Channel
from .messages import HANDSHAKE_BYTES_MAX, SUITE, VERSION, check_header, header
from .refusal import Refused

STANDARD_TOKEN_LIFETIME = 60
STANDARD_CLOCK_SKEW = 30


def policies_digest(policies: SimpleNamespace) -> bytes:
    return crypto.digest("sealwort policies v1", messages.POLICIES.encode(policies))


def session_id(parties: list[tuple[str, bytes, bytes]]) -> bytes:
    """From identity, leaf certificate in DER and nonce of L, T and M, in this order (section 4.2)."""
    parts: list[bytes | str] = [bytes([VERSION]), SUITE.to_bytes(2, "big")]
    for identity, leaf, nonce in parties:
        parts += [identity, crypto.sha256(leaf), nonce]
    return crypto.digest("sealwort session v1", *parts)


@dataclass(frozen=True)
class PairKeys:
    """Everything that comes out of one pair's agreement (section 4.4)."""

    key: bytes
    confirmation: bytes
    sharer_to_answerer: bytes
    answerer_to_sharer: bytes
    exporter: bytes
    binding: bytes


def key_schedule(pair: str, transcript_hash: bytes, secret: bytes) -> PairKeys:
    key = crypto.extract(transcript_hash, secret)
    return PairKeys(
        key=key,
        confirmation=crypto.mac(
            crypto.expand(key, "sealwort confirmation v1", pair), "sealwort answerer confirms v1", transcript_hash
        ),
        sharer_to_answerer=crypto.expand(key, "sealwort sharer to answerer v1", pair),
        answerer_to_sharer=crypto.expand(key, "sealwort answerer to sharer v1", pair),
        exporter=crypto.expand(key, "sealwort exporter v1", pair),
        binding=crypto.digest("sealwort binding v1", transcript_hash),
    )


class Randomness:
    """Everything that a run draws. Vectors give these values; a run draws them."""

    def nonce(self) -> bytes:
        return crypto.random(32)

    def key_pair(self, pair: str) -> kem.KeyPair:
        return kem.KeyPair()

    def encapsulate(self, pair: str, key: bytes) -> tuple[bytes, bytes]:
        """Secret and encapsulation."""
        return kem.encapsulate(key)


class Agreement:
    """A pair's transcript and the pattern of section 4.3."""

    def __init__(self, pair: str, session: bytes, *opening: bytes):
        self.pair = pair
        self.session = session
        self.transcript = crypto.frame("sealwort agreement v1", pair, session, *opening)

    def add(self, part: bytes) -> None:
        self.transcript += crypto.frame(part)

    def hash(self) -> bytes:
        return crypto.sha256(self.transcript)

    def to_be_signed(self, step: int) -> bytes:
        return b"sealwort authentication v1 step " + bytes([step]) + self.hash()

    def sign(self, step: int, message: bytes, key: crypto.PrivateKey) -> bytes:
        self.add(message)
        signature = crypto.sign(key, self.to_be_signed(step))
        self.add(signature)
        return signature

    def verify(self, step: int, message: bytes, signature: bytes, key: crypto.PublicKey) -> None:
        self.add(message)
        crypto.verify(key, signature, self.to_be_signed(step))
        self.add(signature)

    def keys(self, secret: bytes) -> PairKeys:
        return key_schedule(self.pair, self.hash(), secret)


def make_share(
    agreement: Agreement, exchange: str, step: int, policies: SimpleNamespace, key: crypto.PrivateKey, pair: kem.KeyPair
) -> bytes:
    """A signed share; the agreement moves on."""
    share = messages.SHARE.make(header=header(exchange, step, agreement.session), key=pair.key, policies=policies)
    return messages.SIGNED_SHARE.make(share=share, signature=agreement.sign(step, share, key))


def read_share(agreement: Agreement, exchange: str, step: int, data: bytes, key: crypto.PublicKey) -> SimpleNamespace:
    limit(data)
    signed = messages.SIGNED_SHARE.decode(data)
    share = messages.SHARE.decode(signed.share)
    check_header(share.header, exchange, step, agreement.session)
    agreement.verify(step, signed.share, signed.signature, key)
    return share


def make_answer(
    agreement: Agreement,
    exchange: str,
    step: int,
    share: SimpleNamespace,
    policies: SimpleNamespace,
    key: crypto.PrivateKey,
    random: Randomness,
) -> tuple[bytes, PairKeys]:
    secret, encapsulation = random.encapsulate(agreement.pair, share.key)
    answer = messages.ANSWER.make(
        header=header(exchange, step, agreement.session),
        encapsulation=encapsulation,
        accepted=policies_digest(share.policies),
        policies=policies,
    )
    signature = agreement.sign(step, answer, key)
    keys = agreement.keys(secret)
    signed = messages.SIGNED_ANSWER.make(answer=answer, signature=signature, confirmation=keys.confirmation)
    return signed, keys


def read_answer(
    agreement: Agreement,
    exchange: str,
    step: int,
    data: bytes,
    sent: SimpleNamespace,
    key: crypto.PublicKey,
    pair: kem.KeyPair,
) -> tuple[SimpleNamespace, PairKeys]:
    limit(data)
    signed = messages.SIGNED_ANSWER.decode(data)
    answer = messages.ANSWER.decode(signed.answer)
    check_header(answer.header, exchange, step, agreement.session)
    if answer.accepted != policies_digest(sent):
        raise Refused("policy-changed", "the peer accepted other policies than were sent")
    agreement.verify(step, signed.answer, signed.signature, key)
    keys = agreement.keys(pair.decapsulate(answer.encapsulation))
    if not crypto.same(keys.confirmation, signed.confirmation):
        raise Refused("confirmation-wrong", "the peer did not prove that it holds the key")
    check_policies(answer.policies)
    return answer, keys


def limit(data: bytes, messages_in_it: int = 1) -> None:
    if len(data) > messages_in_it * HANDSHAKE_BYTES_MAX:
        raise malformed("an authentication message that is too long")


def check_policies(policies: SimpleNamespace) -> None:
    """What holds for all policies, also those of an answer."""
    if policies.suite != SUITE:
        raise Refused("suite-unknown", f"suite {policies.suite}")
    purposes = [purpose.encode() for purpose in policies.purposes]
    if len(purposes) > messages.PURPOSES_MAX or sorted(set(purposes)) != purposes:
        raise Refused("policy-mismatch", "the purposes are too many or not in order")


def admits(own: SimpleNamespace, offered: SimpleNamespace) -> None:
    """Whether our policies admit another's (section 4.5)."""
    check_policies(offered)
    fits = (
        1 <= offered.token_lifetime <= own.token_lifetime
        and offered.clock_skew <= own.clock_skew
        and set(offered.purposes) <= set(own.purposes)
        and offered.retention <= own.retention
    )
    if not fits:
        raise Refused("policy-mismatch", "a field of the policies cannot be met")


@dataclass(frozen=True)
class Session:
    """What the nine steps leave with the hospital."""

    id: bytes
    broker: certificates.Party
    archive: certificates.Party
    with_broker: Channel
    with_archive: Channel
    binding: bytes
    policies: SimpleNamespace
    broker_policies: SimpleNamespace


COOKIE_DEMANDS_MAX = 2


@dataclass
class Gateway:
    """L's side of one run. Steps are called in order: `hello`, `presentation`, `answers`, `completed`.

    `broker` and `archive` are the identities wanted; the broker's is that of the connection.
    """

    exchange: str
    identity: str
    chain: list[bytes]
    key: crypto.PrivateKey
    archive: str
    policies: SimpleNamespace
    hop: bytes
    trust: certificates.Trust
    broker: str
    random: Randomness = field(default_factory=Randomness)

    def hello(self, cookie: bytes = b"") -> bytes:
        """Step 1. After a cookie demand it is called again with the cookie, and keeps its nonce."""
        if not hasattr(self, "_nonce"):
            self._nonce = self.random.nonce()
        self._hello = messages.HELLO.make(
            header=header(self.exchange, 1),
            suite=SUITE,
            nonce=self._nonce,
            certificate=self.chain,
            archive=self.archive,
            cookie=cookie,
        )
        return self._hello

    def cookie(self, data: bytes) -> bytes | None:
        """The cookie, where the answer to step 1 demands one; told from a presentation by its form."""
        limit(data)
        value = decode(data)
        if not isinstance(value, list) or len(value) != 2:
            return None
        demand = messages.COOKIE_DEMAND.decode(data)
        check_header(demand.header, self.exchange, 1)
        self._demands = getattr(self, "_demands", 0) + 1
        if self._demands > COOKIE_DEMANDS_MAX:
            raise Refused("cookie-needed", "the broker demands one cookie after the other")
        return demand.cookie

    def presentation(self, data: bytes, now: int) -> bytes:
        """Takes step 3, makes step 4."""
        limit(data)
        presentation = messages.PRESENTATION.decode(data)
        acceptance = messages.ACCEPTANCE_OF_INTRODUCTION.decode(presentation.acceptance)
        check_header(presentation.header, self.exchange, 3, None)
        check_header(acceptance.header, self.exchange, 3, None)
        self._broker = self.trust.verify(presentation.certificate, "statement", now, roles=("broker",))
        self._archive = self.trust.verify(acceptance.certificate, "statement", now, roles=("archive",))
        if self._broker.identity != self.broker or self._archive.identity != self.archive:
            raise Refused("party-wrong", "the certificates name other parties than expected")
        self._session = session_id(
            [
                (self.identity, self.chain[0], self._nonce),
                (self._broker.identity, presentation.certificate[0], presentation.nonce),
                (self._archive.identity, acceptance.certificate[0], acceptance.nonce),
            ]
        )
        for found in (presentation.header, acceptance.header):
            check_header(found, self.exchange, 3, self._session)
        self._lt = Agreement("LT", self._session, self.hop, self._hello, data)
        self._pair = self.random.key_pair("LT")
        return make_share(self._lt, self.exchange, 4, self.policies, self.key, self._pair)

    @property
    def session(self) -> bytes:
        return self._session

    def answers(self, data: bytes) -> bytes:
        """Takes steps 5 and 8, makes step 9."""
        limit(data, 2)
        both = messages.ANSWER_TO_STEP_4.decode(data)
        self._answer, lt = read_answer(
            self._lt, self.exchange, 5, both.answer, self.policies, self._broker.key, self._pair
        )
        self._with_broker = Channel("LT", self._session, lt.sharer_to_answerer, lt.answerer_to_sharer, lt.exporter)
        lm = Agreement("LM", self._session)
        share = read_share(lm, self.exchange, 8, both.share, self._archive.key)
        if share.policies != self.policies:
            raise Refused("policy-changed", "the archive was given other policies than were sent in step 4")
        answer, keys = make_answer(lm, self.exchange, 9, share, self.policies, self.key, self.random)
        self._binding = keys.binding
        self._with_archive = Channel(
            "LM", self._session, keys.answerer_to_sharer, keys.sharer_to_answerer, keys.exporter
        )
        _, confirm = self._with_broker.seal(messages.CONFIRM.make(binding=self._binding))
        return messages.STEP_9.make(answer=answer, confirm=confirm)

    def completed(self, data: bytes) -> Session:
        """Takes the answer to step 9: the archive's confirmation."""
        opened = self._with_archive.open(data)
        if not crypto.same(messages.CONFIRM.decode(opened.content).binding, self._binding):
            raise Refused("confirmation-wrong", "the archive confirmed another binding")
        return Session(
            id=self._session,
            broker=self._broker,
            archive=self._archive,
            with_broker=self._with_broker,
            with_archive=self._with_archive,
            binding=self._binding,
            policies=self.policies,
            broker_policies=self._answer.policies,
        )
