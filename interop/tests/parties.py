"""The other two parties of the nine steps, T and M, as far as vectors need them (`spec/protocol.md`, sections 4, 11.1).

Each method takes the bytes of one step and gives the bytes of the next. What a party draws at random is given.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

from kinds.setting import Party

from sealwort_interop import certificates, channel, cookie, messages
from sealwort_interop.handshake import (
    Agreement,
    PairKeys,
    Randomness,
    admits,
    limit,
    make_answer,
    make_share,
    read_answer,
    read_share,
    session_id,
)
from sealwort_interop.messages import SUITE, check_header, header
from sealwort_interop.refusal import Refused

HANDSHAKE_TWICE = 2


def read_hello(data: bytes, exchange: str) -> SimpleNamespace:
    limit(data)
    hello = messages.HELLO.decode(data)
    check_header(hello.header, exchange, 1)
    if hello.suite != SUITE:
        raise Refused("suite-unknown", f"suite {hello.suite}")
    return hello


def named(party: certificates.Party, identity: str) -> certificates.Party:
    if party.identity != identity:
        raise Refused("party-wrong", f"{party.identity} instead of {identity}")
    return party


@dataclass
class Side:
    """What T and M have in common."""

    me: Party
    exchange: str
    policies: SimpleNamespace
    random: Randomness
    trust: certificates.Trust
    now: int
    agreements: dict[str, Agreement] = field(default_factory=dict)
    keys: dict[str, PairKeys] = field(default_factory=dict)


@dataclass
class Broker(Side):
    archive: str = ""
    hop_lt: bytes = b""
    hop_tm: bytes = b""
    cookie_key: bytes | None = None

    def hello(self, data: bytes, connection: str) -> bytes:
        """Step 1 in, step 2 out. A `cookie_key` is there when T is under load."""
        hello = read_hello(data, self.exchange)
        if self.cookie_key is not None:
            cookie.check(self.cookie_key, hello.cookie, hello.nonce, self.hop_lt, self.now)
        self.gateway = self.trust.verify(hello.certificate, "statement", self.now, roles=("gateway",))
        named(self.gateway, connection)
        if hello.archive != self.archive:
            raise Refused("party-wrong", "another archive than the one served")
        self.hello_data, self.hello_nonce, self.nonce = data, hello.nonce, self.random.nonce()
        self.introduction = messages.INTRODUCTION.make(
            header=header(self.exchange, 2), hello=data, nonce=self.nonce, certificate=self.me.chain
        )
        return self.introduction

    def acceptance(self, data: bytes) -> bytes:
        """Step 3 of M in, step 3 of T out."""
        limit(data)
        accepted = messages.ACCEPTANCE_OF_INTRODUCTION.decode(data)
        check_header(accepted.header, self.exchange, 3, None)
        self.archive_party = self.trust.verify(accepted.certificate, "statement", self.now, roles=("archive",))
        named(self.archive_party, self.archive)
        self.session = session_id(
            [
                (self.gateway.identity, self.gateway.leaf, self.hello_nonce),
                (self.me.identity, self.me.chain[0], self.nonce),
                (self.archive_party.identity, self.archive_party.leaf, accepted.nonce),
            ]
        )
        check_header(accepted.header, self.exchange, 3, self.session)
        presentation = messages.PRESENTATION.make(
            header=header(self.exchange, 3, self.session), nonce=self.nonce, certificate=self.me.chain, acceptance=data
        )
        self.agreements["LT"] = Agreement("LT", self.session, self.hop_lt, self.hello_data, presentation)
        self.agreements["TM"] = Agreement("TM", self.session, self.hop_tm, self.introduction, data)
        return presentation

    def share(self, data: bytes) -> bytes:
        """Step 4 in, step 6 out."""
        share = read_share(self.agreements["LT"], self.exchange, 4, data, self.gateway.key)
        self._answer, self.keys["LT"] = make_answer(
            self.agreements["LT"], self.exchange, 5, share, self.policies, self.me.key, self.random
        )
        admits(self.policies, share.policies)
        self.gateway_policies = share.policies
        self._pair = self.random.key_pair("TM")
        return make_share(self.agreements["TM"], self.exchange, 6, self.policies, self.me.key, self._pair)

    def archive_answer(self, data: bytes) -> bytes:
        """Step 7 in, the offer out."""
        _, keys = read_answer(
            self.agreements["TM"], self.exchange, 7, data, self.policies, self.archive_party.key, self._pair
        )
        self.keys["TM"] = keys
        self.with_archive = channel.Channel("TM", self.session, keys.sharer_to_answerer, keys.answerer_to_sharer)
        lt = self.keys["LT"]
        self.with_gateway = channel.Channel("LT", self.session, lt.answerer_to_sharer, lt.sharer_to_answerer)
        self.offer_content = messages.BROKER_CALL.make("offer", session=self.session, policies=self.gateway_policies)
        self._number, message = self.with_archive.seal(self.offer_content)
        return message

    def relayed(self, data: bytes) -> bytes:
        """M's reply in the channel in, what it relays to L out."""
        reply = messages.BROKER_CALL_REPLY.decode(self.with_archive.open(data, self._number).content)
        if reply.name == "refused":
            raise Refused(reply.fields.refusal.code, reply.fields.refusal.reason, by=reply.fields.refusal.by)
        return reply.fields.message

    def offered(self, data: bytes) -> bytes:
        """Step 8 in M's reply in, the broker answer out."""
        return messages.ANSWER_TO_STEP_4.make(answer=self._answer, share=self.relayed(data))

    def completion(self, data: bytes) -> bytes:
        """Step 9 in, the complete out."""
        limit(data, HANDSHAKE_TWICE)
        both = messages.STEP_9.decode(data)
        self.confirmed(both.confirm)
        self.complete_content = messages.BROKER_CALL.make("complete", session=self.session, answer=both.answer)
        self._number, message = self.with_archive.seal(self.complete_content)
        return message

    def confirmed(self, data: bytes) -> None:
        """L's first message in the channel proves its key and tells h_LM."""
        try:
            opened = self.with_gateway.open(data)
        except Refused as error:
            if error.code == "seal-broken":
                raise Refused("confirmation-wrong", error.reason) from error
            raise
        self.binding = messages.CONFIRM.decode(opened.content).binding


