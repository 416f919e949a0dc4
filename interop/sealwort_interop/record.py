"""Sealed records: blinding, halves, keys, entries (`spec/protocol.md`, sections 8.1 to 8.4)."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import zstandard

from . import cose, crypto, messages
from .refusal import Refused

RECORD_BYTES_MAX = 16 * 2**20
CIPHERTEXT_BYTES_MAX = 18 * 2**20 + 4096
SIZE_CLASS_MIN = 256
PUT, DELETE, MOVE = 0, 1, 2


def locator(directory_key: bytes, system: str, value: str) -> bytes:
    return crypto.mac(directory_key, "sealwort locator v1", system, value)


def pseudonym(pseudonym_key: bytes, smallest_locator: bytes) -> bytes:
    """T's own derivation; a hospital is told the result."""
    return crypto.mac(pseudonym_key, "sealwort pseudonym v1", smallest_locator)


def label_tag(directory_key: bytes, patient: bytes, label: str) -> bytes:
    return crypto.mac(directory_key, "sealwort label tag v1", patient, label)[:16]


def node(half: bytes, side: str, patient: bytes, epoch: int, tag: bytes) -> bytes:
    return crypto.expand(half, "sealwort label half v1", side, patient, crypto.be64(epoch), tag)


def leaf(node_secret: bytes, author: str) -> bytes:
    return crypto.expand(node_secret, "sealwort author half v1", author)


def leaf_of(sub_half: SimpleNamespace, author: str) -> bytes:
    """The author's leaf from what one side gave: the leaf itself, or the node above it."""
    if sub_half.author is None:
        return leaf(sub_half.secret, author)
    if sub_half.author != author:
        raise Refused("record-invalid", "a sub-half of another author")
    return sub_half.secret


def record_key(broker_leaf: bytes, archive_leaf: bytes, patient: bytes, epoch: int, author: str, tag: bytes) -> bytes:
    both = crypto.extract(b"sealwort record v1", broker_leaf + archive_leaf)
    return crypto.expand(both, "sealwort record v1", patient, crypto.be64(epoch), author, tag)


def entry_key(key: bytes, entry_id: bytes) -> bytes:
    return crypto.expand(key, "sealwort entry v1", entry_id)


def size_class(length: int) -> int:
    """Padmé: the smallest length of at least `length` with few significant bits (section 8.4)."""
    if length <= SIZE_CLASS_MIN:
        return SIZE_CLASS_MIN
    exponent = length.bit_length() - 1
    significant = exponent.bit_length()
    mask = (1 << (exponent - significant)) - 1
    return (length + mask) & ~mask


def pad(plain: bytes) -> bytes:
    """So that the ciphertext with its tag has a size class."""
    total = size_class(len(plain) + 1 + crypto.TAG_BYTES)
    return plain + b"\x80" + bytes(total - crypto.TAG_BYTES - len(plain) - 1)


def unpad(padded: bytes) -> bytes:
    plain = padded.rstrip(b"\0")
    if not plain.endswith(b"\x80"):
        raise Refused("record-invalid", "padding without its mark")
    return plain[:-1]


@dataclass(frozen=True)
class Change:
    """One version of one resource, or its deletion. `content` is the bytes as received."""

    resource_type: str
    id: str
    content: bytes
    change: int = PUT


def plain_of(change: Change) -> bytes:
    content, compressed = change.content, False
    if len(content) > RECORD_BYTES_MAX:
        raise Refused("record-invalid", "a record that is too long")
    shorter = zstandard.ZstdCompressor().compress(content)
    if len(shorter) < len(content):
        content, compressed = shorter, True
    return messages.PLAIN.make(
        change=change.change,
        resource_type=change.resource_type,
        id=change.id,
        length=len(change.content),
        compressed=compressed,
        content=content,
    )


def change_of(plain: bytes) -> Change:
    read = messages.PLAIN.decode(plain)
    content = read.content
    if read.length > RECORD_BYTES_MAX:
        raise Refused("record-invalid", "a record that is too long")
    if read.compressed:
        content = _decompress(content, read.length)
    if len(content) != read.length:
        raise Refused("record-invalid", "content of another length than stated")
    return Change(read.resource_type, read.id, content, read.change)


def _decompress(content: bytes, length: int) -> bytes:
    """One zstd frame, never more than `length` bytes and one."""
    try:
        reader = zstandard.ZstdDecompressor().stream_reader(content, read_across_frames=False)
        found = reader.read(length + 1)
    except zstandard.ZstdError as error:
        raise Refused("record-invalid", "content that does not decompress") from error
    return found


@dataclass(frozen=True)
class Envelope:
    """What an author signed: the header and the ciphertext's digest."""

    header: SimpleNamespace
    header_bytes: bytes
    ciphertext: bytes
    length: int


def seal(change: Change, header: SimpleNamespace, key: bytes, signing_key: crypto.PrivateKey) -> SimpleNamespace:
    """An entry under the record key of the header's author, epoch and tag."""
    header_bytes = messages.ENTRY_HEADER.encode(header)
    ciphertext = crypto.seal(entry_key(key, header.entry_id), 0, pad(plain_of(change)), header_bytes)
    envelope = messages.ENVELOPE.make(
        header=header_bytes, ciphertext=ciphertext_digest(ciphertext), length=len(ciphertext)
    )
    return SimpleNamespace(envelope=cose.sign("entry", signing_key, envelope), ciphertext=ciphertext)


def ciphertext_digest(ciphertext: bytes) -> bytes:
    return crypto.digest("sealwort ciphertext v1", ciphertext)


def parse_envelope(payload: bytes) -> Envelope:
    """The payload of an entry's statement; its signature is the caller's to check."""
    read = messages.ENVELOPE.decode(payload)
    header = messages.ENTRY_HEADER.decode(read.header)
    if header.suite != messages.SUITE:
        raise Refused("suite-unknown", f"an entry of suite {header.suite}")
    return Envelope(header, read.header, read.ciphertext, read.length)


def open_entry(envelope: Envelope, ciphertext: bytes, key: bytes) -> Change:
    if len(ciphertext) != envelope.length or ciphertext_digest(ciphertext) != envelope.ciphertext:
        raise Refused("log-inconsistent", "a ciphertext that its author did not sign")
    opened = crypto.open_sealed(entry_key(key, envelope.header.entry_id), 0, ciphertext, envelope.header_bytes)
    return change_of(unpad(opened))
