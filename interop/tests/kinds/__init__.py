"""One function per kind of vector (`spec/vectors/README.md`): `input` in, `output` out, or a refusal."""

from __future__ import annotations

from collections.abc import Callable

from . import authentication, certificates, channels, messages, primitives, records, statements, transmission

KINDS: dict[str, Callable] = {}
for module in (primitives, certificates, messages, authentication, channels, statements, transmission, records):
    KINDS |= module.KINDS
