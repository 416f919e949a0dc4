"""Runs the models with ProVerif, keeps its output, and compares its answers with `expected.tsv`.

`variants.tsv` says which runs there are: a model with a set of flags; several rows may belong to one variant.
Queries have no names in ProVerif's language, so each stands below a comment `(* query: name *)`, and ProVerif answers in
the order of the file. A query without a name, a name without an expectation, an expectation without a query and a
different answer are all failures. `python3 check.py --files` checks names, expectations and the hashes of the results
on file, and proves nothing.
"""

import csv
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
from preprocess import preprocess  # noqa: E402

HERE = Path(__file__).resolve().parent
NAME = re.compile(r"\(\* query: ([A-Za-z0-9-]+) \*\)")
QUERY = re.compile(r"^\s*query\b", re.MULTILINE)
RESULT = re.compile(r"^RESULT (?!\(but )(.*) (is true|is false|cannot be proved)\.$", re.MULTILINE)
TRACE_LINES_MAX = 200
LINE_CHARACTERS_MAX = 1000
SUMMARY = ["property", "model", "variant", "query", "expected", "result", "seconds", "model_sha256"]


def rows(name):
    """The rows of a tab-separated file; the first line that is no comment is the head."""
    with open(HERE / name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader((line for line in file if not line.startswith("#")), delimiter="\t"))


def source(model):
    """The text of a model."""
    return (HERE / "models" / f"{model}.pvm").read_text(encoding="utf-8")


def names(text, where):
    """The names of the queries, in order. Between two names there is exactly one query."""
    pieces = NAME.split(text)
    if len(QUERY.findall(strip(pieces[0]))) != 0:
        sys.exit(f"{where}: a query has no name")
    for name, piece in zip(pieces[1::2], pieces[2::2]):
        if len(QUERY.findall(strip(piece))) != 1:
            sys.exit(f"{where}: below the name {name} there must be one query")
    return pieces[1::2]


def strip(text):
    """A text without its comments."""
    return re.sub(r"\(\*.*?\*\)", "", text, flags=re.DOTALL)


def plan():
    """Runs by (model, variant): a list of flags and query names for each run."""
    runs = {}
    for row in rows("variants.tsv"):
        flags = row["flags"].split()
        text = preprocess(source(row["model"]), flags)
        where = f"{row['model']} {row['variant']} ({row['flags']})"
        runs.setdefault((row["model"], row["variant"]), []).append((flags, text, names(text, where)))
    return runs


def expectations(runs):
    """Expected answers by (model, variant, query), after a check that they and the queries are the same set."""
    expected = {}
    for row in rows("expected.tsv"):
        place = (row["model"], row["variant"], row["query"])
        if place in expected:
            sys.exit(f"expected.tsv: {'/'.join(place)} stands there twice")
        if row["expected"] not in ("true", "false", "reachable"):
            sys.exit(f"expected.tsv: {'/'.join(place)} expects {row['expected']!r}")
        expected[place] = row
    asked = [(*variant, name) for variant, parts in runs.items() for _, _, found in parts for name in found]
    for place in asked:
        if asked.count(place) > 1:
            sys.exit(f"{'/'.join(place)} is asked twice")
    for place in sorted(set(asked) - set(expected)):
        sys.exit(f"{'/'.join(place)} has no line in expected.tsv")
    for place in sorted(set(expected) - set(asked)):
        sys.exit(f"expected.tsv: no run asks {'/'.join(place)}")
    return expected


def prove(text, name):
    """ProVerif's output and the time it took, in seconds of CPU."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.pv"
        path.write_text(text, encoding="utf-8")
        before = os.times()
        run = subprocess.run(["proverif", path.name], cwd=folder, capture_output=True, text=True, check=False)
        after = os.times()
    if run.returncode != 0:
        sys.exit(f"proverif ended with {run.returncode} on {name}:\n{run.stdout[-2000:]}{run.stderr[-2000:]}")
    return run.stdout, after.children_user + after.children_system - before.children_user - before.children_system


def version():
    """The first line of ProVerif's help."""
    run = subprocess.run(["proverif", "-help"], capture_output=True, text=True, check=False)
    return run.stdout.splitlines()[0].strip()


def answers(output):
    """ProVerif's answers in order: true, false or unproved."""
    words = {"is true": "true", "is false": "false", "cannot be proved": "unproved"}
    return [words[word] for _, word in RESULT.findall(output)]


