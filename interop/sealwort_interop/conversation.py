"""Requests with their replies inside a session: frames through the broker, notices, refusals (`spec/protocol.md`,
sections 5.4, 7.1, 7.3, 7.6 and 10)."""

from __future__ import annotations

from . import channel, handshake, messages
from .cbor import Chosen
from .refusal import Refused
from .transport import Stream


class Relayed:
    """Replies of the archive to one request body."""

    def __init__(self, with_archive: channel.Channel, stream: Stream, number: int, sent: int):
        self._channel = with_archive
        self._stream = stream
        self._number = number
        self.sent = sent
        self.received = 0

    def __enter__(self) -> Relayed:
        return self

    def __exit__(self, kind, *_) -> None:
        if kind is None and self._stream.read_to_end():
            raise Refused("message-malformed", "bytes behind the last reply")

    def reply(self) -> Chosen:
        if self._stream.wait_status() != 200:
            raise refusal_of(self._stream.status or 0, self._stream.read_to_end())
        while True:
            receiver, length = channel.frame_header(self._stream.read(channel.FRAME_HEADER_BYTES))
            message = self._stream.read(length)
            self.received += channel.FRAME_HEADER_BYTES + length
            if receiver == channel.TO_FAR_END:
                break
        opened = self._channel.open(message, self._number)
        return expect(messages.FROM_ARCHIVE.decode(opened.content))


class Notices:
    """What the broker tells unasked (section 7.6)."""

    def __init__(self, session: handshake.Session, stream: Stream):
        self._session = session
        self._stream = stream

    def next(self) -> Chosen:
        if self._stream.wait_status() != 200:
            raise refusal_of(self._stream.status or 0, self._stream.read_to_end())
        receiver, length = channel.frame_header(self._stream.read(channel.FRAME_HEADER_BYTES))
        if receiver != channel.TO_FAR_END:
            raise Refused("message-malformed", "a notice for somebody else")
        opened = self._session.with_broker.open(self._stream.read(length))
        return messages.NOTICE.decode(opened.content)


def expect(reply: Chosen) -> Chosen:
    """The reply, unless it is a refusal."""
    if reply.name == "refused":
        refusal = reply.fields.refusal
        raise Refused(refusal.code, refusal.reason, by=refusal.by, remedy=refusal.remedy)
    return reply


def refusal_of(status: int, body: bytes) -> Refused:
    """The refusal in an answer outside a channel (section 10)."""
    try:
        refusal = messages.REFUSAL.decode(body)
    except Refused:
        return Refused("refused", f"HTTP status {status}: {body[:200]!r}", by="server")
    return Refused(refusal.code, refusal.reason, by=refusal.by, remedy=refusal.remedy)
