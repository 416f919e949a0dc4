//! `sealwort store verify`: goes over everything at one moment of the store, beside the service or without it, and tells
//! what is wrong. What it prints at the end is the same for the same data, wherever they are.

use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use sealwort_audit::Passed;
use sealwort_net::kek;
use sealwort_net::member::MemberError;
use sealwort_net::token::Token;
use sealwort_pki::Role;
use sealwort_proto::Pseudonym;
use sealwort_proto::halves::Side;
use sealwort_store::tables::ERASED;
use sealwort_store::{Objects, Snapshot, StoreError};
use serde_json::json;

use super::examine::{Examined, Examiner, WithoutToken};
use super::findings::{FILE, Fault, Finding, Findings, RECORD, UNREAD};
use super::{membership, token};
use crate::audit::{self, PlaceArgs};
use crate::error::{CliError, Refused};
use crate::output::Output;
use crate::settings::SettingsArgs;

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// Data folder of the broker or archive.
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
    /// Configuration of the broker or archive: its [keys] says in which token the key-encryption key is, and an archive's
    /// [objects] where large entries are.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    place: PlaceArgs,
}

pub(super) async fn run(args: &VerifyArgs, output: Output) -> Result<(), CliError> {
    let membership = membership(&args.folder)?;
    let role = membership.identity.role;
    let side = if role == Role::Broker { Side::Broker } else { Side::Archive };
    let database = args.place.database()?;
    let log = args.place.log.as_deref().unwrap_or(&args.folder);
    let objects = if role == Role::Archive { objects(args)? } else { None };
    let token = token(role, args.config.as_deref())?;
    let mut examiner = Examiner::new(&membership, side, objects.as_ref());
    // The key may be changed meanwhile: each half is under one that was there before the snapshot, or is after it.
    take_keys(&mut examiner, &args.folder, token.as_ref())?;
    match Snapshot::open(&args.folder, role.as_str(), log, database.as_ref()).await {
        Ok(mut snapshot) => {
            take_keys(&mut examiner, &args.folder, token.as_ref())?;
            match snapshot.faults().await {
                Ok(faults) => {
                    for what in faults {
                        examiner.findings.general(Fault::Tampered, what, FILE);
                    }
                }
                Err(error) => ended(error, &mut examiner.findings),
            }
            if let Err(error) = examiner.run(&mut snapshot).await {
                ended(error, &mut examiner.findings);
            }
            // It was read alone, and a disk that fails was told of.
            let _ = snapshot.close().await;
            let missing = mem::take(&mut examiner.missing);
            if !missing.is_empty() {
                let later = Snapshot::open(&args.folder, role.as_str(), log, database.as_ref()).await;
                if let Err(error) = lost(later, missing, &mut examiner.findings).await {
                    ended(error, &mut examiner.findings);
                }
            }
        }
        Err(error @ StoreError::Damaged { .. }) => ended(error, &mut examiner.findings),
        Err(error) => return Err(error.into()),
    }
    let Examiner { mut findings, examined, .. } = examiner;
    if examined.unopened > 0 {
        let what =
            format!("{} halves are under a key in a token, and were looked at from outside alone", examined.unopened);
        findings.general(Fault::Unverifiable, what, "name the party's configuration: --config FILE");
    }
    if examined.unseen > 0 {
        let what = format!("{} ciphertexts are objects, which were not looked at", examined.unseen);
        findings.general(Fault::Unverifiable, what, "name the archive's configuration: --config FILE");
    }
    let trail = trail(args, &mut findings).await;
    show(&membership.identity.to_string(), &examined, trail.as_ref(), &findings, output)?;
    judge(&findings)
}

