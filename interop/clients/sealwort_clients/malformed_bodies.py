"""Bodies that no FHIR server may take, in families. Each is made from real resources, always in the same way."""

from __future__ import annotations

import copy
import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

FHIR_JSON = "application/fhir+json"
GIBIBYTE = 1 << 30
MEBIBYTE = 1 << 20

# What the answer must tell.
SYNTAX = "line and column, or an element"
ELEMENT = "the element"
ANY_ELEMENT = "some element"
TRANSPORT = "nothing of the body: its headers are wrong"
# What may also be taken, if it comes back harmless.
NUMBER = "refused, or kept as it was written"
NARRATIVE = "refused, or shown without what runs"


@dataclass
class Body:
    """One request."""

    family: str
    name: str
    content: bytes
    tells: str
    # The element that the answer must name, where one is wrong.
    element: str | None = None
    kind: str = "Patient"
    media: str = FHIR_JSON
    headers: dict[str, str] = field(default_factory=dict)


def bodies(patient: dict, observation: dict) -> Iterator[Body]:
    """All of them."""
    yield from truncated(patient, observation)
    yield from wrong_types(patient)
    yield from wrong_types(observation)
    yield from nulls(patient)
    yield from nulls(observation)
    yield from duplicate_keys(patient)
    yield from depth_bombs(patient)
    yield from huge_numbers(observation)
    yield from compressed(patient)
    yield from bad_text(patient)
    yield from not_json(patient)
    yield from xml()
    yield from wrong_media(patient)
    yield from wrong_resources(patient, observation)
    yield from narratives(patient)


def truncated(patient: dict, observation: dict) -> Iterator[Body]:
    for resource in (patient, observation):
        whole, kind = json.dumps(resource, indent=1).encode(), resource["resourceType"]
        for part in range(12):
            at = len(whole) * part // 12
            yield Body("truncated JSON", f"{kind} cut at byte {at}", whole[:at], SYNTAX, kind=kind)


def wrong_types(resource: dict) -> Iterator[Body]:
    """Every element, with a value of a type that it cannot have."""
    kind = resource["resourceType"]
    for path in elements(resource):
        altered = copy.deepcopy(resource)
        holder, last = holder_of(altered, path)
        value = holder[last]
        holder[last] = {list: "text", dict: 7, str: {"extra": [1]}, bool: "true", int: "72", float: "7.2"}[type(value)]
        name = written(kind, path)
        yield Body(
            "wrong types", f"{name} as {type(holder[last]).__name__}", json.dumps(altered).encode(), ELEMENT, name, kind
        )


def nulls(resource: dict) -> Iterator[Body]:
    """Every element, with null in its place (FHIR R4, json.html: only within arrays, beside an extension)."""
    kind = resource["resourceType"]
    for path in elements(resource):
        altered = copy.deepcopy(resource)
        holder, last = holder_of(altered, path)
        holder[last] = None
        name = written(kind, path)
        yield Body("nulls", name, json.dumps(altered).encode(), ELEMENT, name, kind)


def duplicate_keys(patient: dict) -> Iterator[Body]:
    whole = json.dumps(patient)
    for name in ("resourceType", "identifier", "active", "name", "gender", "birthDate"):
        twice = f'{whole[:-1]}, "{name}": {json.dumps(patient[name])}}}'
        yield Body("duplicate keys", name, twice.encode(), SYNTAX)
    inner = whole.replace('"family":', '"family": "Other", "family":')
    yield Body("duplicate keys", "name[0].family", inner.encode(), SYNTAX)
    escaped = f'{whole[:-1]}, "\\u0067ender": "male"}}'
    yield Body("duplicate keys", "gender, once escaped", escaped.encode(), SYNTAX)


def depth_bombs(patient: dict) -> Iterator[Body]:
    for depth in (65, 1_000, 100_000, 1_000_000):
        for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
            content = opening * depth + b"1" + closing * depth
            yield Body("depth bombs", f"{opening.decode()} {depth} times", content, SYNTAX)
    extension: dict = {"url": "urn:x", "valueBoolean": True}
    for _ in range(100):
        extension = {"url": "urn:x", "extension": [extension]}
    content = json.dumps(patient | {"extension": [extension]}).encode()
    yield Body("depth bombs", "extensions 100 times", content, SYNTAX)
    yield Body("depth bombs", "never closed", b"[" * 500_000, SYNTAX)


def huge_numbers(observation: dict) -> Iterator[Body]:
    whole = json.dumps(observation)
    values = ("1e999999999", "-1e999999999", "1e-999999999", "1" * 100_000, "0." + "1" * 100_000, "1e" + "9" * 50_000)
    for value in values:
        content = whole.replace('"value": 72', f'"value": {value}').encode()
        yield Body("huge numbers", value[:24], content, NUMBER, "Observation.valueQuantity.value", "Observation")


