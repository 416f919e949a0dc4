#!/usr/bin/env bash
# Installs what the tests need, then runs all of them: style, lints, tests, documentation tests, and the demo with
# its findings checked. One build serves them all. Ends with the tests' summary.
set -euo pipefail
cd "$(dirname "$0")/.."

. scripts/common.sh

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

scripts/install.sh

say "style: cargo fmt --check"
cargo fmt --all --check

say "lints: cargo clippy"
cargo clippy --workspace --all-targets --profile ci -- -D warnings

if cargo deny --version >/dev/null 2>&1; then
    say "dependencies: cargo deny"
    cargo deny --all-features --log-level error check bans licenses sources
    # The database of advisories comes from the network; an advisory fails the run, a missing network does not.
    if cargo deny fetch db; then
        cargo deny --all-features --offline check advisories
    else
        loud "WARNING: the database of advisories could not be fetched: dependencies were not held against it"
    fi
else
    loud "cargo deny is NOT INSTALLED: advisories, bans and sources of dependencies are not checked in this run (licences are, by crates/rules). Install it with: cargo install cargo-deny --locked"
fi

say "the build, one for tests and demo"
cargo build --workspace --bins --tests --profile ci
cargo build --package sealwort-fhir --example search --profile ci

if cargo nextest --version >/dev/null 2>&1; then
    say "tests: cargo nextest"
    failed=0
    cargo nextest run --workspace --cargo-profile ci --profile ci 2> >(tee "$scratch/tests" >&2) || failed=$?
    # The copy of the output is complete once tee has ended.
    wait
    if ((failed)); then
        exit "$failed"
    fi
    report=$target/nextest/ci/junit.xml
else
    loud "cargo nextest is NOT INSTALLED: running plain cargo test"
    cargo test --workspace --profile ci --lib --bins --tests -- --nocapture 2>&1 | tee "$scratch/tests"
    report=$scratch/tests
fi

# Tests that could not find their data pass and say so; they must not go unnoticed.
if grep -hoE '(SKIPPED|WARNING): [^<]*' "$report" | sort -u > "$scratch/notes" && [[ -s $scratch/notes ]]; then
    loud "said by tests that passed:"
    cat "$scratch/notes" >&2
fi

say "end-to-end tests once more, with broker and archive on PostgreSQL and S3"
if compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null && command -v radosgw >/dev/null; then
    SEALWORT_TEST_STORAGE=postgresql cargo test --workspace --profile ci --test consents --test bundles --test face \
        --test processes -- --test-threads 1
else
    loud "SKIPPED: PostgreSQL or Ceph is not here; the exchange was not run on them"
fi

if grep -rqE '^ *//[/!] ```' crates bench --include='*.rs'; then
    say "documentation tests"
    cargo test --workspace --profile ci --doc --quiet
fi

# The demo's binary is the one that the tests were built with; `cargo run` would build the asynchronous runtime again
# with fewer features. That it compiles with those as well is checked, which costs no code generation.
say "the program without the tests' features: cargo check"
cargo check --profile ci --locked

say "the demo: sealwort demo --once --json"
"$target/ci/sealwort" demo --once --json > "$scratch/demo.json"
scripts/check-demo.sh "$scratch/demo.json"

say "the second implementation: vectors, and a hospital in Python against a running demo"
scripts/interop.sh "$target/ci/sealwort"

say "public FHIR clients against a running demo"
scripts/clients.sh "$target/ci/sealwort"

say "searches, compared with an independent engine"
scripts/search-conformance.sh "$target/ci/examples/search"

say "the proofs: compared where ProVerif is installed"
proof/check.sh

say "all passed"
grep -E '^ *(Summary|test result:)' "$scratch/tests" || loud "the tests printed no summary"
