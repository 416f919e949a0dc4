#!/usr/bin/env bash
# The second implementation, in Python (interop/): checks every vector of spec/vectors, then plays a hospital against a
# freshly started `sealwort demo`. Usage: scripts/interop.sh [PROGRAM]; without it $SEALWORT, else the release or the
# debug program under the target folder. Every wait has a limit. The exit code is 0 when all passed.
set -euo pipefail
cd "$(dirname "$0")/.."

. scripts/common.sh

find_program "${1:-}"
find_python "$target/interop-venv" interop/requirements.txt interop/

failed=()

say "the vectors of spec/vectors, and the primitives"
(cd interop && timeout 600 "$run" -m pytest -q --no-header) || failed+=("the vectors")

say "a Python hospital among the real services: $program"
(cd interop && timeout 300 "$run" -m sealwort_interop.live "$program") || failed+=("the live run")

if ((${#failed[@]})); then
    loud "interop: FAILED: ${failed[*]}"
    exit 1
fi
say "interop: all passed"
