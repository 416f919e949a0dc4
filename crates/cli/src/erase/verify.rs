//! `sealwort erase verify`: the certificates of an erasure, offline.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sealwort_pki::{PublicKey, Role, Trust, UnixTime};
use sealwort_proto::codec::from_bytes;
use sealwort_proto::erasure::{self, Certificate, VerifiedCertificate};
use sealwort_proto::operations::Operations;
use sealwort_proto::peers::{PeerCache, Peers};
use sealwort_proto::statement::{self, Kind, STATEMENT_BYTES_MAX};
use sealwort_proto::{ErrorKind, Pseudonym};
use serde::{Deserialize, Serialize};

use crate::error::{CliError, Refused};
use crate::output::Output;

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// What `sealwort erase certificates --json` printed.
    file: PathBuf,
    /// The root certificate of the exchange, PEM or DER, from its operator and not from whoever made the file.
    #[arg(long, value_name = "FILE")]
    root: PathBuf,
}

/// An erasure, as the gateway shows it.
#[derive(Debug, Deserialize)]
struct Shown {
    patient: String,
    #[serde(default)]
    erasure: String,
    #[serde(default)]
    authority: String,
    #[serde(default)]
    certificates: Vec<String>,
}

/// What was verified of one.
#[derive(Debug, Serialize)]
struct Passed {
    patient: String,
    /// Whether the order itself is in the file, signed by the key that is there.
    ordered: bool,
    certified: Vec<Certified>,
}

#[derive(Debug, Serialize)]
struct Certified {
    party: String,
    erased_at: u64,
    halves: u64,
    entries: u64,
}

pub(super) fn run(args: &VerifyArgs, output: Output) -> Result<(), CliError> {
    let content = read(&args.file)?;
    let unreadable = |error: serde_json::Error| unverifiable(format!("the file holds no erasure: {error}"));
    let shown: Vec<Shown> = if content.trim_ascii_start().starts_with(b"[") {
        serde_json::from_slice(&content).map_err(unreadable)?
    } else {
        vec![serde_json::from_slice(&content).map_err(unreadable)?]
    };
    if shown.is_empty() {
        return Err(unverifiable("the file holds no erasure".to_owned()));
    }
    let root = root(&args.root)?;
    let passed = shown.iter().map(|shown| verify(shown, &root)).collect::<Result<Vec<_>, _>>()?;
    output.data(&passed, || {
        let lines = passed.iter().map(|passed| {
            let by: Vec<&str> = passed.certified.iter().map(|certified| certified.party.as_str()).collect();
            format!("{} was erased, certified by {}", passed.patient, by.join(" and "))
        });
        lines.collect::<Vec<_>>().join("\n")
    })
}

fn verify(shown: &Shown, root: &[u8]) -> Result<Passed, CliError> {
    let patient: Pseudonym = shown.patient.parse().map_err(|_| unverifiable("the file names no patient".to_owned()))?;
    let certificates = shown.certificates.iter().map(|text| bytes(text)).collect::<Result<Vec<_>, _>>()?;
    if certificates.is_empty() {
        return Err(unverifiable(format!("the erasure of {patient} is not certified yet, or not in this file")));
    }
    let operations = Operations::default();
    let order = bytes(&shown.erasure)?;
    let mut certified = Vec::new();
    let mut roles = BTreeSet::new();
    for certificate in &certificates {
        let (role, verified) = certificate_of(certificate, root, &operations)?;
        let content = verified.certificate();
        if content.patient != patient {
            return Err(tampered(format!("the certificate of {} is of another patient", content.party)));
        }
        if !order.is_empty() && content.erasure != statement::digest(&order) {
            return Err(tampered(format!("the certificate of {} is of another order", content.party)));
        }
        if !roles.insert(role.as_str()) {
            return Err(tampered(format!("the file has two certificates of a {role}")));
        }
        let destroyed = content.destroyed;
        certified.push(Certified {
            party: content.party.clone(),
            erased_at: destroyed.erased_at,
            halves: destroyed.halves,
            entries: destroyed.entries,
        });
        if !order.is_empty() {
            let key = PublicKey::from_bytes(&bytes(&shown.authority)?);
            let key = key.map_err(|error| unverifiable(format!("the authority's key: {error}")))?;
            let ordered = erasure::verify(&order, &content.exchange, &key, &operations);
            let ordered = ordered.map_err(|error| tampered(format!("the order: {error}")))?;
            if ordered.erasure().patient != patient {
                return Err(tampered("the order is about another patient".to_owned()));
            }
        }
    }
    // Without its order, what another hospital was shown of it: one party's certificate is all there is.
    if !order.is_empty() && roles.len() < 2 {
        return Err(unverifiable(format!("of the erasure of {patient} only one party's certificate is there")));
    }
    Ok(Passed { patient: patient.to_string(), ordered: !order.is_empty(), certified })
}

