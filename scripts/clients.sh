#!/usr/bin/env bash
# Public clients, unmodified (interop/clients/): FHIR, SMART, HL7 v2 and MQTT against a freshly started `sealwort demo`.
# Usage: scripts/clients.sh [PROGRAM [PART…]]; without it $SEALWORT, else the release or the debug program under the
# target folder. Every wait has a limit. Ends with counts; the exit code is 0 when nothing failed.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n== %s (%ss)\n' "$*" "$SECONDS" >&2; }
loud() { printf '\n!! %s\n' "$*" >&2; }

target=${CARGO_TARGET_DIR:-target}
environment=$target/clients-venv
clients=interop/clients
requirements=$clients/requirements.txt
export PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1

program=${1:-${SEALWORT:-}}
if [[ -z $program ]]; then
    for each in "$target/release/sealwort" "$target/debug/sealwort"; do
        if [[ -x $each ]]; then
            program=$each
            break
        fi
    done
fi
if [[ ! -x $program ]]; then
    loud "no sealwort program: build it (cargo build --release), or name it: scripts/clients.sh PROGRAM"
    exit 1
fi
program=$(realpath "$program")
shift || true

python=
for each in python3 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$each" >/dev/null && "$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        python=$each
        break
    fi
done
if [[ -z $python ]] || ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    loud "SKIPPED: the public clients need Python 3.11 or newer with venv (Debian: apt-get install python3-venv); nothing of $clients was run"
    exit 0
fi

# The environment is made once for each list of requirements.
mkdir -p "$target"
wanted=$("$python" -VV; sha256sum < "$requirements")
if [[ $(cat "$environment/wanted" 2>/dev/null) != "$wanted" ]]; then
    say "Python packages, pinned by hash"
    rm -rf "$environment"
    "$python" -m venv "$environment"
    timeout 600 "$environment/bin/python" -m pip install --quiet --prefer-binary --require-hashes -r "$requirements" >&2
    printf '%s\n' "$wanted" > "$environment/wanted"
fi
run=$(realpath "$environment")/bin/python

# Node's packages are looked for beside the scripts that import them, so the scripts are copied to where the packages
# are installed, under the target folder.
node=$target/clients-node
mkdir -p "$node"
cp "$clients"/node/*.mjs "$clients"/node/package.json "$clients"/node/package-lock.json "$node"
fit="const [a, b] = process.versions.node.split('.').map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)"
if ! command -v npm >/dev/null || ! node -e "$fit"; then
    loud "SKIPPED: the clients for Node need Node 20.19 or newer with npm; the others run"
    rm -rf "$node/node_modules"
else
    wanted=$(node --version; sha256sum < "$node/package-lock.json")
    if [[ ! -d $node/node_modules || $(cat "$node/wanted" 2>/dev/null) != "$wanted" ]]; then
        say "npm packages, pinned by package-lock.json"
        (cd "$node" && timeout 600 npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
        printf '%s\n' "$wanted" > "$node/wanted"
    fi
fi

say "public clients against $program"
export SEALWORT_CLIENTS_NODE
SEALWORT_CLIENTS_NODE=$(realpath "$node")
cd "$clients"
if ! timeout 1800 "$run" -m sealwort_clients.run "$program" "$@"; then
    loud "clients: FAILED"
    exit 1
fi
say "clients: all passed"
