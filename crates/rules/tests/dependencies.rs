//! Who may depend on whom (ARCHITECTURE.md, "Crates"), held against `cargo metadata`.

use sealwort_rules::metadata::Kind::{Build, Dev, Normal};
use sealwort_rules::metadata::{Metadata, Package};
use sealwort_rules::{check, licence, read};

/// Each crate with the crates of this workspace that it may depend on. A crate that is not listed is a breach.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("pki", &[]),
    ("proto", &["pki"]),
    ("audit", &["proto", "pki"]),
    ("consent", &[]),
    ("fhir", &[]),
    ("hl7v2", &[]),
    ("devices", &["fhir"]),
    ("oidc", &[]),
    ("smart", &["fhir", "oidc"]),
    ("passkeys", &["proto", "pki"]),
    ("store", &["audit", "net", "proto"]),
    ("net", &["proto", "pki"]),
    ("sign-in", &["net", "oidc", "proto", "pki"]),
    ("pages", &[]),
    ("papers", &[]),
    ("custody", &["net", "store", "consent", "proto", "pki"]),
    ("journal", &["net", "store", "audit", "proto", "pki"]),
    (
        "gateway",
        &[
            "net", "store", "fhir", "hl7v2", "devices", "smart", "passkeys", "consent", "proto", "pki", "audit",
            "journal", "sign-in", "pages", "papers",
        ],
    ),
    ("broker", &["net", "store", "consent", "proto", "pki", "custody", "audit", "journal", "oidc", "sign-in", "pages"]),
    ("archive", &["net", "store", "consent", "proto", "pki", "custody", "audit", "journal"]),
    ("ca", &["net", "store", "pki", "audit", "journal"]),
    (
        "cli",
        &[
            "gateway", "broker", "archive", "ca", "net", "store", "journal", "audit", "fhir", "hl7v2", "devices",
            "smart", "oidc", "sign-in", "consent", "proto", "pki", "pages",
        ],
    ),
    (
        "bench",
        &[
            "gateway", "broker", "archive", "ca", "net", "store", "journal", "audit", "fhir", "hl7v2", "devices",
            "smart", "consent", "proto", "pki", "custody",
        ],
    ),
    ("rules", &[]),
    ("published", &[]),
];
/// Crates that hold tests of the others, or make what tests read. They may depend on all, and nothing depends on them.
const TEST_CRATES: [&str; 5] = ["attacks", "corpora", "secrets", "simulation", "vectors"];

/// Crates that get bytes and the time, and give back bytes and facts.
const PURE: [&str; 10] = ["pki", "proto", "audit", "consent", "fhir", "hl7v2", "devices", "oidc", "smart", "passkeys"];
/// What a pure crate must not reach: runtimes, sockets, HTTP, TLS and databases.
const IMPURE: [&str; 19] = [
    "async-io",
    "async-std",
    "axum",
    "cryptoki",
    "hyper",
    "hyper-util",
    "libsqlite3-sys",
    "mio",
    "object_store",
    "polling",
    "reqwest",
    "rusqlite",
    "rustls",
    "smol",
    "socket2",
    "sqlx",
    "sqlx-core",
    "tokio",
    "tokio-rustls",
];
/// Services. They meet in messages of `proto` alone.
const SERVICES: [&str; 4] = ["gateway", "broker", "archive", "ca"];
/// Packages through which records could be stored.
const STORAGE: [&str; 8] = [
    "sqlx",
    "sqlx-core",
    "sqlx-sqlite",
    "sqlx-postgres",
    "rusqlite",
    "libsqlite3-sys",
    "tokio-postgres",
    "object_store",
];
/// Packages of cryptographic primitives.
const PRIMITIVES: [&str; 16] = [
    "aes-gcm",
    "aws-lc-rs",
    "aws-lc-sys",
    "blake3",
    "chacha20poly1305",
    "ed25519-dalek",
    "hkdf",
    "hmac",
    "ml-kem",
    "openssl",
    "p256",
    "ring",
    "rsa",
    "sha2",
    "sha3",
    "x25519-dalek",
];

fn short(package: &Package) -> &str {
    package.name.strip_prefix("sealwort-").unwrap_or(&package.name)
}

#[test]
fn each_crate_depends_only_on_the_crates_it_may() {
    let metadata = Metadata::load();
    let mut breaches = Vec::new();
    for package in metadata.workspace().filter(|package| !TEST_CRATES.contains(&short(package))) {
        let Some((_, allowed)) = MAY_DEPEND_ON.iter().find(|(name, _)| *name == short(package)) else {
            breaches.push(format!("{} is new: say in this test what it may depend on", package.name));
            continue;
        };
        for found in metadata.direct(package, &[Normal, Build]).filter_map(|name| name.strip_prefix("sealwort-")) {
            if !allowed.contains(&found) {
                breaches.push(format!("{} depends on sealwort-{found}", package.name));
            }
        }
    }
    check("a crate depends on one that it may not depend on", &breaches);
}