/// Takes the keys that the folder has now. Without the token that they are in, halves are looked at from outside.
fn take_keys(examiner: &mut Examiner<'_>, folder: &Path, token: Option<&Arc<Token>>) -> Result<(), CliError> {
    match kek::kept(folder, token) {
        Ok(keys) => examiner.keys.extend(keys),
        Err(MemberError::KeyInToken(_)) => examiner.without_token = Some(WithoutToken),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Missing objects as findings, save those of patients who were erased meanwhile.
async fn lost(
    later: Result<Snapshot, StoreError>,
    missing: Vec<((Pseudonym, u64), String)>,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    let mut later = later?;
    for (place, what) in missing {
        if later.find(&ERASED, &[place.0.as_bytes().to_vec()]).await?.is_empty() {
            findings.at(place, Fault::Tampered, what, RECORD);
        }
    }
    later.close().await
}

/// What ended going over the store, as a finding beside those before it.
fn ended(error: StoreError, findings: &mut Findings) {
    let (fault, what, remedy) = match error {
        StoreError::Damaged { file, reason } => {
            (Fault::Tampered, format!("{} is damaged: {reason}", file.display()), FILE)
        }
        error => (Fault::Unverifiable, error.to_string(), UNREAD),
    };
    findings.general(fault, format!("{what}; what comes after it was not gone over"), remedy);
}

/// Where large entries are, if a configuration says so.
fn objects(args: &VerifyArgs) -> Result<Option<Objects>, CliError> {
    let Some(file) = &args.config else { return Ok(None) };
    let settings = SettingsArgs { config: Some(file.clone()), ..SettingsArgs::default() };
    let config = settings.load::<sealwort_archive::Config>()?.value;
    sealwort_archive::objects(&config).map_err(|error| CliError::Local(error.to_string()))
}

/// Walks the audit log as `sealwort audit verify` does.
async fn trail(args: &VerifyArgs, findings: &mut Findings) -> Option<Passed> {
    let error = match audit::walk(&args.folder, &args.place).await {
        Ok(passed) => return Some(passed),
        Err(error) => error,
    };
    let (fault, remedy) = match &error {
        CliError::Tampered(_) => (Fault::Tampered, audit::TAMPERED),
        CliError::Unverifiable(_) => (Fault::Unverifiable, audit::UNVERIFIABLE),
        _ => (Fault::Unverifiable, UNREAD),
    };
    findings.general(fault, format!("the audit log: {error}"), remedy);
    None
}

fn show(
    party: &str,
    examined: &Examined,
    trail: Option<&Passed>,
    findings: &Findings,
    output: Output,
) -> Result<(), CliError> {
    let Examined { patients, erased, halves, entries, witnessed, emergencies, logs, heads, consents, .. } = examined;
    let left_out = findings.count() - findings.kept.len() as u64;
    let object = json!({
        "party": party, "patients": patients, "erased": erased, "halves": halves, "entries": entries,
        "witnessed": witnessed, "emergencies": emergencies, "logs": logs, "heads": heads, "consents": consents,
        "audit": trail, "findings": findings.kept, "findings_left_out": left_out,
    });
    output.data(&object, || {
        let mut lines: Vec<_> = findings.kept.iter().map(Finding::line).collect();
        if left_out > 0 {
            lines.push(format!("and {left_out} more"));
        }
        lines.push(format!(
            "{party}: {patients} patients, {halves} halves, {entries} entries, {witnessed} witnessed heads, {erased} erased"
        ));
        lines.push(format!("heads of {logs} logs  {heads}\nconsents  {consents}"));
        lines.extend(trail.map(|trail| format!("audit log: {} entries are as they were signed", trail.entries)));
        lines.join("\n")
    })
}

fn judge(findings: &Findings) -> Result<(), CliError> {
    let told = |code: &str, remedy: &str| Refused {
        code: code.to_owned(),
        message: format!(
            "{} findings: {} damaged or altered, {} that cannot be verified",
            findings.count(),
            findings.tampered,
            findings.unverifiable
        ),
        remedy: Some(remedy.to_owned()),
    };
    if findings.tampered > 0 {
        return Err(CliError::Tampered(told(
            "store-tampered",
            "do what stands with each finding; docs/storage.md says more",
        )));
    }
    if findings.unverifiable > 0 {
        return Err(CliError::Unverifiable(told("store-unverifiable", "do what stands with each finding")));
    }
    Ok(())
}
