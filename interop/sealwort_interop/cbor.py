"""Deterministic CBOR and the shapes of messages (`spec/protocol.md`, section 1.1).

A shape reads the value that CBOR decoding gave, and refuses what does not fit with `message-malformed`. Records come
out as namespaces with one attribute per field, choices as `Chosen`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import cbor2

from .refusal import Refused

DEPTH_MAX = 16
UINT_MAX = 2**64 - 1


class NotCanonical(Refused):
    """CBOR, but not in its one form."""

    def __init__(self):
        super().__init__("message-malformed", "not in its one deterministic form")


def malformed(reason: str) -> Refused:
    return Refused("message-malformed", reason)


def encode(value: Any) -> bytes:
    """Deterministic encoding (RFC 8949, section 4.2.1)."""
    return cbor2.dumps(value, canonical=True)


def decode(data: bytes) -> Any:
    """The value in `data`, which must be its one deterministic encoding with nothing behind it."""
    try:
        value = cbor2.loads(data, max_depth=DEPTH_MAX, allow_indefinite=False, allow_duplicate_keys=False)
        again = encode(value)
    except Exception as error:  # whatever a decoder makes of hostile bytes is one fault to us
        raise malformed(f"not CBOR: {error}") from error
    if again != data:
        raise NotCanonical
    return value


class Shape:
    """What a value must look like. `read` goes from CBOR to Python, `write` the other way."""

    def read(self, value: Any, where: str) -> Any:
        raise NotImplementedError

    def write(self, value: Any, where: str) -> Any:
        """Most shapes are the same on both sides; what we send must fit as well."""
        return self.read(value, where)

    def decode(self, data: bytes) -> Any:
        return self.read(decode(data), type(self).__name__.lower())

    def encode(self, value: Any) -> bytes:
        return encode(self.write(value, type(self).__name__.lower()))


@dataclass(frozen=True)
class Uint(Shape):
    largest: int = UINT_MAX

    def read(self, value: Any, where: str) -> int:
        if type(value) is not int or not 0 <= value <= self.largest:
            raise malformed(f"{where}: not an unsigned integer up to {self.largest}")
        return value


@dataclass(frozen=True)
class Bool(Shape):
    def read(self, value: Any, where: str) -> bool:
        if type(value) is not bool:
            raise malformed(f"{where}: neither true nor false")
        return value


@dataclass(frozen=True)
class Text(Shape):
    longest: int = 2**16

    def read(self, value: Any, where: str) -> str:
        if type(value) is not str or len(value.encode()) > self.longest:
            raise malformed(f"{where}: not a text of at most {self.longest} bytes")
        return value


@dataclass(frozen=True)
class Bytes(Shape):
    """A byte string of exactly `length` bytes, or with `longest` of at most that many."""

    length: int | None = None
    longest: int = 2**25

    def read(self, value: Any, where: str) -> bytes:
        if type(value) is not bytes:
            raise malformed(f"{where}: not a byte string")
        if self.length is not None and len(value) != self.length:
            raise malformed(f"{where}: {len(value)} bytes instead of {self.length}")
        if len(value) > self.longest:
            raise malformed(f"{where}: more than {self.longest} bytes")
        return value


@dataclass(frozen=True)
class Maybe(Shape):
    """The shape, or null."""

    shape: Shape

    def read(self, value: Any, where: str) -> Any:
        return None if value is None else self.shape.read(value, where)

    def write(self, value: Any, where: str) -> Any:
        return None if value is None else self.shape.write(value, where)


@dataclass(frozen=True)
class Array(Shape):
    """From `fewest` to `most` items of one shape; `ascending` means sorted without repetition."""

    item: Shape
    most: int = 2**20
    fewest: int = 0
    ascending: bool = False

    def read(self, value: Any, where: str) -> list:
        return self._each(value, where, self.item.read)

    def write(self, value: Any, where: str) -> list:
        return self._each(value, where, self.item.write)

    def _each(self, value: Any, where: str, go) -> list:
        if not isinstance(value, (list, tuple)) or not self.fewest <= len(value) <= self.most:
            raise malformed(f"{where}: not an array of {self.fewest} to {self.most} items")
        items = [go(item, f"{where}[{index}]") for index, item in enumerate(value)]
        if self.ascending:
            keys = [item.encode() if isinstance(item, str) else item for item in items]
            if any(first >= second for first, second in pairwise(keys)):
                raise malformed(f"{where}: not in ascending order without repetition")
        return items


class Record(Shape):
    """An array of named fields in order; absent fields at its end are left out."""

    def __init__(self, record: str, **fields: Shape):
        self.record = record
        self.fields = fields

    def read(self, value: Any, where: str) -> SimpleNamespace:
        where = f"{where}.{self.record}"
        if not isinstance(value, (list, tuple)) or len(value) > len(self.fields):
            raise malformed(f"{where}: not an array of at most {len(self.fields)} fields")
        if value and value[-1] is None:
            raise malformed(f"{where}: null at the end")
        padded = list(value) + [None] * (len(self.fields) - len(value))
        return SimpleNamespace(
            **{
                name: shape.read(item, f"{where}.{name}")
                for (name, shape), item in zip(self.fields.items(), padded, strict=True)
            }
        )

    def write(self, value: SimpleNamespace, where: str) -> list:
        where = f"{where}.{self.record}"
        items = [shape.write(getattr(value, name), f"{where}.{name}") for name, shape in self.fields.items()]
        while items and items[-1] is None:
            items.pop()
        return items

    def make(self, **fields: Any) -> bytes:
        """The encoding of a record with these fields."""
        if fields.keys() != self.fields.keys():
            raise TypeError(f"{self.record} has the fields {', '.join(self.fields)}")
        return self.encode(SimpleNamespace(**fields))


@dataclass(frozen=True)
class Chosen:
    """One variant of a choice."""

    name: str
    fields: SimpleNamespace


class Choice(Shape):
    """`[number, [fields …]]`; each variant is given as name = (number, record)."""

    def __init__(self, choice: str, **variants: tuple[int, Record]):
        self.choice = choice
        self.by_number = {number: (name, record) for name, (number, record) in variants.items()}
        self.by_name = variants

    def read(self, value: Any, where: str) -> Chosen:
        where = f"{where}.{self.choice}"
        if not isinstance(value, (list, tuple)) or len(value) != 2 or type(value[0]) is not int:
            raise malformed(f"{where}: not [number, fields]")
        if value[0] not in self.by_number:
            raise malformed(f"{where}: no variant {value[0]}")
        name, record = self.by_number[value[0]]
        return Chosen(name, record.read(value[1], where))

    def write(self, value: Chosen, where: str) -> list:
        number, record = self.by_name[value.name]
        return [number, record.write(value.fields, f"{where}.{self.choice}")]

    def make(self, variant: str, **fields: Any) -> bytes:
        """The encoding of one variant with these fields."""
        return self.encode(Chosen(variant, SimpleNamespace(**fields)))
