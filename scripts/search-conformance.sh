#!/usr/bin/env bash
# The search conformance table: interop/search computes by itself what FHIR R4 search must find in published records,
# and the gateway's search engine is held against it.
#   scripts/search-conformance.sh [PROGRAM]                               the example `search` of crates/fhir
#   scripts/search-conformance.sh --url BASE --token T --patient ID       a FHIR server over HTTP, over what it stores
# Without PROGRAM the example is built (cargo build --release --example search). Further arguments as `--limit 20000`
# go on to interop/search/run.mjs. The exit code is 0 when nothing differs but what disagreements.json lists.
set -euo pipefail
cd "$(dirname "$0")/.."

. scripts/common.sh

open=${SEALWORT_OPEN_DATA:-../shared/data/open}
work=$target/search-conformance
oracle=interop/search

if ! command -v npm >/dev/null || ! node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)'; then
    loud "SKIPPED: the search conformance table needs Node 20 or newer with npm; nothing of interop/search was run"
    exit 0
fi
if [[ ! -d $open && " $* " != *" --url "* ]]; then
    loud "SKIPPED: no published records at $open (set SEALWORT_OPEN_DATA); no search was compared"
    exit 0
fi

# Packages are installed beside the other build products, once for each lock file.
mkdir -p "$work"
work=$(realpath "$work")
wanted=$(sha256sum < "$oracle/package-lock.json")
if [[ $(cat "$work/wanted" 2>/dev/null) != "$wanted" ]]; then
    say "Node packages, pinned by hash"
    rm -rf "$work/oracle"
    mkdir -p "$work/oracle"
    cp "$oracle/package.json" "$oracle/package-lock.json" "$work/oracle/"
    (cd "$work/oracle" && timeout 600 npm ci --silent --no-audit --no-fund --ignore-scripts >&2)
    printf '%s\n' "$wanted" > "$work/wanted"
fi
rm -rf "$work"/oracle/{src,test,run.mjs,disagreements.json}
cp -r "$oracle"/{src,test,run.mjs,disagreements.json} "$work/oracle/"

say "the oracle's own tests"
(cd "$work/oracle" && timeout 300 node --test --test-reporter=dot test/ >&2)

engine=("$@")
if [[ " $* " != *" --url "* ]]; then
    if (($# > 0)) && [[ $1 != --* ]]; then
        engine=(--program "$(realpath "$1")" "${@:2}")
    else
        say "the example search of crates/fhir"
        cargo build --quiet --release --package sealwort-fhir --example search
        engine=(--program "$(realpath "$target/release/examples/search")" "$@")
    fi
    # Two sources are archives: some of their files are enough.
    for pair in mimic:fhir-mimic-iv-demo-ODbL synthea:fhir-100-synthea-v2.5; do
        folder=$work/unpacked/${pair%%:*}
        archive=$open/${pair#*:}.tar.zst
        if [[ ! -d $folder && -f $archive ]] && command -v zstd >/dev/null; then
            mkdir -p "$folder.part"
            tar --use-compress-program='zstd -d --long=27' -xf "$archive" -C "$folder.part"
            mv "$folder.part" "$folder"
        fi
    done
fi

say "searching"
timeout 900 node "$work/oracle/run.mjs" --open "$open" --unpacked "$work/unpacked" --out "$work/cases" "${engine[@]}"
