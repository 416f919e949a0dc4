"""Every message's shape, in the order of the text (`spec/protocol.md`, sections 1.1, 4 to 8 and 10)."""

from __future__ import annotations

from types import SimpleNamespace

from .cbor import Array, Bool, Bytes, Choice, Maybe, Record, Text, Uint
from .refusal import Refused

VERSION = 1
SUITE = 1
NO_SESSION = bytes(32)

HANDSHAKE_BYTES_MAX = 32 * 1024
MESSAGE_BYTES_MAX = 20 * 2**20
OVERHEAD_BYTES_MAX = 256
FRAME_BYTES_MAX = MESSAGE_BYTES_MAX + OVERHEAD_BYTES_MAX
LOCATORS_MAX = 32
PURPOSES_MAX = 32
TAGS_MAX = 16
USER_BYTES_MAX = 512
ENTRIES_PER_MESSAGE_MAX = 512
HEADS_PER_MESSAGE_MAX = 4096
LOG_PAGE_ENTRIES_MAX = 8192
EMERGENCIES_PER_MESSAGE_MAX = 64
REASON_BYTES_MAX = 64
DEPOSIT_ENTRIES_MAX = 100_000

PSEUDONYM = LOCATOR = NONCE = DIGEST = SESSION = KEY = Bytes(32)
TAG = ID = Bytes(16)
SIGNATURE = Bytes(64)
STATEMENT = Bytes(longest=96 * 1024)
CERTIFICATE = Bytes(longest=4096)
CHAIN = Array(CERTIFICATE, most=2, fewest=1)
# Order and number of these two are conditions of the text with codes of their own.
LOCATORS = Array(LOCATOR)
TAGS = Array(TAG)
SEQUENCE = TIME = Uint()

U8, U16, U32 = Uint(2**8 - 1), Uint(2**16 - 1), Uint(2**32 - 1)

HEADER = Record("header", version=U16, exchange=Text(), step=U8, session=SESSION)
REFUSAL = Record("refusal", by=Text(), code=Text(), reason=Text(), remedy=Text())


def header(exchange: str, step: int, session: bytes = NO_SESSION) -> SimpleNamespace:
    return SimpleNamespace(version=VERSION, exchange=exchange, step=step, session=session)


def check_header(found: SimpleNamespace, exchange: str, step: int, session: bytes | None = NO_SESSION) -> None:
    """The four checks of section 1.1. `None` leaves the session to the caller."""
    if found.version != VERSION:
        raise Refused("version-unknown", f"version {found.version}")
    if found.exchange != exchange:
        raise Refused("exchange-wrong", f"a message of the exchange {found.exchange}")
    if found.step != step:
        raise Refused("step-wrong", f"step {found.step} instead of {step}")
    if session is not None and found.session != session:
        raise Refused("session-wrong", "a message of another session")


# Section 4: mutual authentication.

HELLO = Record(
    "hello", header=HEADER, suite=Uint(), nonce=NONCE, certificate=CHAIN, archive=Text(), cookie=Bytes(longest=64)
)
COOKIE_DEMAND = Record("cookie demand", header=HEADER, cookie=Bytes(longest=64))
INTRODUCTION = Record("introduction", header=HEADER, hello=Bytes(), nonce=NONCE, certificate=CHAIN)
ACCEPTANCE_OF_INTRODUCTION = Record("acceptance", header=HEADER, nonce=NONCE, certificate=CHAIN)
PRESENTATION = Record("presentation", header=HEADER, nonce=NONCE, certificate=CHAIN, acceptance=Bytes())

POLICIES = Record(
    "policies",
    suite=U16,
    token_lifetime=U32,
    clock_skew=U32,
    purposes=Array(Text()),
    retention=U32,
    software=Text(),
)
# Lengths of keys and encapsulations are checked with them (section 2.4).
SHARE = Record("share", header=HEADER, key=Bytes(longest=HANDSHAKE_BYTES_MAX), policies=POLICIES)
SIGNED_SHARE = Record("signed share", share=Bytes(), signature=SIGNATURE)
ANSWER = Record(
    "answer", header=HEADER, encapsulation=Bytes(longest=HANDSHAKE_BYTES_MAX), accepted=DIGEST, policies=POLICIES
)
SIGNED_ANSWER = Record("signed answer", answer=Bytes(), signature=SIGNATURE, confirmation=DIGEST)
ANSWER_TO_STEP_4 = Record("answer to step 4", answer=Bytes(), share=Bytes())
STEP_9 = Record("step 9", answer=Bytes(), confirm=Bytes())
CONFIRM = Record("confirm", binding=DIGEST)
BROKER_CALL = Choice(
    "broker call",
    offer=(0, Record("offer", session=SESSION, policies=POLICIES)),
    complete=(1, Record("complete", session=SESSION, answer=Bytes(longest=HANDSHAKE_BYTES_MAX))),
)
BROKER_CALL_REPLY = Choice(
    "reply to a broker call",
    relay=(0, Record("relay", message=Bytes(longest=HANDSHAKE_BYTES_MAX))),
    refused=(1, Record("refused", refusal=REFUSAL)),
)