@dataclass
class Archive(Side):
    hop_tm: bytes = b""

    def introduction(self, data: bytes, connection: str) -> bytes:
        """Step 2 in, step 3 out."""
        limit(data, HANDSHAKE_TWICE)
        introduction = messages.INTRODUCTION.decode(data)
        check_header(introduction.header, self.exchange, 2)
        hello = read_hello(introduction.hello, self.exchange)
        if hello.archive != self.me.identity:
            raise Refused("party-wrong", "another archive is wanted")
        self.broker = self.trust.verify(introduction.certificate, "statement", self.now, roles=("broker",))
        named(self.broker, connection)
        self.gateway = self.trust.verify(hello.certificate, "statement", self.now, roles=("gateway",))
        nonce = self.random.nonce()
        self.session = session_id(
            [
                (self.gateway.identity, self.gateway.leaf, hello.nonce),
                (self.broker.identity, self.broker.leaf, introduction.nonce),
                (self.me.identity, self.me.chain[0], nonce),
            ]
        )
        acceptance = messages.ACCEPTANCE_OF_INTRODUCTION.make(
            header=header(self.exchange, 3, self.session), nonce=nonce, certificate=self.me.chain
        )
        self.agreements["TM"] = Agreement("TM", self.session, self.hop_tm, data, acceptance)
        self.agreements["LM"] = Agreement("LM", self.session)
        return acceptance

    def share(self, data: bytes) -> bytes:
        """Step 6 in, step 7 out."""
        share = read_share(self.agreements["TM"], self.exchange, 6, data, self.broker.key)
        signed, keys = make_answer(
            self.agreements["TM"], self.exchange, 7, share, self.policies, self.me.key, self.random
        )
        admits(self.policies, share.policies)
        self.keys["TM"] = keys
        self.with_broker = channel.Channel("TM", self.session, keys.answerer_to_sharer, keys.sharer_to_answerer)
        return signed

    def offer(self, data: bytes) -> bytes:
        """The offer in, step 8 in a reply out."""
        opened = self.with_broker.open(data)
        offer = messages.BROKER_CALL.decode(opened.content).fields
        admits(self.policies, offer.policies)
        self._pair = self.random.key_pair("LM")
        self.gateway_policies = offer.policies
        self.share_8 = make_share(self.agreements["LM"], self.exchange, 8, offer.policies, self.me.key, self._pair)
        return self._reply(self.share_8, opened.number)

    def _reply(self, message: bytes, number: int) -> bytes:
        self.reply_content = messages.BROKER_CALL_REPLY.make("relay", message=message)
        return self.with_broker.seal(self.reply_content, number)[1]

    def complete(self, data: bytes) -> bytes:
        """The complete in, M's confirmation for L in a reply out."""
        opened = self.with_broker.open(data)
        self.answer(messages.BROKER_CALL.decode(opened.content).fields.answer)
        return self._reply(self.confirm_message, opened.number)

    def answer(self, data: bytes) -> None:
        """Step 9."""
        _, keys = read_answer(
            self.agreements["LM"], self.exchange, 9, data, self.gateway_policies, self.gateway.key, self._pair
        )
        self.keys["LM"] = keys
        self.with_gateway = channel.Channel("LM", self.session, keys.sharer_to_answerer, keys.answerer_to_sharer)
        self.confirm_content = messages.CONFIRM.make(binding=keys.binding)
        _, self.confirm_message = self.with_gateway.seal(self.confirm_content)
