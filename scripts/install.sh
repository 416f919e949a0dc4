#!/usr/bin/env bash
# Installs what the tests need and this machine lacks: on Debian a C compiler, strace, valgrind, zstd, Python, Node,
# Mosquitto, PostgreSQL, Patroni, etcd, Ceph, SoftHSM, Prometheus, Chromium and Poppler, and from crates.io cargo-nextest. Says loudly
# what it could not install; scripts/test.sh then does without where it can.
set -euo pipefail
cd "$(dirname "$0")/.."

. scripts/common.sh
lacks() { ! command -v "$1" >/dev/null 2>&1; }

if lacks cargo; then
    loud "cargo is missing. Install the Rust toolchain first: https://rustup.rs"
    exit 1
fi

packages=()
# A C compiler and linker: for Rust itself, and for the C inside aws-lc-sys, libsqlite3-sys and zstd-sys.
lacks cc && packages+=(gcc libc6-dev)
# strace: tests that watch what reaches the disk. zstd: tests that unpack sample data.
lacks strace && packages+=(strace)
lacks zstd && packages+=(zstd)
# valgrind: tests that watch what comparisons of secrets branch on.
lacks valgrind && packages+=(valgrind)
# Python: the second implementation, which runs in an environment of its own.
lacks python3 && packages+=(python3)
python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
# Chromium: a patient's browser, with an authenticator, for the tests of passkeys.
lacks chromium && packages+=(chromium)
# Poppler: tests that read the PDFs which the portal makes.
lacks pdftotext && packages+=(poppler-utils)
# Node and Mosquitto: public clients against the gateway. Debian keeps mosquitto outside a user's path.
lacks npm && packages+=(nodejs npm)
lacks mosquitto && [[ ! -x /usr/sbin/mosquitto ]] && packages+=(mosquitto)

# A PostgreSQL server: tests of broker and archive on one, which start their own. Debian keeps it outside every path.
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || packages+=(postgresql)
# Patroni and etcd: tests that have a standby take over.
lacks patroni && packages+=(patroni)
lacks etcd && packages+=(etcd-server)
# Ceph with its S3 gateway: tests of object storage, which start their own, everything in memory.
for program in ceph ceph-mon ceph-osd radosgw; do
    if lacks "$program"; then
        packages+=(ceph-mon ceph-osd radosgw)
        break
    fi
done

# SoftHSM: a PKCS#11 token in software, for the tests of key-encryption keys in one.
lacks softhsm2-util && packages+=(softhsm2)

# Prometheus, with promtool: the tests of metrics, alerts and the dashboard.
lacks prometheus && packages+=(prometheus)

if ((${#packages[@]})); then
    as_root=()
    if [[ $(id -u) != 0 ]]; then
        as_root=(sudo -n)
    fi
    if lacks apt-get; then
        loud "NOT INSTALLED: ${packages[*]} (no apt-get here); install them with this system's package manager"
    elif ((${#as_root[@]})) && ! sudo -n true 2>/dev/null; then
        loud "NOT INSTALLED: ${packages[*]} (not root); run: sudo apt-get install ${packages[*]}"
    else
        say "installing ${packages[*]}"
        # The tests start their own servers. Debian asks this program whether a service may be started; where there is no
        # systemd, it would start every one. Debian's Prometheus listens on all addresses, so it does not start later, either.
        policy=/usr/sbin/policy-rc.d
        if [[ ! -e $policy ]]; then
            trap '"${as_root[@]}" rm -f "$policy"' EXIT
            printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
            "${as_root[@]}" chmod 755 "$policy"
        fi
        if [[ " ${packages[*]} " == *" prometheus "* && ! -e /etc/systemd/system/prometheus.service ]]; then
            "${as_root[@]}" mkdir -p /etc/systemd/system
            "${as_root[@]}" ln -s /dev/null /etc/systemd/system/prometheus.service
        fi
        "${as_root[@]}" apt-get update -q >&2 || loud "apt-get update failed; trying with the lists that are here"
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${packages[@]}" >&2 \
            || loud "NOT INSTALLED: ${packages[*]} (apt-get failed, see above)"
    fi
fi

if ! cargo nextest --version >/dev/null 2>&1; then
    say "installing cargo-nextest (some minutes, once)"
    cargo install cargo-nextest --locked >&2 \
        || loud "NOT INSTALLED: cargo-nextest; the tests run under plain cargo test, one crate after the other"
fi

# An OpenID provider for the tests of sign-in, among the packages of the public clients.
find_node