# Section 5: channels.

CHANNEL_MESSAGE = Record(
    "message",
    version=Uint(),
    session=SESSION,
    generation=U32,
    number=Uint(),
    reply_to=Uint(),
    ciphertext=Bytes(longest=FRAME_BYTES_MAX),
)

# Section 6: statements.

REGISTRATION = Record(
    "registration",
    exchange=Text(),
    patient=PSEUDONYM,
    locators=LOCATORS,
    authority=Bytes(longest=1024),
    registered_by=Text(),
    registered_at=TIME,
    certificate=Array(CERTIFICATE, most=2),
)
# Conditions on a directive's content have codes of their own; `directive.read` checks them.
AMONG = Record("among", kind=Uint(1), names=Array(Text()))
PROVISION = Record(
    "provision",
    id=Uint(),
    grantees=AMONG,
    roles=AMONG,
    actions=Array(Uint(2)),
    purposes=Array(Uint(7)),
    start=TIME,
    until=Maybe(TIME),
    tags=Array(TAG),
)
DIRECTIVE = Record(
    "directive",
    format=Uint(2),
    exchange=Text(),
    patient=PSEUDONYM,
    version=Uint(),
    epoch=Uint(),
    issued_at=TIME,
    previous=DIGEST,
    last_provision=U32,
    provisions=Array(PROVISION),
)

# Section 7: transmission.

REFUSED = Record("refused", refusal=REFUSAL)
EMERGENCY = Record("emergency", id=ID, begun_at=TIME, reason=Text())
EMERGENCY_TERM = Record("emergency term", id=ID, begun_at=TIME)
EMERGENCY_NOTICE = Record(
    "emergency notice",
    id=ID,
    patient=PSEUDONYM,
    hospital=Text(),
    user=Text(),
    user_role=Text(),
    purpose=Text(),
    reason=Text(),
    begun_at=TIME,
)
ACCESS_REQUEST = Record(
    "access request",
    header=HEADER,
    patient=PSEUDONYM,
    action=Text(),
    tags=TAGS,
    purpose=Text(),
    emergency=Maybe(EMERGENCY),
    user=Text(),
    user_role=Text(),
)
CHALLENGE = Record("challenge", policies=POLICIES, time_stamp=TIME, challenge=NONCE)
ACCEPTANCE = Record("acceptance", time_stamp=TIME, challenge=NONCE, policies=DIGEST, binding=DIGEST)
SUB_HALF = Record("sub-half", epoch=Uint(), tag=TAG, author=Maybe(Text()), secret=KEY)
SUB_HALVES = Array(SUB_HALF)
BROKER_GRANT = Record("grant", sealed=STATEMENT, token=STATEMENT, sub_halves=SUB_HALVES, registration=STATEMENT)
TOKEN = Record(
    "token",
    exchange=Text(),
    issuer=Text(),
    holder=Text(),
    holder_key=DIGEST,
    audience=Text(),
    id=ID,
    patient=PSEUDONYM,
    action=Text(),
    tags=TAGS,
    purpose=Text(),
    emergency=Maybe(EMERGENCY_TERM),
    user=Text(),
    user_role=Text(),
    request=DIGEST,
    policies=DIGEST,
    directive_version=Uint(),
    epoch=Uint(),
    witness_sequence=SEQUENCE,
    witness_head=DIGEST,
    binding=DIGEST,
    issued_at=TIME,
    expires_at=TIME,
)
HEAD = Record("head", sequence=SEQUENCE, head=DIGEST)
LOG_ENTRY = Record("log entry", number=SEQUENCE, leaf=Bytes(longest=24 * 1024))
LOG_HEAD = Record("log head", checkpoint=Text(), cosigned=Text(), consistency=Array(DIGEST), chains=Array(CHAIN))
LOG_PAGE = Record(
    "log page",
    size=Uint(),
    next=Maybe(Uint()),
    head=Maybe(LOG_HEAD),
    entries=Array(LOG_ENTRY, most=LOG_PAGE_ENTRIES_MAX),
    proof=Array(DIGEST),
)
ASK_LOG = Record("log", request=STATEMENT, start=SEQUENCE, size=Uint())
LOG = Record("log", page=LOG_PAGE)
TO_BROKER = Choice(
    "to the broker",
    locate=(0, Record("locate", locators=LOCATORS)),
    allot=(1, Record("allot", locators=LOCATORS)),
    register=(2, Record("register", registration=STATEMENT, directive=STATEMENT)),
    direct=(3, Record("direct", directive=STATEMENT)),
    consent=(4, Record("consent", patient=PSEUDONYM)),
    request=(5, Record("request", request=STATEMENT)),
    accept=(6, Record("accept", acceptance=ACCEPTANCE)),
    witness=(7, Record("witness", receipt=STATEMENT)),
    witnessed=(8, Record("witnessed", patient=PSEUDONYM, after=SEQUENCE)),
    erase=(9, Record("erase", erasure=STATEMENT)),
    log=(10, ASK_LOG),
    emergencies=(11, Record("emergencies", told=Array(ID, most=EMERGENCIES_PER_MESSAGE_MAX))),
)
FROM_BROKER = Choice(
    "from the broker",
    located=(0, Record("located", registration=STATEMENT)),
    not_located=(1, Record("not located")),
    allotted=(2, Record("allotted", patient=PSEUDONYM)),
    kept=(3, Record("kept")),
    consent=(4, Record("consent", registration=STATEMENT, directive=STATEMENT)),
    challenge=(5, Record("challenge", challenge=CHALLENGE)),
    token=(6, Record("token", grant=BROKER_GRANT)),
    refused=(7, REFUSED),
    heads=(8, Record("heads", heads=Array(HEAD, most=HEADS_PER_MESSAGE_MAX))),
    erased=(9, Record("erased", certificate=STATEMENT)),
    log=(10, LOG),
    emergencies=(11, Record("emergencies", notices=Array(EMERGENCY_NOTICE, most=EMERGENCIES_PER_MESSAGE_MAX))),
)

