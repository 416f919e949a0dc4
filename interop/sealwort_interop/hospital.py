"""A hospital at work: it holds the connection and the session, and moves bytes between `handshake`, `transmission`,
`record` and `log` on one side and the broker on the other. No rule of the protocol lives here but the order of
messages (`spec/protocol.md`, sections 3.5, 4, 7)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from types import SimpleNamespace

from cryptography import x509

from . import certificates, channel, crypto, directive, fhir, handshake, log, messages, record, transmission
from .cbor import Chosen
from .conversation import Notices, Relayed, expect, refusal_of
from .enrolment import Membership, new_key
from .refusal import Refused
from .transport import Connection

RETENTION_DAYS = 3650
REGISTRATION_BEGINS_BEFORE_SECONDS = 300
ENTRIES_BYTES_AIM = 512 * 1024
DEPOSIT_ATTEMPTS_MAX = 5


def clock() -> int:
    return int(time.time())


@dataclass
class Patient:
    """A patient as this hospital knows them."""

    pseudonym: bytes
    registration: SimpleNamespace


@dataclass
class Reading:
    """What a read gave: changes in the log's order with the author of each, and how many were withheld."""

    changes: list[tuple[record.Change, str]]
    withheld: int
    receipt: SimpleNamespace


@dataclass
class Authority:
    """What steps 1 to 6 gave."""

    token: transmission.Token
    grant: SimpleNamespace
    broker_sub_halves: dict[tuple[int, bytes], SimpleNamespace]
    archive_sub_halves: dict[tuple[int, bytes], SimpleNamespace]

    @property
    def witness(self) -> log.Head:
        return self.token.payload.witness_sequence, self.token.payload.witness_head

    def record_key(self, patient: bytes, epoch: int, author: str, tag: bytes) -> bytes:
        try:
            halves = [side[epoch, tag] for side in (self.broker_sub_halves, self.archive_sub_halves)]
        except KeyError as error:
            raise Refused("record-invalid", f"a side gave no sub-half for epoch {epoch} and this label") from error
        broker_leaf, archive_leaf = (record.leaf_of(half, author) for half in halves)
        return record.record_key(broker_leaf, archive_leaf, patient, epoch, author, tag)


