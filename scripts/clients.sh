#!/usr/bin/env bash
# Public clients, unmodified (interop/clients/): FHIR, SMART, HL7 v2 and MQTT against a freshly started `sealwort demo`.
# Usage: scripts/clients.sh [PROGRAM [PART…]]; without it $SEALWORT, else the release or the debug program under the
# target folder. Every wait has a limit. Ends with counts; the exit code is 0 when nothing failed.
set -euo pipefail
cd "$(dirname "$0")/.."

. scripts/common.sh

clients=interop/clients
find_program "${1:-}"
shift || true
mkdir -p "$target"
find_python "$target/clients-venv" $clients/requirements.txt $clients

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