POSSESSION = Record("possession", token_id=ID, binding=DIGEST, token=DIGEST)
ENTRY = Record("entry", envelope=STATEMENT, ciphertext=Maybe(Bytes(longest=18 * 2**20 + 4096)))
ARCHIVE_GRANT = Record(
    "grant",
    authority=ID,
    expires=TIME,
    tags=TAGS,
    sub_halves=SUB_HALVES,
    registration=STATEMENT,
    sequence=SEQUENCE,
    head=DIGEST,
)
TO_ARCHIVE = Choice(
    "to the archive",
    register=(0, Record("register", registration=STATEMENT, directive=STATEMENT)),
    direct=(1, Record("direct", directive=STATEMENT)),
    present=(2, Record("present", sealed=STATEMENT, possession=STATEMENT)),
    fetch=(3, Record("fetch", authority=ID, after=SEQUENCE)),
    deposit=(
        4,
        Record("deposit", authority=ID, deposit=ID, after=SEQUENCE, head=DIGEST, entries=Uint(DEPOSIT_ENTRIES_MAX)),
    ),
    entries=(5, Record("entries", entries=Array(ENTRY, most=ENTRIES_PER_MESSAGE_MAX))),
    erase=(6, Record("erase", erasure=STATEMENT)),
    log=(7, ASK_LOG),
)
FROM_ARCHIVE = Choice(
    "from the archive",
    kept=(0, Record("kept")),
    granted=(1, Record("granted", grant=ARCHIVE_GRANT)),
    entries=(
        2,
        Record(
            "entries",
            entries=Array(ENTRY, most=ENTRIES_PER_MESSAGE_MAX),
            authors=Array(CHAIN, most=ENTRIES_PER_MESSAGE_MAX),
        ),
    ),
    end=(3, Record("end", receipt=STATEMENT)),
    stored=(4, Record("stored", receipt=STATEMENT)),
    conflict=(5, Record("conflict", sequence=SEQUENCE, head=DIGEST)),
    refused=(6, REFUSED),
    erased=(7, Record("erased", certificate=STATEMENT)),
    log=(8, LOG),
)
NOTICE = Choice(
    "notice",
    alive=(0, Record("alive")),
    consent_changed=(1, Record("consent changed", patient=PSEUDONYM)),
    head_moved=(2, Record("head moved", patient=PSEUDONYM)),
    look_anew=(3, Record("look anew")),
    emergency=(4, Record("emergency")),
)

# Section 8: sealed records.

ENTRY_HEADER = Record(
    "header",
    suite=Uint(),
    exchange=Text(),
    patient=PSEUDONYM,
    entry_id=ID,
    author=Text(),
    tag=TAG,
    epoch=Uint(),
    sequence=SEQUENCE,
    previous=DIGEST,
    authored_at=TIME,
    deposit=ID,
)
PLAIN = Record(
    "plain",
    change=Uint(2),
    resource_type=Text(),
    id=Text(),
    length=Uint(),
    compressed=Bool(),
    content=Bytes(longest=16 * 2**20),
)
ENVELOPE = Record("envelope", header=Bytes(longest=4096), ciphertext=DIGEST, length=Uint())
RECEIPT = Record(
    "receipt",
    exchange=Text(),
    archive=Text(),
    patient=PSEUDONYM,
    sequence=SEQUENCE,
    head=DIGEST,
    deposit=Maybe(ID),
    issued_at=TIME,
)
