"""Section 7: tokens, a whole run of the seven steps, and one message of it altered."""

from __future__ import annotations

from types import SimpleNamespace

from transmitters import ArchiveDesk, BrokerDesk, Patient

from sealwort_interop import channel, cose, crypto, directive, log, messages, record, transmission

from .authentication import Run
from .setting import by_name, head, setting, unhex, unhex_all


def token_seal(given: dict) -> dict:
    key, session, salt, token = (unhex(given[name]) for name in ("key", "session", "salt", "token"))
    exporter = crypto.expand(key, "sealwort exporter v1", "TM")
    sealing = crypto.expand(crypto.expand(exporter, "sealwort token sealing v1"), "sealwort token v1", salt)
    sealed = transmission.seal_token(exporter, session, token, salt)
    return {"exporter": exporter.hex(), "sealing_key": sealing.hex(), "sealed": sealed.hex()}


def token_unseal(given: dict) -> dict:
    key, session, sealed = (unhex(given[name]) for name in ("key", "session", "sealed"))
    return {"token": transmission.unseal_token(crypto.expand(key, "sealwort exporter v1", "TM"), session, sealed).hex()}


def token_verify(given: dict) -> dict:
    statement = unhex(given["token"])
    transmission.verify_token(
        statement,
        crypto.public_key(unhex(given["issuer_key"])),
        lifetime=given["lifetime"],
        skew=given["skew"],
        now=given["now"],
        exchange=given["exchange"],
        issuer=given["issuer"],
        holder=given["holder"],
        holder_key=cose.key_id(crypto.public_key(unhex(given["holder_key"]))),
        audience=given["audience"],
        binding=unhex(given["binding"]),
    )
    return {"digest": cose.statement_digest(statement).hex()}


