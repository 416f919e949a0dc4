#!/bin/sh
# Runs fuzz targets one after the other: fuzz/run.sh SECONDS [TARGET…]
# A log per target goes to fuzz/logs, a line per run to fuzz/runs.tsv: end of the run (UTC), commit, compiler, target,
# seconds, executions, edges covered, inputs and bytes of the corpus, findings.
set -eu

cd "$(dirname "$0")"
if [ $# -eq 0 ]; then
    echo "usage: $0 SECONDS [TARGET…]" >&2
    exit 2
fi
seconds=$1
shift
[ $# -gt 0 ] || set -- handshake transmission channel record statements messages certificates fhir configuration

mkdir -p logs
# The code is safe Rust (`unsafe_code = forbid`), so no sanitizer; overflow checks and debug assertions are on.
nice -n 19 cargo +nightly fuzz build --sanitizer none
compiler=$(rustc +nightly --version | cut -d ' ' -f 2-)
commit=$(git rev-parse --short HEAD)
git diff --quiet HEAD -- ../crates || commit="$commit+"

failed=0
for target in "$@"; do
    log=logs/$target.log
    corpus=corpus/$target
    mkdir -p "$corpus" "artifacts/$target"
    before=$(find "artifacts/$target" -type f | wc -l)
    begun=$(date +%s)
    # The corpus folder takes new inputs; minimise it afterwards (README).
    nice -n 19 "target/x86_64-unknown-linux-gnu/release/$target" "$corpus" \
        -artifact_prefix="artifacts/$target/" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=1024 \
        -max_len=20000 -print_final_stats=1 >"$log" 2>&1 || failed=1
    took=$(($(date +%s) - begun))
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    edges=$(sed -n 's/.* cov: \([0-9]*\).*/\1/p' "$log" | tail -n 1)
    inputs=$(find "$corpus" -type f | wc -l)
    bytes=$(find "$corpus" -type f -exec cat {} + | wc -c)
    findings=$(($(find "artifacts/$target" -type f | wc -l) - before))
    printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$(date -u +%FT%TZ)" "$commit" "$compiler" "$target" "$took" \
        "${executions:-?}" "${edges:-?}" "$inputs" "$bytes" "$findings" | tee -a runs.tsv
done
exit $failed
