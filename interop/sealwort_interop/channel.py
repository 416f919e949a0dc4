"""One pair's channel: sealing, opening, rekeying, replay (`spec/protocol.md`, sections 5.1 to 5.4)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from . import cbor, crypto
from .messages import CHANNEL_MESSAGE, FRAME_BYTES_MAX, MESSAGE_BYTES_MAX, VERSION
from .refusal import Refused

REKEY_MESSAGES = 2**20
REKEY_BYTES = 2**32
REKEY_SECONDS = 600
REPLAY_WINDOW = 4096
SESSION_SECONDS_MAX = 3600
FRAME_HEADER_BYTES = 5
TO_BROKER, TO_FAR_END = 0, 1


@dataclass(frozen=True)
class Opened:
    """A message that opened, with its own number and the number it replies to (0: a request)."""

    number: int
    reply_to: int
    content: bytes


class _Sender:
    def __init__(self, secret: bytes, now: float):
        self.secret = secret
        self.generation = 0
        self.number = 0
        self.messages = 0
        self.bytes = 0
        self.since = now

    def next_key(self, length: int, now: float) -> bytes:
        full = self.messages >= REKEY_MESSAGES or self.bytes + length > REKEY_BYTES
        if full or now - self.since >= REKEY_SECONDS:
            self.secret = next_secret(self.secret)
            self.generation += 1
            self.messages, self.bytes, self.since = 0, 0, now
        self.number += 1
        self.messages += 1
        self.bytes += length
        return key_of(self.secret)


class _Receiver:
    def __init__(self, secret: bytes):
        self.generation = 0
        self.secret = secret
        self.keys = {0: key_of(secret), 1: key_of(next_secret(secret))}
        self.highest = 0
        self.seen: set[int] = set()

    def key(self, generation: int) -> bytes:
        if generation not in self.keys:
            raise Refused("seal-broken", f"a message of generation {generation}, while {self.generation} is current")
        return self.keys[generation]

    def check(self, number: int) -> None:
        if number in self.seen or number == 0 or number <= self.highest - REPLAY_WINDOW:
            raise Refused("message-replayed", f"message {number} was seen before or is too old")

    def advance(self, generation: int, number: int) -> None:
        self.seen.add(number)
        if number > self.highest:
            self.highest = number
            self.seen = {each for each in self.seen if each > number - REPLAY_WINDOW}
        if generation > self.generation:
            self.generation, self.secret = generation, next_secret(self.secret)
            following = key_of(next_secret(self.secret))
            self.keys = {generation - 1: self.keys[generation - 1], generation: self.keys[generation]}
            self.keys[generation + 1] = following


def key_of(secret: bytes) -> bytes:
    return crypto.expand(secret, "sealwort key v1")


def next_secret(secret: bytes) -> bytes:
    return crypto.expand(secret, "sealwort next v1")


class Channel:
    """One end. `send` and `receive` are the directions' first secrets (section 4.4); `clock` gives seconds."""

    def __init__(
        self,
        pair: str,
        session: bytes,
        send: bytes,
        receive: bytes,
        exporter: bytes = b"",
        clock: Callable[[], float] = time.monotonic,
    ):
        self.pair = pair
        self.session = session
        self.exporter = exporter
        self._clock = clock
        self._began = clock()
        self._sender = _Sender(send, self._began)
        self._receiver = _Receiver(receive)

    def seal(self, content: bytes, reply_to: int = 0) -> tuple[int, bytes]:
        """Number and bytes of the message."""
        now = self._alive()
        if len(content) > MESSAGE_BYTES_MAX:
            raise cbor.malformed("a message that is too long")
        key = self._sender.next_key(len(content), now)
        number, generation = self._sender.number, self._sender.generation
        ciphertext = crypto.seal(key, number, content, self._associated(generation, number, reply_to))
        return number, CHANNEL_MESSAGE.make(
            version=VERSION,
            session=self.session,
            generation=generation,
            number=number,
            reply_to=reply_to,
            ciphertext=ciphertext,
        )

    def open(self, data: bytes, reply_to: int = 0) -> Opened:
        """A message of the other end, once: a request, or the reply to our message `reply_to`."""
        self._alive()
        if len(data) > FRAME_BYTES_MAX:
            raise cbor.malformed("a message that is too long")
        message = CHANNEL_MESSAGE.decode(data)
        if message.version != VERSION:
            raise Refused("version-unknown", f"version {message.version}")
        if message.session != self.session:
            raise Refused("session-wrong", "a message of another session")
        self._receiver.check(message.number)
        associated = self._associated(message.generation, message.number, message.reply_to)
        key = self._receiver.key(message.generation)
        content = crypto.open_sealed(key, message.number, message.ciphertext, associated)
        if message.reply_to != reply_to:
            raise Refused("challenge-wrong", f"a reply to {message.reply_to} instead of {reply_to}")
        self._receiver.advance(message.generation, message.number)
        return Opened(message.number, message.reply_to, content)

    def _associated(self, generation: int, number: int, reply_to: int) -> bytes:
        return cbor.encode([self.pair, VERSION, self.session, generation, number, reply_to])

    def _alive(self) -> float:
        now = self._clock()
        if now - self._began >= SESSION_SECONDS_MAX:
            raise Refused("session-exhausted", "the session has lasted too long")
        return now


def frame(receiver: int, message: bytes) -> bytes:
    """A message of L–M on its way through T (section 5.4)."""
    return bytes([receiver]) + len(message).to_bytes(4, "big") + message


def frame_header(header: bytes) -> tuple[int, int]:
    """Receiver, and length of the message that follows."""
    if len(header) != FRAME_HEADER_BYTES or header[0] not in (TO_BROKER, TO_FAR_END):
        raise cbor.malformed("not a frame")
    length = int.from_bytes(header[1:], "big")
    if length > FRAME_BYTES_MAX:
        raise cbor.malformed("a frame that is too long")
    return header[0], length


def frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Receiver and message of each frame of a whole stream."""
    while data:
        receiver, length = frame_header(data[:FRAME_HEADER_BYTES])
        message = data[FRAME_HEADER_BYTES : FRAME_HEADER_BYTES + length]
        if len(message) != length:
            raise cbor.malformed("a stream that ends within a frame")
        yield receiver, message
        data = data[FRAME_HEADER_BYTES + length :]
