"""Section 4: a whole run of the nine steps, and one message of it altered."""

from __future__ import annotations

from parties import Archive, Broker

from sealwort_interop import crypto, handshake, kem, messages

from .primitives import encapsulate_from
from .setting import Party, by_name, setting, trust, unhex


class Given(handshake.Randomness):
    """What a party draws, taken from a vector."""

    def __init__(self, given: dict, party: str):
        self._given = given
        self._party = party
        self.secrets: dict[str, bytes] = {}

    def nonce(self) -> bytes:
        return unhex(self._given["nonces"][self._party])

    def key_pair(self, pair: str) -> kem.KeyPair:
        return kem.KeyPair(unhex(self._given["kem_seeds"][pair]))

    def encapsulate(self, pair: str, key: bytes) -> tuple[bytes, bytes]:
        secret, encapsulation = encapsulate_from(key, unhex(self._given["kem_randomness"][pair]))
        self.secrets[pair] = secret
        return secret, encapsulation


class Run:
    """The three parties of a vector, step by step; `messages` has what was sent, by name."""

    def __init__(self, given: dict):
        gateway, broker, archive = (Party(given[name]) for name in ("gateway", "broker", "archive"))
        self.exchange = setting()["exchange"]
        self.now = given["now"]
        self.random = {name: Given(given, name) for name in ("gateway", "broker", "archive")}
        policies = {name: messages.POLICIES.decode(unhex(data)) for name, data in given["policies"].items()}
        hops = unhex(given["hop_lt"]), unhex(given["hop_tm"])
        self.parties = {"gateway": gateway, "broker": broker, "archive": archive}
        self.gateway = handshake.Gateway(
            self.exchange,
            gateway.identity,
            gateway.chain,
            gateway.key,
            archive.identity,
            policies["gateway"],
            hops[0],
            trust(given["trust"]),
            broker.identity,
            self.random["gateway"],
        )
        sides = {
            name: (party, self.exchange, policies[name], self.random[name], trust(given["trust"]), self.now)
            for name, party in self.parties.items()
        }
        self.broker = Broker(*sides["broker"], archive=archive.identity, hop_lt=hops[0], hop_tm=hops[1])
        self.archive = Archive(*sides["archive"], hop_tm=hops[1])
        self.hops = hops
        self.messages: dict[str, bytes] = {}

    def go(self, until: str | None = None) -> None:
        """All steps, or those before the one named `until` is received."""
        for step in ("1", "2", "3-acceptance", "3-presentation", "4", "6", "7", "offer", "8", "5", "9", "complete"):
            if until in INSIDE.get(step, (step,)):
                self.send(step)
                return
            self.send(step)
        self.send("confirm")
        if until is None:
            self.session = self.gateway.completed(self.messages["confirm-message"])

    def send(self, step: str) -> None:
        """Makes one message by having its sender receive the one before."""
        sent = self.messages
        broker, archive = self.broker, self.archive
        if step == "1":
            sent["1"] = self.gateway.hello()
        elif step == "2":
            sent["2"] = broker.hello(sent["1"], self.parties["gateway"].identity)
        elif step == "3-acceptance":
            sent[step] = archive.introduction(sent["2"], self.parties["broker"].identity)
        elif step == "3-presentation":
            sent[step] = broker.acceptance(sent["3-acceptance"])
        elif step == "4":
            sent["4"] = self.gateway.presentation(sent["3-presentation"], self.now)
        elif step == "6":
            sent["6"] = broker.share(sent["4"])
        elif step == "7":
            sent["7"] = archive.share(sent["6"])
        elif step == "offer":
            sent["offer"] = broker.archive_answer(sent["7"])
            sent["offer-content"] = broker.offer_content
        elif step == "8":
            sent["8"] = archive.offer(sent["offer"])
            sent["8-content"], sent["8-share"] = archive.reply_content, archive.share_8
        elif step == "5":
            sent["5"] = broker.offered(sent["8"])
            sent["5-answer"] = messages.ANSWER_TO_STEP_4.decode(sent["5"]).answer
        elif step == "9":
            sent["9"] = self.gateway.answers(sent["5"])
            both = messages.STEP_9.decode(sent["9"])
            sent["9-answer"], sent["9-confirm"] = both.answer, both.confirm
        elif step == "complete":
            sent["complete"] = broker.completion(sent["9"])
            sent["complete-content"] = broker.complete_content
        else:
            sent["confirm"] = archive.complete(sent["complete"])
            sent["confirm-content"], sent["confirm-message"] = archive.reply_content, archive.confirm_message

    def receive(self, step: str, message: bytes, given: dict) -> None:
        """Gives an altered message to its receiver, under the circumstances that the vector names."""
        receiver = {"2": self.archive, "6": self.archive, "9-answer": self.archive}.get(step, self.broker)
        if step in ("3-presentation", "8-share", "5-answer", "confirm-message"):
            receiver = self.gateway
        self.now = given.get("now", self.now)
        if receiver is not self.gateway:
            receiver.now = self.now
        if "trust" in given:
            receiver.trust = trust(given["trust"])
        if given.get("load"):
            self.broker.cookie_key = unhex(setting()["cookie_key"])
        names = {"1": "gateway", "2": "broker", "3-presentation": "broker"}
        connection = given.get("connection", self.parties[names.get(step, "gateway")].identity)
        sent = self.messages
        if step == "1":
            self.broker.hello(message, connection)
        elif step == "2":
            self.archive.introduction(message, connection)
        elif step == "3-acceptance":
            self.broker.acceptance(message)
        elif step == "3-presentation":
            self.gateway.broker = connection
            self.gateway.presentation(message, self.now)
        elif step == "4":
            self.broker.share(message)
        elif step == "6":
            self.archive.share(message)
        elif step == "7":
            self.broker.archive_answer(message)
        elif step == "8-share":
            self.gateway.answers(messages.ANSWER_TO_STEP_4.make(answer=sent["5-answer"], share=message))
        elif step == "5-answer":
            self.gateway.answers(messages.ANSWER_TO_STEP_4.make(answer=message, share=sent["8-share"]))
        elif step == "9-answer":
            self.archive.answer(message)
        elif step == "9-confirm":
            self.broker.confirmed(message)
        elif step == "confirm-message":
            self.gateway.completed(message)
        else:
            raise KeyError(step)


