"""How a part tells what held: one JSON line for each check on standard output, and a last one when it came to its end.
The lines of a part in Node (`checks.mjs`) are the same."""

from __future__ import annotations

import json
import traceback
from contextlib import contextmanager

DETAIL_CHARACTERS_MAX = 600


@contextmanager
def check(name: str):
    """Runs what is under it. An exception fails this check, and the next ones still run."""
    try:
        yield
    except NameError as error:
        _tell(name, False, f"it needs what an earlier check that failed would have made ({error})")
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        detail = f"{type(error).__name__}: {error} ({place.name}, line {place.lineno})"
        _tell(name, False, detail[:DETAIL_CHARACTERS_MAX])
    else:
        _tell(name, True, "")


def skipped(name: str, why: str) -> None:
    """Says loudly that something could not be tried here."""
    print(json.dumps({"skipped": name, "detail": why}), flush=True)


def note(text: str) -> None:
    """A figure to be seen."""
    print(json.dumps({"note": text}), flush=True)


def end() -> None:
    """Says that the part came to its end; without it the runner counts a failure."""
    print(json.dumps({"end": True}), flush=True)


def equal(found, wanted, what: str) -> None:
    if found != wanted:
        raise AssertionError(f"{what}: {found!r} instead of {wanted!r}")


def holds(condition, what: str) -> None:
    if not condition:
        raise AssertionError(what)


def _tell(name: str, passed: bool, detail: str) -> None:
    print(json.dumps({"check": name, "passed": passed, "detail": detail}), flush=True)