#[test]
fn pure_crates_reach_no_runtime_socket_or_database() {
    let metadata = Metadata::load();
    assert!(metadata.reaches("sealwort-net").contains("mio"), "the search finds nothing: `net` does reach sockets");
    let mut breaches = Vec::new();
    for name in PURE {
        let reached = metadata.reaches(&format!("sealwort-{name}"));
        let found = IMPURE.iter().filter(|impure| reached.contains(**impure));
        breaches.extend(found.map(|impure| format!("sealwort-{name} reaches {impure}")));
    }
    check("a pure crate reaches IO; find the way with: cargo tree -p CRATE -e normal -i PACKAGE", &breaches);
}

#[test]
fn services_never_depend_on_each_other_not_even_in_tests() {
    let metadata = Metadata::load();
    let mut breaches = Vec::new();
    for name in SERVICES {
        let package = metadata.own(&format!("sealwort-{name}"));
        let reached = metadata.reaches(&package.name);
        let named: Vec<&str> = metadata.direct(package, &[Normal, Build, Dev]).collect();
        for other in SERVICES.iter().filter(|other| **other != name).map(|other| format!("sealwort-{other}")) {
            if reached.contains(other.as_str()) || named.contains(&other.as_str()) {
                breaches.push(format!("{} depends on {other}", package.name));
            }
        }
    }
    check("services meet in messages alone; tests of several belong to the crate `cli`", &breaches);
}

#[test]
fn broker_and_archive_never_reach_fhir() {
    let metadata = Metadata::load();
    assert!(metadata.reaches("sealwort-gateway").contains("sealwort-fhir"), "the search finds nothing");
    for name in ["sealwort-broker", "sealwort-archive", "sealwort-custody"] {
        assert!(!metadata.reaches(name).contains("sealwort-fhir"), "{name} could read a record");
    }
}

#[test]
fn custody_serves_broker_and_archive_only() {
    let metadata = Metadata::load();
    let users = metadata.workspace().filter(|package| {
        let mut direct = metadata.direct(package, &[Normal, Build]);
        direct.any(|name| name == "sealwort-custody") && !["broker", "archive", "bench"].contains(&short(package))
    });
    check("custody keeps a party's halves; nobody else needs it", &users.map(|p| p.name.clone()).collect::<Vec<_>>());
}

/// Benchmarks compare with the bare engine and the bare primitives.
#[test]
fn storage_and_primitives_have_one_place_each() {
    let metadata = Metadata::load();
    let mut breaches = Vec::new();
    for package in metadata.workspace() {
        for found in metadata.direct(package, &[Normal, Build]) {
            if STORAGE.contains(&found) && !["store", "bench"].contains(&short(package)) {
                breaches.push(format!("{} depends on {found}; only `store` may", package.name));
            }
            if found == "cryptoki" && short(package) != "net" {
                breaches.push(format!("{} depends on {found}; only `net` may", package.name));
            }
            if PRIMITIVES.contains(&found) && !["proto", "pki", "bench"].contains(&short(package)) {
                breaches.push(format!("{} depends on {found}; only `proto` and `pki` may", package.name));
            }
        }
    }
    check("storage belongs to `store`, primitives to `proto` and `pki`, tokens to `net`", &breaches);
}

#[test]
fn every_crate_keeps_the_workspace_lints_and_stays_unpublished() {
    let metadata = Metadata::load();
    let mut breaches = Vec::new();
    for package in metadata.workspace() {
        let manifest = std::fs::read_to_string(&package.manifest).unwrap_or_default();
        let lints = manifest.split_once("[lints]").map(|(_, rest)| rest.trim_start()).unwrap_or_default();
        if !lints.starts_with("workspace = true") {
            breaches.push(format!("{} does not inherit the workspace's lints", package.name));
        }
        if package.published || package.licence != "Apache-2.0" {
            breaches.push(format!("{} does not inherit licence and publish = false", package.name));
        }
    }
    check("a crate leaves the common rules", &breaches);
}

#[test]
fn every_licence_is_one_that_we_may_use() {
    let metadata = Metadata::load();
    let deny = read("deny.toml");
    let breaches = metadata.reached().filter(|package| {
        let allowed = [licence::allowed(&deny), licence::excepted(&deny, &package.name)].concat();
        !licence::is_met(&package.licence, &allowed)
    });
    let breaches: Vec<_> = breaches.map(|package| format!("{}: {:?}", package.name, package.licence)).collect();
    check("a licence that deny.toml does not allow", &breaches);
}
