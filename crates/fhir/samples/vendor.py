#!/usr/bin/env python3
"""Makes the sample Bundles of this folder from the two npm packages they come from.

Needs python3 and npm. Fetches the packages by name and version into a temporary folder, takes the
International Patient Summary Bundles as they are, and puts patients of the FHIR R4 examples, each
with the resources of the patient's compartment and the shared resources those refer to, into one
collection Bundle; the bytes of every resource stay as they are in the package.

    python3 vendor.py            write the folder anew
    python3 vendor.py --check    say whether the folder is what the packages give
"""

import json
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile

IPS = "hl7.fhir.uv.ips@2.0.0"
EXAMPLES = "hl7.fhir.r4.examples@4.0.1"
# The patients of the examples that have an identifier and to whom the most resources refer.
PATIENTS = ["example", "pat1", "f001", "f201", "pat2", "xcda", "dicom", "mom"]
# In no compartment: taken along when a patient's resource refers to them.
SHARED = {
    "Device", "Endpoint", "HealthcareService", "Location", "Medication", "Organization",
    "Practitioner", "PractitionerRole", "Substance",
}
# Examples that refer to a resource of a type that R4 does not allow there: a gateway refuses them.
FAULTY = {"DeviceUseStatement/example", "Observation/clinical-gender", "MedicationRequest/medrx0301"}
# What a gateway writes itself: its audit log as FHIR shows it.
OWN = {"AuditEvent"}
TOTAL_BYTES_MAX = 2_000_000
HERE = pathlib.Path(__file__).resolve().parent


def unpack(package, folder):
    """Fetches a package and returns the folder of its files."""
    packed = subprocess.run(
        ["npm", "pack", "--silent", package], cwd=folder, check=True, capture_output=True, text=True
    )
    name = packed.stdout.strip().splitlines()[-1]
    target = folder / name.removesuffix(".tgz")
    with tarfile.open(folder / name) as archive:
        archive.extractall(target, filter="data")
    return target / "package"


def compartment(package):
    """The elements of each type that put a resource into the Patient compartment."""
    expressions = {}
    for file in sorted(package.glob("SearchParameter-*.json")):
        parameter = json.loads(file.read_bytes())
        for base in parameter.get("base", []):
            found = [e.strip() for e in parameter.get("expression", "").split("|")]
            own = [e for e in found if e.startswith(base + ".")]
            expressions.setdefault((base, parameter["code"]), []).extend(own)
    elements = {}
    definition = json.loads((package / "CompartmentDefinition-patient.json").read_bytes())
    for resource in definition["resource"]:
        for code in resource.get("param", []):
            for expression in expressions.get((resource["code"], code), []):
                path = re.sub(r"\.where\(.*", "", expression).split(".")[1:]
                elements.setdefault(resource["code"], set()).add(tuple(path))
    elements.pop("Patient")
    return elements


def values(node, path):
    """The values at an element path, through lists."""
    if isinstance(node, list):
        for one in node:
            yield from values(one, path)
    elif not path:
        yield node
    elif isinstance(node, dict) and path[0] in node:
        yield from values(node[path[0]], path[1:])


def references(node):
    """Every reference string in a resource."""
    if isinstance(node, list):
        for one in node:
            yield from references(one)
    elif isinstance(node, dict):
        for name, value in node.items():
            if name == "reference" and isinstance(value, str):
                yield value
            else:
                yield from references(value)


def collections(package):
    """One collection Bundle for each of PATIENTS: file name and bytes."""
    elements = compartment(package)
    resources, by_patient = {}, {}
    for file in sorted(package.glob("*.json")):
        content = file.read_bytes()
        resource = json.loads(content)
        kind, identity = resource.get("resourceType"), resource.get("id")
        if not identity or not (kind in elements or kind in SHARED or kind == "Patient"):
            continue
        name = f"{kind}/{identity}"
        if name in FAULTY or kind in OWN:
            continue
        resources[name] = (content.strip(), resource)
        for path in elements.get(kind, ()):
            for value in values(resource, path):
                target = value.get("reference") if isinstance(value, dict) else None
                if target:
                    by_patient.setdefault(target.split("/_history/")[0], set()).add(name)
    for patient in PATIENTS:
        root = f"Patient/{patient}"
        chosen = [root, *sorted(by_patient.get(root, ()))]
        queue = list(chosen)
        while queue:
            for target in references(resources[queue.pop()][1]):
                if target in resources and target not in chosen and target.split("/")[0] in SHARED:
                    chosen.append(target)
                    queue.append(target)
        entries = [
            b'{"fullUrl":"http://hl7.org/fhir/%s","resource":%s}' % (name.encode(), resources[name][0])
            for name in chosen
        ]
        head = b'{"resourceType":"Bundle","id":"r4-patient-%s","type":"collection","entry":[\n' % patient.encode()
        yield f"r4-patient-{patient}.json", head + b",\n".join(entries) + b"\n]}\n"


def summaries(package):
    """The International Patient Summary Bundles: file name and bytes."""
    for file in sorted((package / "example").glob("Bundle-*.json")):
        name = file.name.removeprefix("Bundle-").removeprefix("bundle-").lower()
        name = name.removeprefix("ips-examples-bundle-").removeprefix("ips-")
        yield f"ips-{name}", file.read_bytes()


def main():
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        made = dict(summaries(unpack(IPS, folder)))
        made.update(collections(unpack(EXAMPLES, folder)))
    total = sum(len(content) for content in made.values())
    if total > TOTAL_BYTES_MAX:
        sys.exit(f"the samples have {total} bytes, more than {TOTAL_BYTES_MAX}")
    present = {file.name: file.read_bytes() for file in HERE.glob("*.json")}
    if "--check" in sys.argv[1:]:
        differing = sorted(name for name in made.keys() | present.keys() if made.get(name) != present.get(name))
        sys.exit(f"differing: {', '.join(differing)}" if differing else 0)
    for name in present.keys() - made.keys():
        (HERE / name).unlink()
    for name, content in made.items():
        (HERE / name).write_bytes(content)
        print(f"{name}\t{len(content)} bytes")
    print(f"total\t{total} bytes")


if __name__ == "__main__":
    main()