def kept(output):
    """What is kept of the output: for each query its name, the attack's trace and the answer."""
    short, count, inside = [], 0, False
    for line in output[max(output.find("-- Query"), 0) :].splitlines():
        if line.startswith(("RESULT", "Starting query", "Verification summary")):
            inside, count = False, 0
        elif line.startswith("A more detailed output of the traces"):
            inside, count = True, 0
            continue
        elif not inside or line.startswith("-- Query"):
            continue
        count += 1
        if count <= TRACE_LINES_MAX:
            short.append(line.rstrip() if len(line) <= LINE_CHARACTERS_MAX else line[:LINE_CHARACTERS_MAX] + " [… cut]")
        elif count == TRACE_LINES_MAX + 1:
            short.append("[… the rest of the trace is left out]")
    return "\n".join(short) + "\n"


def run_variant(model, variant, parts, expected):
    """Proves one variant, writes its file, and gives its lines of the summary and whether all is as expected."""
    digest = hashlib.sha256(source(model).encode()).hexdigest()
    text = [
        f"model:    models/{model}.pvm",
        f"sha256:   {digest}",
        f"prover:   {version()}",
        f"date:     {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}",
        "Of ProVerif's output the queries, the traces of attacks (and of steps reached) and the answers are kept; the",
        f"process, clauses and derivations are left out, and what is beyond {TRACE_LINES_MAX} lines of a trace or",
        f"{LINE_CHARACTERS_MAX} characters of a line.",
    ]
    lines, good = [], True
    for number, (flags, program, found) in enumerate(parts, 1):
        name = f"{model}-{variant}" + (f"-{number}" if len(parts) > 1 else "")
        output, seconds = prove(program, name)
        results = answers(output)
        if len(results) != len(found):
            sys.exit(f"{name}: {len(found)} queries, {len(results)} answers")
        text += ["", f"command:  python3 preprocess.py models/{model}.pvm {' '.join(flags)} > {name}.pv; proverif {name}.pv"]
        text += [f"seconds:  {seconds:.1f} (CPU)", "", kept(output)]
        for query, result in zip(found, results):
            row = expected[(model, variant, query)]
            if row["expected"] == "reachable":
                result = {"false": "reachable", "true": "unreachable"}.get(result, result)
            fits = result == row["expected"]
            good &= fits
            print(f"{'ok  ' if fits else 'FAIL'} {model}/{variant}/{query}: {result}, expected {row['expected']} ({seconds:.1f} s)", flush=True)
            lines.append([row["property"], model, variant, query, row["expected"], result, f"{seconds:.1f}", digest])
    replace(HERE / "results" / f"{model}-{variant}.txt", "\n".join(text))
    return lines, good


def replace(path, text):
    """Writes a file so that a reader finds the old one or the new one."""
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def write_summary(lines):
    """Puts new lines into the summary, beside those of other variants."""
    path = HERE / "results" / "summary.tsv"
    fresh = {(line[1], line[2]) for line in lines}
    old = [[row[cell] for cell in SUMMARY] for row in rows("results/summary.tsv")] if path.exists() else []
    order = list(plan())
    every = [line for line in old if (line[1], line[2]) not in fresh and (line[1], line[2]) in order] + lines
    every.sort(key=lambda line: order.index((line[1], line[2])))
    head = "# What ProVerif answered, written by proof/check.sh. `true` is proved, `false` an attack, `reachable` a step that can be reached.\n"
    replace(path, head + "\n".join("\t".join(line) for line in [SUMMARY, *every]) + "\n")


def check_files(expected):
    """Fails unless the results on file are of these models, for every query, and as expected."""
    path = HERE / "results" / "summary.tsv"
    on_file = {(r["model"], r["variant"], r["query"]): r for r in rows("results/summary.tsv")} if path.exists() else {}
    stale = []
    for place, row in expected.items():
        found = on_file.get(place)
        digest = hashlib.sha256(source(place[0]).encode()).hexdigest()
        if found is None or found["model_sha256"] != digest or found["result"] != row["expected"]:
            stale.append("/".join(place))
    if stale:
        sys.exit(f"{len(stale)} results on file are missing, of another model or not as expected, the first: {stale[0]}")
    print(f"{len(expected)} queries have names and expectations, and the results on file are of these models and fit them")


def main(arguments):
    """Runs all, one model or one variant."""
    runs = plan()
    expected = expectations(runs)
    if arguments == ["--files"]:
        check_files(expected)
        return
    wanted = {v: p for v, p in runs.items() if list(v[: len(arguments)]) == arguments}
    if not wanted:
        sys.exit(f"no such model or variant: {' '.join(arguments)}")
    begun, good = time.monotonic(), True
    for (model, variant), parts in wanted.items():
        lines, fits = run_variant(model, variant, parts, expected)
        write_summary(lines)
        good &= fits
    print(f"{'all as expected' if good else 'NOT AS EXPECTED'} in {time.monotonic() - begun:.0f} s")
    if not good:
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
