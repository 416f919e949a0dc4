#!/usr/bin/env bash
# Checks the findings of a demo: scripts/check-demo.sh FILE, where FILE is what `sealwort demo --once --json` printed.
set -euo pipefail

file=${1:?usage: scripts/check-demo.sh FILE}
missing=0

# Each finding, with the value that it must have, anywhere in the object.
while read -r field value; do
    if grep -qE "\"$field\"[[:space:]]*:[[:space:]]*$value[[:space:]]*([,}]|\$)" "$file"; then
        printf '   %-28s %s\n' "$field" "$value" >&2
    else
        printf '!! %-28s is not %s\n' "$field" "$value" >&2
        missing=1
    fi
done <<'FINDINGS'
read_equals_written true
denied_before_consent true
denied_after_withdrawal true
plaintext_found 0
FINDINGS

if ((missing)); then
    printf '!! the demo printed:\n' >&2
    head -c 4000 "$file" >&2
    exit 1
fi
