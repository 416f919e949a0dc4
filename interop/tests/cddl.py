"""A validator for the part of CDDL (RFC 8610) that `spec/*.cddl` uses.

Packages were tried first: `pycddl` loses the arguments of generic rules inside rules and misreads `.cbor` in arrays,
`zcbor` needs an older `cbor2`. What this one does not know is an error when the rules are read, never a rule that
lets everything pass.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cbor2

TOKEN = re.compile(
    r"""\s*(?:;[^\n]*\n\s*)*(?P<token>
        "[^"]*" | h'[0-9a-f]*' | \#6\.\d+\( | &\( | => | \.\. | \.(?:size|cbor|regexp)\b
      | -?\d+ | [a-z][a-z0-9_-]* | [\[\]{}()<>,:=/?*])""",
    re.VERBOSE,
)
ANYTHING_ELSE = re.compile(r"\s*(?:;[^\n]*(?:\n|$)\s*)*")
PRELUDE = {"uint", "bstr", "tstr", "bool", "null"}


class Mismatch(Exception):
    """A value that does not follow its rule."""


@dataclass
class Node:
    """`kind` says what `parts` are; see `Parser`."""

    kind: str
    parts: list = field(default_factory=list)


@dataclass
class Entry:
    """One entry of a group: how often, under which key (or None), which type."""

    fewest: int
    most: int | None
    key: Node | None
    type: Node


def tokens(text: str) -> list[str]:
    found, at = [], 0
    while match := TOKEN.match(text, at):
        found.append(match["token"])
        at = match.end()
    rest = ANYTHING_ELSE.match(text, at)
    if rest is None or rest.end() != len(text):
        raise SyntaxError(f"unknown CDDL: {text[at : at + 60]!r}")
    return found


class Parser:
    def __init__(self, text: str):
        self._tokens = tokens(text)
        self._at = 0

    def rules(self) -> dict[str, tuple[list[str], Node]]:
        """Parameters and type of each rule."""
        rules = {}
        while self._peek():
            name = self._next()
            parameters = self._list(self._next) if self._take("<") else []
            self._need("=")
            rules[name] = (parameters, self._type())
        return rules

    def _peek(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else ""

    def _next(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, token: str) -> bool:
        if self._peek() == token:
            self._at += 1
            return True
        return False

    def _need(self, token: str) -> None:
        if not self._take(token):
            raise SyntaxError(f"{token} expected before {self._peek()}")

    def _list(self, read) -> list:
        items = [read()]
        while self._take(","):
            items.append(read())
        self._need(">")
        return items

    def _type(self) -> Node:
        choices = [self._controlled()]
        while self._take("/"):
            choices.append(self._controlled())
        return choices[0] if len(choices) == 1 else Node("choice", choices)

    def _controlled(self) -> Node:
        target = self._plain()
        for operator in ("..", ".size", ".cbor", ".regexp"):
            if self._take(operator):
                return Node(operator, [target, self._plain()])
        return target

    def _plain(self) -> Node:
        token = self._next()
        if token.startswith('"'):
            return Node("literal", [token[1:-1]])
        if token.startswith("h'"):
            return Node("literal", [bytes.fromhex(token[2:-1])])
        if re.fullmatch(r"-?\d+", token):
            return Node("literal", [int(token)])
        if token == "(":
            inner = self._type()
            self._need(")")
            return inner
        if token in ("[", "{"):
            return Node("array" if token == "[" else "map", self._group("]" if token == "[" else "}"))
        if token == "&(":
            return Node("choice", [entry.type for entry in self._group(")")])
        if token.startswith("#6."):
            inner = self._type()
            self._need(")")
            return Node("tag", [int(token[3:-1]), inner])
        arguments = self._list(self._type) if self._peek() == "<" and self._take("<") else []
        return Node("name", [token, arguments])

    def _group(self, end: str) -> list[Entry]:
        entries = []
        while not self._take(end):
            fewest, most = self._occurrence()
            key = None
            if self._peek(1) == ":":
                key = Node("literal", [self._next()])
                self._need(":")
                inner = self._type()
            else:
                inner = self._type()
                if self._take("=>"):
                    key, inner = inner, self._type()
            entries.append(Entry(fewest, most, key, inner))
            self._take(",")
        return entries

    def _occurrence(self) -> tuple[int, int | None]:
        if self._take("?"):
            return 0, 1
        if self._peek() == "*" or self._peek(1) == "*":
            fewest = 0 if self._peek() == "*" else int(self._next())
            self._need("*")
            bounded = re.fullmatch(r"\d+", self._peek()) and self._peek(1) != ":"
            return fewest, int(self._next()) if bounded else None
        return 1, 1


class Schema:
    """`validate(rule, value)` raises `Mismatch` where the decoded value does not follow the rule."""

    def __init__(self, text: str):
        self._rules = Parser(text).rules()
        for name, (parameters, node) in self._rules.items():
            self._known(node, set(parameters), name)

    def validate(self, rule: str, value: Any) -> None:
        parameters, node = self._rules[rule]
        if parameters:
            raise KeyError(f"{rule} is a generic rule")
        self._match(node, value, {}, rule)

    def _known(self, node: Node | Entry, names: set[str], rule: str) -> None:
        """Every name that is used exists, with the right number of arguments."""
        if isinstance(node, Entry):
            node = node.type
        if node.kind == "name":
            name, arguments = node.parts
            if name not in names | PRELUDE and len(self._rules.get(name, ([None] * 99, 0))[0]) != len(arguments):
                raise SyntaxError(f"{rule} uses {name}, which is no such rule")
            node = Node("names", arguments)
        for part in node.parts:
            if isinstance(part, (Node, Entry)):
                self._known(part, names, rule)

    def _match(self, node: Node, value: Any, bound: dict, where: str) -> None:
        getattr(self, "_" + NAMES.get(node.kind, node.kind))(node, value, bound, where)

    def _fits(self, node: Node, value: Any, bound: dict, where: str) -> bool:
        try:
            self._match(node, value, bound, where)
        except Mismatch:
            return False
        return True

    def _name(self, node: Node, value: Any, bound: dict, where: str) -> None:
        name, arguments = node.parts
        if name in bound:
            inner, outer = bound[name]
            return self._match(inner, value, outer, where)
        if name in self._rules:
            parameters, body = self._rules[name]
            inside = {each: (argument, bound) for each, argument in zip(parameters, arguments, strict=True)}
            return self._match(body, value, inside, f"{where}/{name}")
        kinds = {"bstr": bytes, "tstr": str, "bool": bool, "null": type(None), "uint": int}
        if type(value) is not kinds[name] or (name == "uint" and value < 0):
            raise Mismatch(f"{where}: not {name}")
        return None

    def _literal(self, node: Node, value: Any, bound: dict, where: str) -> None:
        if type(value) is not type(node.parts[0]) or value != node.parts[0]:
            raise Mismatch(f"{where}: not {node.parts[0]!r}")

    def _choice(self, node: Node, value: Any, bound: dict, where: str) -> None:
        if not any(self._fits(each, value, bound, where) for each in node.parts):
            raise Mismatch(f"{where}: none of the choices")

    def _range(self, node: Node, value: Any, bound: dict, where: str) -> None:
        low, high = (each.parts[0] for each in node.parts)
        if type(value) is not int or not low <= value <= high:
            raise Mismatch(f"{where}: not from {low} to {high}")

    def _size(self, node: Node, value: Any, bound: dict, where: str) -> None:
        target, size = node.parts
        self._match(target, value, bound, where)
        if isinstance(value, int):
            length = max(1, (value.bit_length() + 7) // 8)
            size = Node("..", [Node("literal", [0]), size])
        else:
            length = len(value.encode() if isinstance(value, str) else value)
        self._match(size, length, bound, f"{where} size")

    def _cbor(self, node: Node, value: Any, bound: dict, where: str) -> None:
        target, inner = node.parts
        self._match(target, value, bound, where)
        try:
            content = cbor2.loads(value)
        except Exception as error:
            raise Mismatch(f"{where}: not CBOR") from error
        if cbor2.dumps(content, canonical=True) != value:
            raise Mismatch(f"{where}: not one deterministic item")
        self._match(inner, content, bound, f"{where}.cbor")

    def _regexp(self, node: Node, value: Any, bound: dict, where: str) -> None:
        target, pattern = node.parts
        self._match(target, value, bound, where)
        if not re.fullmatch(pattern.parts[0], value):
            raise Mismatch(f"{where}: not like {pattern.parts[0]}")

    def _tag(self, node: Node, value: Any, bound: dict, where: str) -> None:
        number, inner = node.parts
        if not isinstance(value, cbor2.CBORTag) or value.tag != number:
            raise Mismatch(f"{where}: not tag {number}")
        self._match(inner, value.value, bound, where)

    def _array(self, node: Node, value: Any, bound: dict, where: str) -> None:
        """Entries take what fits, greedily: no rule here has an entry that could take what the next one needs."""
        if not isinstance(value, (list, tuple)):
            raise Mismatch(f"{where}: not an array")
        at = 0
        for entry in node.parts:
            taken = 0
            while at < len(value) and (entry.most is None or taken < entry.most):
                if taken >= entry.fewest and not self._fits(entry.type, value[at], bound, where):
                    break
                self._match(entry.type, value[at], bound, f"{where}[{at}]")
                at, taken = at + 1, taken + 1
            if taken < entry.fewest:
                raise Mismatch(f"{where}: too few items")
        if at != len(value):
            raise Mismatch(f"{where}[{at}]: one item too many, or a wrong one")

    def _map(self, node: Node, value: Any, bound: dict, where: str) -> None:
        if not isinstance(value, Mapping):
            raise Mismatch(f"{where}: not a map")
        left = dict(value)
        for entry in node.parts:
            key = entry.key.parts[0]
            if key in left:
                self._match(entry.type, left.pop(key), bound, f"{where}.{key}")
            elif entry.fewest:
                raise Mismatch(f"{where}: {key} is missing")
        if left:
            raise Mismatch(f"{where}: {', '.join(map(str, left))} is too much")


NAMES = {"..": "range", ".size": "size", ".cbor": "cbor", ".regexp": "regexp"}
