"""Turns a model with conditions (`.pvm`) into a ProVerif file.

It knows five lines, each beginning in the first column: `#ifdef FLAG`, `#ifndef FLAG`, `#else`, `#endif` and
`#define NAME text` or `#define NAME(parameter) text`. Names are replaced as whole words. Comments are left alone.
"""

import re

DEFINE = re.compile(r"#define (\w+)(?:\((\w+)\))?(?: (.*))?$")


class Malformed(Exception):
    """A directive that this file does not know, or that does not fit where it stands."""


def preprocess(text, flags):
    """The ProVerif text of a model with these flags set."""
    defined, macros, kept, conditions = set(flags), [], [], []
    for number, line in enumerate(text.splitlines(), 1):
        word = line.split(maxsplit=1)[0] if line.startswith("#") else ""
        if word in ("#ifdef", "#ifndef"):
            conditions.append((line.split()[1] in defined) == (word == "#ifdef"))
        elif word == "#else" and conditions:
            conditions[-1] = not conditions[-1]
        elif word == "#endif" and conditions:
            conditions.pop()
        elif not all(conditions):
            continue
        elif match := DEFINE.match(line):
            name, parameter, body = match.groups()
            defined.add(name)
            macros.append((name, parameter, expand(body or "", macros)))
        elif word:
            raise Malformed(f"line {number}: {line}")
        else:
            kept.append(expand(line, macros))
    if conditions:
        raise Malformed("an #ifdef is not closed")
    return "\n".join(kept) + "\n"


def expand(line, macros):
    """Replaces macros, the newest first, so that a later definition may use an earlier one."""
    for name, parameter, body in reversed(macros):
        if parameter is None:
            line = re.sub(rf"\b{name}\b", lambda _: body, line)
        else:
            use = lambda match: re.sub(rf"\b{parameter}\b", lambda _: match.group(1), body)
            line = re.sub(rf"\b{name}\(([^()]*)\)", use, line)
    return line


if __name__ == "__main__":
    import sys

    with open(sys.argv[1], encoding="utf-8") as model:
        sys.stdout.write(preprocess(model.read(), sys.argv[2:]))