INSIDE = {"5": ("5-answer", "8-share"), "9": ("9-answer", "9-confirm")}
"""Messages that are received inside others: they are altered when the outer one has been made."""


def opening(run: Run, pair: str) -> list[bytes]:
    sent = run.messages
    return {
        "LT": [run.hops[0], sent["1"], sent["3-presentation"]],
        "TM": [run.hops[1], sent["2"], sent["3-acceptance"]],
        "LM": [],
    }[pair]


def pair_output(run: Run, pair: str) -> dict:
    """Everything of one pair, computed once more from the messages alone."""
    signed_share, signed_answer = {"LT": ("4", "5-answer"), "TM": ("6", "7"), "LM": ("8-share", "9-answer")}[pair]
    share = messages.SIGNED_SHARE.decode(run.messages[signed_share])
    answer = messages.SIGNED_ANSWER.decode(run.messages[signed_answer])
    parts = opening(run, pair)
    agreement = handshake.Agreement(pair, run.broker.session, *parts)
    hashes = []
    for part in (share.share, share.signature, answer.answer, answer.signature):
        agreement.add(part)
        hashes.append(agreement.hash())
    answerer = {"LT": "broker", "TM": "archive", "LM": "gateway"}[pair]
    secret = run.random[answerer].secrets[pair]
    keys = agreement.keys(secret)
    return {
        "opening": [part.hex() for part in parts],
        "share": share.share.hex(),
        "share_hash": hashes[0].hex(),
        "share_signature": share.signature.hex(),
        "answer": answer.answer.hex(),
        "answer_hash": hashes[2].hex(),
        "answer_signature": answer.signature.hex(),
        "secret": secret.hex(),
        "transcript_hash": hashes[3].hex(),
        "key": keys.key.hex(),
        "confirmation_key": crypto.expand(keys.key, "sealwort confirmation v1", pair).hex(),
        "confirmation": keys.confirmation.hex(),
        "sharer_to_answerer": keys.sharer_to_answerer.hex(),
        "answerer_to_sharer": keys.answerer_to_sharer.hex(),
        "exporter": keys.exporter.hex(),
        "binding": keys.binding.hex(),
    }


def authentication(given: dict) -> dict:
    run = Run(given)
    run.go()
    return {
        "session": run.session.id.hex(),
        "messages": {name: message.hex() for name, message in run.messages.items()},
        "pairs": {pair: pair_output(run, pair) for pair in ("LT", "TM", "LM")},
    }


def authentication_receive(given: dict) -> dict:
    run = Run(by_name()[given["run"]]["input"])
    run.go(until=given["step"])
    run.receive(given["step"], unhex(given["message"]), given)
    return {}


KINDS = {"authentication": authentication, "authentication-receive": authentication_receive}