class Seven:
    """The seven steps after a run of the nine; `steps` has what was sent."""

    def __init__(self, given: dict):
        self.given = given
        self.run = Run(by_name()[given["run"]]["input"])
        self.run.go()
        self.now = self.run.now
        self.session = self.run.session
        self.steps: list[dict] = []
        gateway = self.run.parties["gateway"]
        self.hospital = transmission.Identity(setting()["exchange"], gateway.identity, gateway.chain, gateway.key)
        patient = self._patient()
        entries = [SimpleNamespace(**{name: unhex(data) for name, data in each.items()}) for each in given["log"]]
        self.start = (len(entries), log.entry_hash(entries[-1].envelope) if entries else log.genesis(patient.pseudonym))
        drawn = [unhex(given[name]) for name in ("challenge", "token_id", "salt")]
        self.broker = BrokerDesk(self.run.broker, patient, head(given["witness"]), *drawn)
        self.archive = ArchiveDesk(self.run.archive, patient, entries, self.start)
        self.access = transmission.Access(
            patient.pseudonym,
            given["action"],
            unhex_all(given["tags"]),
            given["purpose"],
            given["user"],
            given["user_role"],
        )

    def _patient(self) -> Patient:
        given = self.given
        halves = {
            side: {each["epoch"]: unhex(each["half"]) for each in halves} for side, halves in given["halves"].items()
        }
        registration, statement = unhex(given["registration"]), unhex(given["directive"])
        authority = messages.REGISTRATION.decode(cose.parse("registration", registration).payload).authority
        payload = cose.verify("directive", statement, crypto.public_key(authority))
        return Patient(unhex(given["patient"]), registration, directive.read(payload), halves)

    def carry(self, step: str, pair: str, sender: str, content: bytes, reply_to: int = 0) -> int:
        """Seals a message, opens it at the other end, and writes both down. Its number."""
        there = {
            ("LT", "gateway"): (self.session.with_broker, self.run.broker.with_gateway),
            ("LT", "broker"): (self.run.broker.with_gateway, self.session.with_broker),
            ("LM", "gateway"): (self.session.with_archive, self.run.archive.with_gateway),
            ("LM", "archive"): (self.run.archive.with_gateway, self.session.with_archive),
        }
        sending, receiving = there[pair, sender]
        number, message = sending.seal(content, reply_to)
        assert receiving.open(message, reply_to).content == content
        sent = {
            "step": step,
            "channel": pair,
            "from": sender,
            "content": content.hex(),
            "number": number,
            "reply_to": reply_to,
            "message": message.hex(),
        }
        if pair == "LM":
            sent["frame"] = channel.frame(channel.TO_FAR_END, message).hex()
        self.steps.append(sent)
        return number

    def go(self, until: str = "") -> None:
        """Steps 1 to 6, or those before the message of step `until` is received."""
        self.request = transmission.request(self.hospital, self.session, self.access)
        number = self.carry("1", "LT", "gateway", messages.TO_BROKER.make("request", request=self.request))
        if until == "1":
            return
        self.challenge = self.broker.request(self.request, self.now)
        self.carry("2", "LT", "broker", messages.FROM_BROKER.make("challenge", challenge=self.challenge), number)
        if until == "2":
            return
        self.acceptance = transmission.acceptance(self.session, self.challenge, self.now)
        number = self.carry("3", "LT", "gateway", messages.TO_BROKER.make("accept", acceptance=self.acceptance))
        if until == "3":
            return
        self.from_broker = self.broker.accept(self.acceptance, self.now)
        self.carry("4", "LT", "broker", messages.FROM_BROKER.make("token", grant=self.from_broker), number)
        if until == "4":
            return
        self.take_token(self.from_broker, self.now)
        self.possession = transmission.possession(self.hospital, self.session, self.token)
        present = messages.TO_ARCHIVE.make("present", sealed=self.token.sealed, possession=self.possession)
        number = self.carry("5", "LM", "gateway", present)
        if until == "5":
            return
        self.grant = self.archive.present(self.token.sealed, self.possession, self.now)
        self.carry("6", "LM", "archive", messages.FROM_ARCHIVE.make("granted", grant=self.grant), number)

    def take_token(self, grant: SimpleNamespace, now: int) -> None:
        """The gateway's step 4."""
        self.token = transmission.read_token(self.hospital, self.session, self.access, self.request, grant, now)
        transmission.check_registration(grant.registration, self.run.gateway.trust, self.access.patient)

    def read(self) -> tuple[bytes, log.Head]:
        """Step 7 from the first entry on: the receipt and the head."""
        heads = self._witnessed(0)
        content = messages.TO_ARCHIVE.make("fetch", authority=self.grant.authority, after=0)
        number = self.carry("7-fetch", "LM", "gateway", content)
        granted = [
            SimpleNamespace(envelope=each.envelope, ciphertext=each.ciphertext if self._granted(each) else None)
            for each in self.archive.entries
        ]
        authors = self._authors()
        if granted:
            content = messages.FROM_ARCHIVE.make("entries", entries=granted, authors=authors)
            self.carry("7-entries", "LM", "archive", content, number)
        receipt = self.archive.receipt(self.start, None, self.now)
        self.carry("7-end", "LM", "archive", messages.FROM_ARCHIVE.make("end", receipt=receipt), number)
        witness = (self.token.payload.witness_sequence, self.token.payload.witness_head)
        walk = log.Walk(setting()["exchange"], self.access.patient, witness)
        chains = log.Authors(self.run.gateway.trust)
        for chain in authors:
            chains.add(chain)
        for entry in granted:
            walk.take(entry.envelope, chains)
        walk.hold_against(heads)
        walk.end(self._read_receipt(receipt))
        if walk.sequence > witness[0]:
            self._witness(receipt)
        return receipt, (walk.sequence, walk.head)

    def _witnessed(self, after: int) -> list[log.Head]:
        """All heads above `after` that T has taken, as L asks for them."""
        asked = messages.TO_BROKER.make("witnessed", patient=self.access.patient, after=after)
        number = self.carry("7-witnessed", "LT", "gateway", asked)
        heads = sorted(each for each in map(head, self.given["heads"]) if each[0] > after)
        told = [SimpleNamespace(sequence=sequence, head=digest) for sequence, digest in heads]
        self.carry("7-heads", "LT", "broker", messages.FROM_BROKER.make("heads", heads=told), number)
        return heads

    def _witness(self, receipt: bytes) -> None:
        number = self.carry("7-witness", "LT", "gateway", messages.TO_BROKER.make("witness", receipt=receipt))
        self.carry("7-kept", "LT", "broker", messages.FROM_BROKER.make("kept"), number)

    def _granted(self, entry: SimpleNamespace) -> bool:
        return record.parse_envelope(cose.parse("entry", entry.envelope).payload).header.tag in self.grant.tags

    def _authors(self) -> list[list[bytes]]:
        """The chain of each author, in the order of their first entries."""
        by_key = {}
        for party in setting()["parties"].values():
            by_key[cose.key_id(crypto.public_key(unhex(party["statement"]["public_key"])))] = party
        found: dict[bytes, list[bytes]] = {}
        for entry in self.archive.entries:
            key = cose.parse("entry", entry.envelope).key_id
            found[key] = unhex_all(by_key[key]["statement"]["chain"])
        return list(found.values())

    def _read_receipt(self, receipt: bytes) -> SimpleNamespace:
        archive = self.session.archive
        return log.read_receipt(receipt, archive.key, setting()["exchange"], archive.identity, self.access.patient)

    def write(self, deposit: dict) -> tuple[bytes, log.Head]:
        """Step 7 with a deposit: the receipt and the head."""
        at = self.start
        entries = []
        for each in deposit["entries"]:
            header_bytes = unhex(each["header"])
            header = messages.ENTRY_HEADER.decode(header_bytes)
            leaves = []
            for side in (self.from_broker, self.grant):
                [half] = [one for one in side.sub_halves if (one.epoch, one.tag) == (header.epoch, header.tag)]
                leaves.append(record.leaf_of(half, header.author))
            key = record.record_key(*leaves, header.patient, header.epoch, header.author, header.tag)
            padded = record.pad(unhex(each["plain"]))
            ciphertext = crypto.seal(record.entry_key(key, header.entry_id), 0, padded, header_bytes)
            digest = record.ciphertext_digest(ciphertext)
            envelope = messages.ENVELOPE.make(header=header_bytes, ciphertext=digest, length=len(ciphertext))
            entries.append(
                SimpleNamespace(envelope=cose.sign("entry", self.hospital.key, envelope), ciphertext=ciphertext)
            )
            at = (at[0] + 1, log.entry_hash(entries[-1].envelope))
        identifier = unhex(deposit["id"])
        content = messages.TO_ARCHIVE.make(
            "deposit",
            authority=self.grant.authority,
            deposit=identifier,
            after=self.start[0],
            head=self.start[1],
            entries=len(entries),
        )
        number = self.carry("7-deposit", "LM", "gateway", content)
        self.carry("7-entries", "LM", "gateway", messages.TO_ARCHIVE.make("entries", entries=entries))
        receipt = self.archive.receipt(at, identifier, self.now)
        frame = channel.frame(channel.TO_BROKER, receipt).hex()
        self.steps.append({"step": "7-receipt", "from": "archive", "content": receipt.hex(), "frame": frame})
        self.carry("7-stored", "LM", "archive", messages.FROM_ARCHIVE.make("stored", receipt=receipt), number)
        assert self._read_receipt(receipt).deposit == identifier
        self._witness(receipt)
        return receipt, at

    def receive(self, step: str, content: bytes, now: int) -> None:
        """One message, altered, at its receiver."""
        broker, archive = (messages.TO_BROKER, messages.FROM_BROKER), (messages.TO_ARCHIVE, messages.FROM_ARCHIVE)
        choice = dict(zip("123456", broker * 2 + archive, strict=True))[step]
        fields = choice.decode(content).fields
        if step == "1":
            self.broker.request(fields.request, now)
        elif step == "2":
            transmission.acceptance(self.session, fields.challenge, now)
        elif step == "3":
            self.broker.accept(fields.acceptance, now)
        elif step == "4":
            self.take_token(fields.grant, now)
        elif step == "5":
            self.archive.present(fields.sealed, fields.possession, now)
        else:
            skew = self.session.policies.clock_skew
            transmission.check_archive_grant(self.token, self.from_broker, fields.grant, skew)


def whole(given: dict) -> dict:
    seven = Seven(given)
    seven.go()
    receipt, at = seven.write(given["deposit"]) if "deposit" in given else seven.read()
    return {
        "steps": seven.steps,
        "tokens": {
            "statement": seven.token.statement.hex(),
            "digest": cose.statement_digest(seven.token.statement).hex(),
            "possession": seven.possession.hex(),
        },
        "receipt": receipt.hex(),
        "head": {"sequence": at[0], "head": at[1].hex()},
    }


def transmission_receive(given: dict) -> dict:
    seven = Seven(by_name()[given["transmission"]]["input"])
    seven.go(until=given["step"])
    if given.get("used"):
        seven.archive.used.add(seven.token.payload.id)
    seven.receive(given["step"], unhex(given["content"]), given.get("now", seven.now))
    return {}


KINDS = {
    "token-seal": token_seal,
    "token-unseal": token_unseal,
    "token-verify": token_verify,
    "transmission": whole,
    "transmission-receive": transmission_receive,
}
