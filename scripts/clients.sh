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

find_node

say "public clients against $program"
export SEALWORT_CLIENTS_NODE
SEALWORT_CLIENTS_NODE=$(realpath "$node")
cd "$clients"
if ! timeout 1800 "$run" -m sealwort_clients.run "$program" "$@"; then
    loud "clients: FAILED"
    exit 1
fi
say "clients: all passed"