class Hospital:
    """`tell(phase, step, route, size, what)` is called for every message of the sixteen steps."""

    def __init__(
        self,
        membership: Membership,
        broker_url: str,
        tell: Callable[[str, str, str, int, str], None] = lambda *_: None,
        broker: str = "broker",
        archive: str = "archive",
        consent_algorithm: str = "ed25519",
    ):
        self.membership = membership
        self.signer = transmission.Identity(
            membership.exchange, membership.identity, membership.statement_chain, membership.statement_key
        )
        self.consent_authority = new_key(consent_algorithm)
        self.directives: dict[bytes, SimpleNamespace] = {}
        self._broker_url = broker_url
        self._broker_name = broker
        self.archive_identity = f"sealwort://{membership.exchange}/archive/{archive}"
        self._tell = tell
        self.policies = SimpleNamespace(
            suite=messages.SUITE,
            token_lifetime=handshake.STANDARD_TOKEN_LIFETIME,
            clock_skew=handshake.STANDARD_CLOCK_SKEW,
            purposes=sorted(directive.PURPOSES),
            retention=RETENTION_DAYS,
            software="sealwort-interop (Python)",
        )

    # Section 3.5 and 4: the connection and the nine steps.

    def connect(self) -> handshake.Session:
        """A connection to the broker, and the nine steps on it."""
        brokers: list[certificates.Party] = []

        def verify(chain: list[x509.Certificate]) -> None:
            ders = [certificates.der(each) for each in chain]
            if ders and ders[-1] == self.membership.trust.root:
                ders.pop()
            brokers.append(
                self.membership.trust.verify(ders, "hop", clock(), roles=("broker",), name=self._broker_name)
            )

        hop_chain = [x509.load_der_x509_certificate(each) for each in self.membership.hop_chain]
        self.connection = Connection(self._broker_url, verify, hop_chain, self.membership.hop_key)
        self.session = self._authenticate(brokers[0].identity)
        return self.session

    def close(self) -> None:
        self.connection.close()

    def _authenticate(self, broker: str) -> handshake.Session:
        run = handshake.Gateway(
            exchange=self.membership.exchange,
            identity=self.membership.identity,
            chain=self.membership.statement_chain,
            key=self.membership.statement_key,
            archive=self.archive_identity,
            policies=self.policies,
            hop=self.connection.hop,
            trust=self.membership.trust,
            broker=broker,
        )
        cookie: bytes | None = b""
        while cookie is not None:
            hello = run.hello(cookie)
            self._tell("authentication", "1", "L → T", len(hello), "hello: certificate, nonce, archive wanted")
            answer = self._post("/v1/authenticate/1", hello)
            cookie = run.cookie(answer)
        self._tell("authentication", "3", "T → L", len(answer), "presentation, after steps 2 and 3 of T and M")
        share = run.presentation(answer, clock())
        session = run.session.hex()
        self._tell("authentication", "4", "L → T", len(share), "ephemeral key, policies, signature")
        answer = self._post(f"/v1/authenticate/4/{session}", share)
        self._tell("authentication", "5, 8", "T → L", len(answer), "SK_LT; the archive's ephemeral key (after 6, 7)")
        completion = run.answers(answer)
        self._tell("authentication", "9", "L → T", len(completion), "SK_LM; both confirmations")
        answer = self._post(f"/v1/authenticate/9/{session}", completion)
        self._tell("authentication", "9", "M → L", len(answer), "the archive confirms h_LM")
        return run.completed(answer)

    def _post(self, path: str, body: bytes) -> bytes:
        status, answer = self.connection.request(path, body)
        if status != 200:
            raise refusal_of(status, answer)
        return answer

    # Section 7.1: one request and its reply, with the broker and with the archive.

    def ask_broker(self, name: str, **fields) -> Chosen:
        return self._ask_broker(name, fields)[0]

    def _ask_broker(self, name: str, fields: dict) -> tuple[Chosen, int, int]:
        """The reply, and the sizes of request and reply on the wire."""
        number, message = self.session.with_broker.seal(messages.TO_BROKER.make(name, **fields))
        answer = self._post("/v1/channel", message)
        opened = self.session.with_broker.open(answer, number)
        return expect(messages.FROM_BROKER.decode(opened.content)), len(message), len(answer)

    def ask_archive(self, name: str, **fields) -> Chosen:
        with self.relay([messages.TO_ARCHIVE.make(name, **fields)]) as relayed:
            return relayed.reply()

    def relay(self, contents: list[bytes]) -> Relayed:
        """Sends messages to the archive in one body; all replies answer the first of them."""
        sealed = [self.session.with_archive.seal(content) for content in contents]
        frames = [channel.frame(channel.TO_FAR_END, message) for _, message in sealed]
        stream = self.connection.open(f"/v1/relay/{self.session.id.hex()}")
        for frame in frames:
            stream.send(frame)
        stream.send(b"", end=True)
        return Relayed(self.session.with_archive, stream, sealed[0][0], sum(map(len, frames)))

    def notices(self) -> Notices:
        return Notices(self.session, self.connection.open(f"/v1/notices/{self.session.id.hex()}", "GET", end=True))

    # Sections 7.1 and 7.7: patients and consent.

    def locate(self, locators: list[bytes]) -> Patient | None:
        reply = self.ask_broker("locate", locators=locators)
        return None if reply.name == "not_located" else self._located(reply, locators)

    def find_or_register(self, patient: dict) -> Patient:
        """The patient of a Patient resource; at first sight registered with a directive for ourselves."""
        locators = fhir.locators(self.membership.directory_key, patient)
        found = self.locate(locators)
        if found:
            return found
        reply = self.ask_broker("allot", locators=locators)
        if reply.name == "located":
            return self._located(reply, locators)
        pseudonym, now = reply.fields.patient, clock()
        registration = SimpleNamespace(
            exchange=self.membership.exchange,
            patient=pseudonym,
            locators=locators,
            authority=crypto.spki(self.consent_authority.public_key()),
            registered_by=self.membership.identity,
            registered_at=now,
            certificate=self.membership.statement_chain,
        )
        mine = directive.provision(
            1,
            self.membership.identity,
            [directive.READ, directive.WRITE],
            [self.tag(pseudonym, label) for label in fhir.LABELS],
            now - REGISTRATION_BEGINS_BEFORE_SECONDS,
        )
        first = directive.first(self.membership.exchange, pseudonym, now, [mine])
        both = {
            "registration": directive.sign_registration(registration, self.membership.statement_key),
            "directive": directive.sign(first, self.consent_authority),
        }
        # The archive first: else the broker could hand out a patient that the archive does not know.
        self.ask_archive("register", **both)
        self.ask_broker("register", **both)
        self.directives[pseudonym] = first
        return Patient(pseudonym, registration)

    def grant(self, patient: Patient, grantee: str, labels: tuple[str, ...] = fhir.LABELS) -> None:
        """Lets a hospital read for treatment for a day, from now on."""
        before, now = self.directives[patient.pseudonym], clock()
        tags = [self.tag(patient.pseudonym, label) for label in labels]
        number = before.last_provision + 1
        new = directive.provision(number, grantee, [directive.READ], tags, now - 30, now + 86_400)
        self._direct(directive.following(before, now, [*before.provisions, new], takes_back=False))

    def withdraw(self, patient: Patient, grantee: str) -> None:
        """Takes back all that a hospital was granted; a new epoch begins."""
        before = self.directives[patient.pseudonym]
        left = [each for each in before.provisions if grantee not in each.grantees.names]
        self._direct(directive.following(before, clock(), left, takes_back=True))

    def _direct(self, following: SimpleNamespace) -> None:
        statement = directive.sign(following, self.consent_authority)
        self.ask_archive("direct", directive=statement)
        self.ask_broker("direct", directive=statement)
        self.directives[following.patient] = following

    def _located(self, reply: Chosen, locators: list[bytes]) -> Patient:
        registration = directive.read_registration(reply.fields.registration, self.membership.trust)
        if not set(registration.locators) & set(locators):
            raise Refused("statement-invalid", "a registration with none of the locators asked for")
        return Patient(registration.patient, registration)

    def tag(self, pseudonym: bytes, label: str) -> bytes:
        return record.label_tag(self.membership.directory_key, pseudonym, label)

    # Sections 7.2 and 7.3: steps 1 to 6.

    def authorise(self, patient: bytes, action: str, labels: tuple[str, ...] = fhir.LABELS) -> Authority:
        access = transmission.Access(patient, action, sorted(self.tag(patient, label) for label in labels))
        request = transmission.request(self.signer, self.session, access)
        reply, sent, received = self._ask_broker("request", {"request": request})
        self._tell("transmission", "1", "L → T", sent, f"signed request to {action}")
        self._tell("transmission", "2", "T → L", received, "policies, time stamp, challenge")
        acceptance = transmission.acceptance(self.session, reply.fields.challenge, clock())
        reply, sent, received = self._ask_broker("accept", {"acceptance": acceptance})
        self._tell("transmission", "3", "L → T", sent, "time stamp + 1, challenge, policies accepted, h_LM")
        self._tell("transmission", "4", "T → L", received, "token, the broker's sub-halves, witnessed head")
        from_broker = reply.fields.grant
        token = transmission.read_token(self.signer, self.session, access, request, from_broker, clock())
        transmission.check_registration(from_broker.registration, self.membership.trust, patient)
        possession = transmission.possession(self.signer, self.session, token)
        present = messages.TO_ARCHIVE.make("present", sealed=token.sealed, possession=possession)
        with self.relay([present]) as relayed:
            grant = relayed.reply().fields.grant
            self._tell("transmission", "5", "L → M", relayed.sent, "sealed token, proof of possession")
            self._tell("transmission", "6", "M → L", relayed.received, "authority, the archive's sub-halves, head")
        transmission.check_archive_grant(token, from_broker, grant, self.policies.clock_skew)
        return Authority(token, grant, by_place(from_broker.sub_halves), by_place(grant.sub_halves))

    # Sections 7.4 and 7.5: step 7.

    def read(self, patient: bytes, labels: tuple[str, ...] = fhir.LABELS) -> Reading:
        """All that the patient's consent lets us see, from the first entry on."""
        authority = self.authorise(patient, "read", labels)
        changes: list[tuple[record.Change, str]] = []
        withheld = 0

        def take(envelope: record.Envelope, entry: SimpleNamespace) -> None:
            nonlocal withheld
            header = envelope.header
            if entry.ciphertext is not None:
                key = authority.record_key(patient, header.epoch, header.author, header.tag)
                changes.append((record.open_entry(envelope, entry.ciphertext, key), header.author))
            elif header.tag in authority.grant.tags:
                raise Refused("log-inconsistent", "the archive withholds an entry that it granted")
            else:
                withheld += 1

        receipt = self._fetch(patient, authority, (0, log.genesis(patient)), take)
        return Reading(changes, withheld, receipt)

    def _fetch(
        self,
        patient: bytes,
        authority: Authority,
        start: log.Head,
        take: Callable[[record.Envelope, SimpleNamespace], None],
    ) -> SimpleNamespace:
        """Walks the log from `start` to its end, gives each entry to `take`, and returns the receipt."""
        walk = log.Walk(self.membership.exchange, patient, authority.witness, *start)
        authors = log.Authors(self.membership.trust)
        content = messages.TO_ARCHIVE.make("fetch", authority=authority.grant.authority, after=walk.sequence)
        with self.relay([content]) as relayed:
            reply = relayed.reply()
            while reply.name == "entries":
                for chain in reply.fields.authors:
                    authors.add(chain)
                for entry in reply.fields.entries:
                    take(walk.take(entry.envelope, authors), entry)
                reply = relayed.reply()
        if reply.name != "end":
            raise Refused("step-wrong", f"{reply.name} while reading")
        receipt = self._receipt(reply.fields.receipt, patient)
        walk.end(receipt)
        walk.hold_against(self._witnessed(patient, start[0]))
        if receipt.sequence > authority.witness[0]:
            self._witness(reply.fields.receipt)
        self._tell("transmission", "7", "L → M", relayed.sent, f"fetch entries after {start[0]}")
        self._tell("transmission", "7", "M → L", relayed.received, f"{walk.sequence - start[0]} entries, receipt")
        return receipt

    def upload(self, patient: Patient, resources: list[bytes]) -> SimpleNamespace:
        """Stores resources in one deposit; the archive's receipt."""
        changes = [fhir.change(resource) for resource in resources]
        authority = self.authorise(patient.pseudonym, "write", tuple(sorted({label for _, label in changes})))
        return self.store(patient.pseudonym, authority, changes, crypto.random(16))

    def store(
        self, patient: bytes, authority: Authority, changes: list[tuple[record.Change, str]], deposit: bytes
    ) -> SimpleNamespace:
        """Step 7, writing: after a conflict everything is sealed anew behind the other writer's entries."""
        walked, head = authority.witness, (authority.grant.sequence, authority.grant.head)
        for _ in range(DEPOSIT_ATTEMPTS_MAX):
            if head != walked:
                receipt = self._fetch(patient, authority, walked, lambda *_: None)
                walked = head = (receipt.sequence, receipt.head)
            entries = self._seal_all(patient, authority, changes, head, deposit)
            reply = self._deposit(authority, entries, head, deposit)
            if reply.name == "stored":
                return self._stored(patient, authority, reply.fields.receipt, entries, head, deposit)
            if reply.name != "conflict":
                raise Refused("step-wrong", f"{reply.name} while writing")
            head = (reply.fields.sequence, reply.fields.head)
        raise Refused("conflict", "other writers were faster each time", by="archive")

    def _deposit(self, authority: Authority, entries: list[SimpleNamespace], head: log.Head, deposit: bytes) -> Chosen:
        announced = messages.TO_ARCHIVE.make(
            "deposit",
            authority=authority.grant.authority,
            deposit=deposit,
            after=head[0],
            head=head[1],
            entries=len(entries),
        )
        with self.relay([announced, *map(entries_message, pages(entries))]) as relayed:
            reply = relayed.reply()
        self._tell("transmission", "7", "L → M", relayed.sent, f"deposit, sealed entries: {len(entries)}")
        self._tell("transmission", "7", "M → L", relayed.received, reply.name)
        return reply

    def _stored(
        self,
        patient: bytes,
        authority: Authority,
        data: bytes,
        entries: list[SimpleNamespace],
        head: log.Head,
        deposit: bytes,
    ) -> SimpleNamespace:
        """The receipt, when it is of what was sealed, now or by an earlier attempt."""
        receipt = self._receipt(data, patient)
        if receipt.deposit != deposit:
            raise Refused("statement-invalid", "the receipt of another deposit")
        if (receipt.sequence, receipt.head) != (head[0] + len(entries), log.entry_hash(entries[-1].envelope)):
            self._find_own(patient, authority, receipt, len(entries))
        self._witness(data)
        return receipt

    def _find_own(self, patient: bytes, authority: Authority, receipt: SimpleNamespace, count: int) -> None:
        """Our entries of the receipt's deposit, stored by an earlier attempt, end at the receipt's head."""
        own: list[int] = []

        def take(envelope: record.Envelope, entry: SimpleNamespace) -> None:
            header = envelope.header
            if (header.author, header.deposit) == (self.membership.identity, receipt.deposit):
                own.append(header.sequence)
            if header.sequence == receipt.sequence and log.entry_hash(entry.envelope) != receipt.head:
                raise Refused("log-rolled-back", "the receipt's head is not in the log")

        self._fetch(patient, authority, (0, log.genesis(patient)), take)
        if own != list(range(receipt.sequence - count + 1, receipt.sequence + 1)):
            raise Refused("log-rolled-back", "the log does not hold what the receipt says was stored")

    def _witnessed(self, patient: bytes, after: int) -> list[log.Head]:
        """All heads above `after` that the broker took."""
        heads: list[log.Head] = []
        while True:
            reply = self.ask_broker("witnessed", patient=patient, after=after)
            page = [(each.sequence, each.head) for each in reply.fields.heads]
            numbers = [after, *(sequence for sequence, _ in page)]
            if any(first >= second for first, second in pairwise(numbers)):
                raise Refused("message-malformed", "heads that do not ascend")
            heads += page
            if len(page) < messages.HEADS_PER_MESSAGE_MAX:
                return heads
            after = numbers[-1]

    def _witness(self, receipt: bytes) -> None:
        """Takes a receipt to the broker ourselves, so that the archive cannot keep its witness behind."""
        self.ask_broker("witness", receipt=receipt)

    def _seal_all(
        self,
        patient: bytes,
        authority: Authority,
        changes: list[tuple[record.Change, str]],
        head: log.Head,
        deposit: bytes,
    ) -> list[SimpleNamespace]:
        entries: list[SimpleNamespace] = []
        sequence, before = head
        for change, label in changes:
            sequence += 1
            tag = self.tag(patient, label)
            entries.append(self._seal(patient, authority, change, tag, (sequence, before), deposit))
            before = log.entry_hash(entries[-1].envelope)
        return entries

    def _seal(
        self,
        patient: bytes,
        authority: Authority,
        change: record.Change,
        tag: bytes,
        place: log.Head,
        deposit: bytes,
    ) -> SimpleNamespace:
        """One entry; `place` is its sequence and the hash before it."""
        epoch = authority.token.payload.epoch
        header = SimpleNamespace(
            suite=messages.SUITE,
            exchange=self.membership.exchange,
            patient=patient,
            entry_id=crypto.random(16),
            author=self.membership.identity,
            tag=tag,
            epoch=epoch,
            sequence=place[0],
            previous=place[1],
            authored_at=clock(),
            deposit=deposit,
        )
        key = authority.record_key(patient, epoch, self.membership.identity, tag)
        return record.seal(change, header, key, self.membership.statement_key)

    def _receipt(self, data: bytes, patient: bytes) -> SimpleNamespace:
        archive = self.session.archive
        return log.read_receipt(data, archive.key, self.membership.exchange, archive.identity, patient)


def by_place(sub_halves: list[SimpleNamespace]) -> dict[tuple[int, bytes], SimpleNamespace]:
    return {(each.epoch, each.tag): each for each in sub_halves}


def pages(entries: list[SimpleNamespace]) -> Iterator[list[SimpleNamespace]]:
    """Entries in messages of about 512 KiB and at most 512 of them (section 7.4)."""
    page: list[SimpleNamespace] = []
    size = 0
    for entry in entries:
        length = len(entry.envelope) + len(entry.ciphertext)
        if page and (size + length > ENTRIES_BYTES_AIM or len(page) == messages.ENTRIES_PER_MESSAGE_MAX):
            yield page
            page, size = [], 0
        page.append(entry)
        size += length
    if page:
        yield page


def entries_message(page: list[SimpleNamespace]) -> bytes:
    return messages.TO_ARCHIVE.make("entries", entries=page)
