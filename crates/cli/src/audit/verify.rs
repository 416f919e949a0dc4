//! `sealwort audit verify`: an export offline, or the whole log in a data folder.

use std::path::{Path, PathBuf};

use clap::Args;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sealwort_audit::{AccessLogFile, Checkpoint, Fault, Note, Passed, Verdict, WitnessFile, verify_export};
use sealwort_journal::WITNESSES_MIN;
use sealwort_pki::Trust;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::export::LEFT_OUT;
use super::folder::{self, Log, PlaceArgs};
use super::vouching;
use crate::error::CliError;
use crate::output::Output;

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// An export, or a patient's access log, which has its proof in it.
    #[arg(value_name = "EXPORT", required_unless_present = "folder", requires = "root")]
    export: Option<PathBuf>,
    /// The proof of an export.
    #[arg(long, value_name = "FILE", requires = "export")]
    proof: Option<PathBuf>,
    /// The root certificate of the exchange, PEM or DER, from its operator and not from whoever made the export.
    #[arg(long, value_name = "FILE", requires = "export")]
    root: Option<PathBuf>,
    /// What another party remembers of the log, from its `sealwort audit witnessed`. May be given several times.
    #[arg(long, value_name = "FILE")]
    witness: Vec<PathBuf>,
    /// In place of an export: the data folder of the party whose whole log is to be verified.
    #[arg(long, value_name = "DIR", conflicts_with = "export")]
    folder: Option<PathBuf>,
    #[command(flatten)]
    place: PlaceArgs,
}

pub(super) async fn run(args: &VerifyArgs, output: Output) -> Result<(), CliError> {
    let files: Vec<_> =
        args.witness.iter().map(|file| Ok(WitnessFile::from_json(&read(file)?)?)).collect::<Result<_, CliError>>()?;
    let passed = match (&args.folder, &args.export, &args.proof, &args.root) {
        (Some(folder), ..) => {
            let log = folder::open(folder, &args.place).await?;
            let passed = whole(&log, &files).await;
            log.store.close().await;
            passed?
        }
        (None, Some(export), Some(proof), Some(root)) => {
            let proof = read(proof)?;
            let head = head(&proof)?;
            let passed = verify_export(&read(export)?, &proof, &head.trust(root)?, &files, WITNESSES_MIN)?;
            if head.selected.is_some() {
                output.message(LEFT_OUT);
            }
            passed
        }
        (None, Some(file), None, Some(root)) => return access_log(file, root, &files, output),
        _ => return Err(CliError::Local("name an export with --proof and --root, or a data folder".to_owned())),
    };
    output.data(&passed, || {
        format!("{} entries of {} are as they were signed\n{}", passed.entries, passed.origin, vouching(&passed))
    })
}

/// Verifies what `sealwort access-log --proof` wrote.
fn access_log(file: &Path, root: &Path, files: &[WitnessFile], output: Output) -> Result<(), CliError> {
    let log = AccessLogFile::from_json(&read(file)?).ok_or_else(|| {
        CliError::Local(format!("{} is no access log; of an export, name the proof with --proof", file.display()))
    })?;
    let checkpoint = log.checkpoint().ok_or_else(|| unreadable("nothing is in it"))?.to_owned();
    let passed = log.verify(&Head { checkpoint, selected: None }.trust(root)?, files, WITNESSES_MIN)?;
    output.message(LEFT_OUT);
    output.data(&passed, || {
        let one = |passed: &Passed| {
            format!("{} entries of {} are as they were signed\n{}", passed.entries, passed.origin, vouching(passed))
        };
        passed.iter().map(one).collect::<Vec<_>>().join("\n")
    })
}

/// Walks a whole log. Nothing of it is shown, so nothing is entered either, and a log that was altered is not touched.
pub(super) async fn whole(log: &Log, files: &[WitnessFile]) -> Result<Passed, CliError> {
    Ok(log.whole().verify(files).await?)
}

/// What of a proof is needed before it is verified.
#[derive(Deserialize)]
struct Head {
    checkpoint: String,
    selected: Option<IgnoredAny>,
}

fn head(proof: &[u8]) -> Result<Head, CliError> {
    serde_json::from_slice(proof).map_err(|error| unreadable(&format!("the proof cannot be read: {error}")))
}

impl Head {
    /// The exchange whose root this is. Its name is the proof's word; who its members are is the root's alone.
    fn trust(&self, root: &Path) -> Result<Trust, CliError> {
        let note: Note = self.checkpoint.parse().map_err(|_| unreadable("the proof holds no checkpoint"))?;
        let checkpoint: Checkpoint = note.text().parse().map_err(|_| unreadable("the proof holds no checkpoint"))?;
        let wrong = |error: String| CliError::Local(format!("{} is no root certificate: {error}", root.display()));
        let bytes = read(root)?;
        let der = if bytes.starts_with(PEM_BEGIN) {
            CertificateDer::from_pem_slice(&bytes).map_err(|error| wrong(error.to_string()))?.to_vec()
        } else {
            bytes
        };
        Trust::new(checkpoint.origin.exchange, &der).map_err(|error| wrong(error.to_string()))
    }
}

fn unreadable(reason: &str) -> CliError {
    Verdict { fault: Fault::Unverifiable, number: None, reason: reason.to_owned() }.into()
}

fn read(file: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(file).map_err(|error| CliError::Local(format!("cannot read {}: {error}", file.display())))
}

const PEM_BEGIN: &[u8] = b"-----BEGIN";
