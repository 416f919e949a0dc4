# What scripts share. Sourced, after the working directory is the project's.

say() { printf '\n== %s (%ss)\n' "$*" "$SECONDS" >&2; }
loud() { printf '\n!! %s\n' "$*" >&2; }

target=${CARGO_TARGET_DIR:-target}

# The program to run against, in $program: the one named, else $SEALWORT, else a build: release, of the tests, or debug.
find_program() {
    program=${1:-${SEALWORT:-}}
    if [[ -z $program ]]; then
        for each in "$target/release/sealwort" "$target/ci/sealwort" "$target/debug/sealwort"; do
            if [[ -x $each ]]; then
                program=$each
                break
            fi
        done
    fi
    if [[ ! -x $program ]]; then
        loud "no sealwort program: build it (cargo build --release), or name it: $0 PROGRAM"
        exit 1
    fi
    program=$(realpath "$program")
}

# A Python with the packages of REQUIREMENTS, pinned by hash, in $run; ENVIRONMENT is made once for each list. Ends the
# script, saying what was not run, where Python is missing.
#   find_python ENVIRONMENT REQUIREMENTS WHAT
find_python() {
    local environment=$1 requirements=$2 python= each wanted
    export PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1
    for each in python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$each" >/dev/null && "$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            python=$each
            break
        fi
    done
    if [[ -z $python ]] || ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
        loud "SKIPPED: Python 3.11 or newer with venv is needed (Debian: apt-get install python3-venv); nothing of $3 was run"
        exit 0
    fi
    wanted=$("$python" -VV; sha256sum < "$requirements")
    if [[ $(cat "$environment/wanted" 2>/dev/null) != "$wanted" ]]; then
        say "Python packages, pinned by hash"
        rm -rf "$environment"
        "$python" -m venv "$environment"
        timeout 600 "$environment/bin/python" -m pip install --quiet --prefer-binary --require-hashes -r "$requirements" >&2
        printf '%s\n' "$wanted" > "$environment/wanted"
    fi
    run=$(realpath "$environment")/bin/python
}

# The packages for Node, pinned by package-lock.json, in $node under the target folder. They are looked for beside the
# scripts that import them, so the scripts are copied there.
find_node() {
    local clients=interop/clients wanted fit
    node=$target/clients-node
    mkdir -p "$node"
    cp "$clients"/node/*.mjs "$clients"/node/package.json "$clients"/node/package-lock.json "$node"
    fit="const [a, b] = process.versions.node.split('.').map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)"
    if ! command -v npm >/dev/null || ! node -e "$fit"; then
        loud "SKIPPED: the clients for Node need Node 20.19 or newer with npm; the others run"
        rm -rf "$node/node_modules"
        return
    fi
    wanted=$(node --version; sha256sum < "$node/package-lock.json")
    if [[ ! -d $node/node_modules || $(cat "$node/wanted" 2>/dev/null) != "$wanted" ]]; then
        say "npm packages, pinned by package-lock.json"
        (cd "$node" && timeout 600 npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
        printf '%s\n' "$wanted" > "$node/wanted"
    fi
}