def compressed(patient: dict) -> Iterator[Body]:
    zipped = {"Content-Encoding": "gzip"}
    whole = json.dumps(patient).encode()
    spaces = bomb(b" ")
    yield Body("gzip", "1 GiB of spaces", spaces, TRANSPORT, headers=zipped)
    yield Body(
        "gzip", "1 GiB in a string", bomb(b"a", b'{"resourceType":"Patient","language":"'), TRANSPORT, headers=zipped
    )
    yield Body("gzip", "1 GiB of brackets", bomb(b"["), TRANSPORT, headers=zipped)
    yield Body(
        "gzip", "a bomb in gzip in gzip", gzip.compress(spaces), TRANSPORT, headers={"Content-Encoding": "gzip, gzip"}
    )
    yield Body("gzip", "cut off", gzip.compress(whole)[:-12], TRANSPORT, headers=zipped)
    yield Body("gzip", "not gzip at all", whole, TRANSPORT, headers=zipped)
    yield Body("gzip", "an unknown coding", whole, TRANSPORT, headers={"Content-Encoding": "x-secret"})


def bomb(filling: bytes, start: bytes = b"") -> bytes:
    """One GiB in about one MiB."""
    packer = zlib.compressobj(9, wbits=31)
    piece = filling * MEBIBYTE
    packed = [packer.compress(start), *(packer.compress(piece) for _ in range(GIBIBYTE // MEBIBYTE)), packer.flush()]
    return b"".join(packed)


def bad_text(patient: dict) -> Iterator[Body]:
    whole = json.dumps(patient, ensure_ascii=False)
    wrong = {
        "a stray byte": b"\xff",
        "a continuation alone": b"\x80",
        "overlong": b"\xc0\xaf",
        "a surrogate": b"\xed\xa0\x80",
        "beyond Unicode": b"\xf4\x90\x80\x80",
        "a sequence cut off": b"\xe2\x82",
    }
    for name, bad in wrong.items():
        for place in ("Ada", "family"):
            content = whole.encode().replace(place.encode(), place.encode() + bad, 1)
            yield Body("bad UTF-8", f"{name} after {place}", content, SYNTAX)
    yield Body("bad UTF-8", "UTF-16", whole.encode("utf-16"), SYNTAX)
    yield Body("bad UTF-8", "UTF-32", whole.encode("utf-32-le"), SYNTAX)
    yield Body("bad UTF-8", "ISO 8859-1", whole.replace("Ł", "L").replace("ś", "s").encode("latin-1"), SYNTAX)
    yield Body("bad UTF-8", "half a surrogate pair, escaped", whole.replace("Ada", "\\ud83d").encode(), SYNTAX)
    yield Body("bad UTF-8", "a byte order mark", b"\xef\xbb\xbf" + whole.encode(), SYNTAX)
    yield Body("bad UTF-8", "a byte order mark within", b" \xef\xbb\xbf" + whole.encode(), SYNTAX)
    yield Body("bad UTF-8", "a NUL", whole.replace("Ada", "A\0da").encode(), SYNTAX)


def not_json(patient: dict) -> Iterator[Body]:
    whole = json.dumps(patient)
    wrong = {
        "nothing": "",
        "spaces": "   \n ",
        "a comma at the end": whole[:-1] + ",}",
        "a comment": "/* a patient */" + whole,
        "single quotes": whole.replace('"', "'"),
        "a bare key": whole.replace('"active"', "active"),
        "NaN": whole.replace("true", "NaN"),
        "Infinity": whole.replace("true", "-Infinity"),
        "a leading zero": whole.replace("true", "007"),
        "a plus": whole.replace("true", "+1"),
        "a hexadecimal number": whole.replace("true", "0x1F"),
        "a number that ends in a point": whole.replace("true", "1."),
        "True": whole.replace("true", "True"),
        "two documents": whole + whole,
        "text after it": whole + " done",
        "a line break in a string": whole.replace("Ada", "A\nda"),
        "a tab in a string": whole.replace("Ada", "A\tda"),
        "a wrong escape": whole.replace("Ada", "A\\xda"),
        "no colon": whole.replace('"active":', '"active"'),
        "brackets that do not fit": whole[:-1] + "]",
    }
    for name, content in wrong.items():
        yield Body("not JSON", name, content.encode(), SYNTAX)


def xml() -> Iterator[Body]:
    text = '<Patient xmlns="http://hl7.org/fhir"><active value="true"/></Patient>'
    laughs = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><x>&b;</x>'
    outside = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>'
    for name, content in (("a Patient", text), ("entities of entities", laughs), ("an entity from outside", outside)):
        yield Body("XML", f"{name}, as XML", content.encode(), TRANSPORT, media="application/fhir+xml")
        yield Body("XML", f"{name}, called JSON", content.encode(), SYNTAX)


def wrong_media(patient: dict) -> Iterator[Body]:
    whole = json.dumps(patient).encode()
    several = "text/plain", "text/html", "application/xml", "application/octet-stream", "image/png", "nonsense"
    others = "multipart/form-data", "application/x-www-form-urlencoded", "application/fhir+turtle"
    for media in (*several, *others, "application/fhir+json; charset=utf-16"):
        yield Body("wrong content types", media, whole, TRANSPORT, media=media)


def wrong_resources(patient: dict, observation: dict) -> Iterator[Body]:
    """JSON that is no resource, or one that breaks a rule of R4."""

    def of(name: str, content, element: str | None = None, kind: str = "Patient", tells: str = ANY_ELEMENT) -> Body:
        return Body("rules of R4", name, json.dumps(content).encode(), ELEMENT if element else tells, element, kind)

    for name, content in (
        ("null", None),
        ("a number", 7),
        ("a string", "Patient"),
        ("an array", [patient]),
        ("true", True),
    ):
        yield of(name, content, tells=SYNTAX)
    yield of("an empty object", {})
    yield of("no resourceType", {"active": True})
    yield of("an unknown resourceType", patient | {"resourceType": "Paitent"})
    yield of("another resourceType", observation)
    yield of("a gender that is none", patient | {"gender": "F"}, "Patient.gender")
    yield of("a date that is none", patient | {"birthDate": "1969-02-29"}, "Patient.birthDate")
    yield of("a date with a time", patient | {"birthDate": "1968-02-29T00:00:00Z"}, "Patient.birthDate")
    yield of("an empty string", patient | {"language": ""}, "Patient.language")
    yield of("an empty array", patient | {"telecom": []}, "Patient.telecom")
    yield of("an empty element", patient | {"maritalStatus": {}}, "Patient.maritalStatus")
    yield of("null", patient | {"gender": None}, "Patient.gender")
    yield of("one where many may be", patient | {"name": patient["name"][0]}, "Patient.name")
    yield of("many where one may be", patient | {"gender": ["female"]}, "Patient.gender")
    both = patient | {"deceasedBoolean": True, "deceasedDateTime": "2026"}
    yield of("two of a choice", both, "Patient.deceased[x]")
    without = {name: value for name, value in observation.items() if name != "status"}
    yield of("what is required is missing", without, "Observation.status", "Observation")
    yield of("a status that is none", observation | {"status": "done"}, "Observation.status", "Observation")
    nobody = observation | {"subject": {"reference": "Patient/nobody"}}
    yield of("a patient who is not there", nobody, "Observation.subject", "Observation")
    yield of("a contact without anything", patient | {"contact": [{"gender": 1}]}, "Patient.contact[0].gender")
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [{"resource": patient}]}
    yield of("a transaction without requests", bundle, "Bundle.entry[0].request", kind="")
    yield of("a Bundle of a type that is none", bundle | {"type": "everything"}, "Bundle.type", kind="")


def narratives(patient: dict) -> Iterator[Body]:
    inner = {
        "a script": "<script>alert(1)</script>",
        "a script in SVG": "<svg><script>alert(1)</script></svg>",
        "an event": "<p onclick='alert(1)'>x</p>",
        "an image that fails": "<img src='x' onerror='alert(1)'/>",
        "a javascript link": "<a href='javascript:alert(1)'>x</a>",
        "a javascript link, disguised": "<a href='jav&#x09;ascript:alert(1)'>x</a>",
        "a data link": "<a href='data:text/html,&lt;script&gt;alert(1)&lt;/script&gt;'>x</a>",
        "a frame": "<iframe src='https://elsewhere.example'></iframe>",
        "an object": "<object data='https://elsewhere.example'></object>",
        "a form": "<form action='https://elsewhere.example'><input name='x'/></form>",
        "a style from outside": "<link rel='stylesheet' href='https://elsewhere.example'/>",
        "a style": "<style>@import 'https://elsewhere.example'</style>",
        "a base": "<base href='https://elsewhere.example'/>",
        "a refresh": "<meta http-equiv='refresh' content='0;url=https://elsewhere.example'/>",
    }
    for name, content in inner.items():
        div = f'<div xmlns="http://www.w3.org/1999/xhtml">{content}</div>'
        body = json.dumps(patient | {"text": {"status": "generated", "div": div}}).encode()
        yield Body("scripts in narratives", name, body, NARRATIVE, "Patient.text.div")


def elements(value, path: tuple = ()) -> Iterator[tuple]:
    """Paths of all elements below a resource."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        if key == "resourceType":
            continue
        yield (*path, key)
        yield from elements(inner, (*path, key))


def holder_of(resource: dict, path: tuple) -> tuple:
    holder = resource
    for step in path[:-1]:
        holder = holder[step]
    return holder, path[-1]


def written(kind: str, path: tuple) -> str:
    """A path as FHIRPath writes it."""
    return kind + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
