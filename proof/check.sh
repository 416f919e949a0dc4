#!/usr/bin/env bash
# Proves the models of this folder with ProVerif and compares what it says with `expected.tsv`.
# Usage: proof/check.sh [--require] [MODEL [VARIANT]]
# Without ProVerif on the path nothing is proved: that is said in a line that begins with WARNING:, and with --require
# it is a failure.
set -euo pipefail
cd "$(dirname "$0")"

require=no
if [[ "${1:-}" == --require ]]; then
  require=yes
  shift
fi
if ! command -v proverif > /dev/null; then
  python3 check.py --files
  echo "WARNING: proverif is not on the path, so NO MODEL WAS PROVED NOW; proof/results/ holds earlier answers"
  [[ "$require" == no ]] && exit 0
  exit 1
fi
exec python3 check.py "$@"