/// Verifies a certificate by the chain in it, which must lead to this root.
fn certificate_of(bytes: &[u8], root: &[u8], operations: &Operations) -> Result<(Role, VerifiedCertificate), CliError> {
    let unreadable = |error: &dyn std::fmt::Display| unverifiable(format!("a certificate cannot be read: {error}"));
    let parsed = statement::parse(Kind::ErasureCertificate, bytes).map_err(|error| unreadable(&error))?;
    let claimed: Certificate = from_bytes(parsed.payload(), STATEMENT_BYTES_MAX).map_err(|error| unreadable(&error))?;
    let identity: sealwort_pki::Identity = claimed.party.parse().map_err(|error| unreadable(&error))?;
    if !matches!(identity.role, Role::Broker | Role::Archive) {
        return Err(tampered(format!("{identity} is neither broker nor archive")));
    }
    // The exchange's name is the certificate's word; who its members are is the root's alone.
    let trust = Trust::new(identity.exchange.clone(), root)
        .map_err(|error| CliError::Local(format!("it is no root certificate: {error}")))?;
    let cache = PeerCache::default();
    let peers = Peers { trust: &trust, cache: &cache, now: UnixTime::from_secs(claimed.issued_at) };
    let exchange = identity.exchange.to_string();
    let verified = erasure::verify_certificate(bytes, &exchange, identity.role, &peers, operations);
    verified.map(|verified| (identity.role, verified)).map_err(|error| match error {
        ErrorKind::Certificate(_) => unverifiable(format!("{}: {error}", claimed.party)),
        error => tampered(format!("the certificate of {}: {error}", claimed.party)),
    })
}

fn root(file: &Path) -> Result<Vec<u8>, CliError> {
    let content = read(file)?;
    if !content.starts_with(b"-----BEGIN") {
        return Ok(content);
    }
    let der = CertificateDer::from_pem_slice(&content);
    let wrong = |error| CliError::Local(format!("{} is no certificate: {error:?}", file.display()));
    der.map(|der| der.to_vec()).map_err(wrong)
}

fn read(file: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(file).map_err(|error| CliError::Local(format!("cannot read {}: {error}", file.display())))
}

fn bytes(text: &str) -> Result<Vec<u8>, CliError> {
    hex::decode(text).map_err(|error| unverifiable(format!("the file is not hexadecimal where it should be: {error}")))
}

fn tampered(message: String) -> CliError {
    let remedy = Some("keep the file as it is, as evidence, and ask the hospital for its certificates anew".to_owned());
    CliError::Tampered(Refused { code: "erasure-tampered".to_owned(), message, remedy })
}

fn unverifiable(message: String) -> CliError {
    let remedy = Some("give what sealwort erase certificates --json printed, and the root of that exchange".to_owned());
    CliError::Unverifiable(Refused { code: "erasure-unverifiable".to_owned(), message, remedy })
}
