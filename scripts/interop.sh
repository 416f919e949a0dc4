#!/usr/bin/env bash
# The second implementation, in Python (interop/): checks every vector of spec/vectors, then plays a hospital against a
# freshly started `sealwort demo`. Usage: scripts/interop.sh [PROGRAM]; without it $SEALWORT, else the release or the
# debug program under the target folder. Every wait has a limit. The exit code is 0 when all passed.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n== %s (%ss)\n' "$*" "$SECONDS" >&2; }
loud() { printf '\n!! %s\n' "$*" >&2; }

target=${CARGO_TARGET_DIR:-target}
environment=$target/interop-venv
requirements=interop/requirements.txt
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
    loud "no sealwort program: build it (cargo build --release), or name it: scripts/interop.sh PROGRAM"
    exit 1
fi
program=$(realpath "$program")

python=
for each in python3 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$each" >/dev/null && "$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        python=$each
        break
    fi
done
if [[ -z $python ]]; then
    loud "SKIPPED: the second implementation needs Python 3.11 or newer; nothing of interop/ was run"
    exit 0
fi
if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    loud "SKIPPED: $python has no venv or pip (Debian: apt-get install python3-venv); nothing of interop/ was run"
    exit 0
fi

# The environment is made once for each list of requirements.
wanted=$("$python" -VV; sha256sum < "$requirements")
if [[ $(cat "$environment/wanted" 2>/dev/null) != "$wanted" ]]; then
    say "Python packages, pinned by hash"
    rm -rf "$environment"
    "$python" -m venv "$environment"
    timeout 600 "$environment/bin/python" -m pip install --quiet --prefer-binary --require-hashes -r "$requirements" >&2
    printf '%s\n' "$wanted" > "$environment/wanted"
fi
run=$(realpath "$environment")/bin/python

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
