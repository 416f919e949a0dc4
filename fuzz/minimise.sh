#!/bin/sh
# Minimises the corpora as `cargo fuzz cmin` does, by edges without their counts, so that few files are left, and keeps
# every regression: fuzz/minimise.sh [TARGET…]
# Inputs longer than MAX_LEN bytes (4000 unless set) are left out, so that all corpora together stay below 1.5 MB.
set -eu

cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- handshake transmission channel record statements messages certificates fhir configuration
for target in "$@"; do
    kept=$(mktemp -d)
    nice -n 19 "target/x86_64-unknown-linux-gnu/release/$target" -merge=1 -use_counters=0 -max_len="${MAX_LEN:-4000}" \
        -rss_limit_mb=1024 "$kept" "corpus/$target" >/dev/null 2>&1
    find "corpus/$target" -name 'regression-*' -exec cp {} "$kept" \;
    before=$(find "corpus/$target" -type f | wc -l)
    rm -rf "corpus/$target"
    mv "$kept" "corpus/$target"
    chmod 755 "corpus/$target"
    echo "$target: $before inputs, $(find "corpus/$target" -type f | wc -l) kept," \
        "$(find "corpus/$target" -type f -exec cat {} + | wc -c) bytes"
done
