//! A party's log as its folder holds it, opened beside the service if that runs.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use sealwort_audit::{
    AtRest, Checkpoint, Detail, Event, EventKind, Hashes, Note, Question, Row, SignedCheckpoint, Tree, Verdict,
};
use sealwort_journal::{WholeLog, chains_of, own_checkpoint};
use sealwort_net::config::StoreConfig;
use sealwort_net::member::{AUDIT_KEY_FILE, audit_key};
use sealwort_net::{Clock, SystemClock, secret_file};
use sealwort_pki::enrolment::Membership;
use sealwort_pki::{Identity, Role, Trust};
use sealwort_proto::codec::to_bytes;
use sealwort_proto::peers::chain_to_wire;
use sealwort_proto::{Digest, Pseudonym};
use sealwort_store::postgres::Database;
use sealwort_store::{AuditBatch, AuditLog, AuditQuery, KeptCheckpoint, Standing, StoreError};

use crate::error::CliError;

/// Whose log.
#[derive(Debug, Args)]
pub(super) struct LogArgs {
    /// Data folder of the party whose log it is.
    #[arg(long, value_name = "DIR")]
    pub(super) folder: PathBuf,
    #[command(flatten)]
    pub(super) place: PlaceArgs,
}

/// Where a log lies, where that is not the data folder.
#[derive(Debug, Default, Args)]
pub(crate) struct PlaceArgs {
    /// Where the log lies, where that is not the data folder.
    #[arg(long, value_name = "DIR", requires = "folder")]
    pub(crate) log: Option<PathBuf>,
    /// The database that the log lies in, as store.url of the party's configuration has it.
    #[arg(long, value_name = "URL", requires = "folder", conflicts_with = "log")]
    pub(crate) database: Option<String>,
    /// File with the database user's password.
    #[arg(long, value_name = "FILE", requires = "database")]
    pub(crate) password_file: Option<PathBuf>,
}

impl PlaceArgs {
    pub(crate) fn database(&self) -> Result<Option<Database>, CliError> {
        self.database.as_ref().map(|url| database(url, self.password_file.as_ref())).transpose()
    }
}

/// A database, with the password from a file if one is named.
pub(crate) fn database(url: &str, password_file: Option<&PathBuf>) -> Result<Database, CliError> {
    let password_file = password_file.cloned().unwrap_or_default();
    let password = StoreConfig { password_file, ..StoreConfig::default() }.password()?;
    Ok(Database::new(url, password.as_ref().map(|password| password.as_str()))?)
}

/// A party's log.
pub(super) struct Log {
    pub(super) store: AuditLog,
    pub(super) at_rest: Arc<AtRest>,
    pub(super) membership: Membership,
}

impl LogArgs {
    /// Opens it.
    pub(super) async fn open(&self) -> Result<Log, CliError> {
        open(&self.folder, &self.place).await
    }
}

/// Opens the log of the party with this data folder.
pub(super) async fn open(folder: &Path, place: &PlaceArgs) -> Result<Log, CliError> {
    let database = place.database()?;
    let place = place.log.as_deref().unwrap_or(folder);
    let membership = Membership::from_json(&secret_file::read(&folder.join(MEMBERSHIP_FILE))?)?;
    if database.is_none() && !folder.join(BEGUN_FILE).exists() && !place.join(LOG_FILE).exists() {
        let place = place.display();
        return Err(CliError::Local(format!(
            "{place} holds no audit log; a service begins one when it starts, in audit.folder of its configuration, in its data folder, or in the database of its store.url (--database)"
        )));
    }
    let at_rest = match membership.identity.role {
        Role::Gateway if !folder.join(AUDIT_KEY_FILE).exists() => {
            let file = folder.join(AUDIT_KEY_FILE);
            return Err(CliError::Local(format!("{} is missing; restore it from a backup", file.display())));
        }
        Role::Gateway => AtRest::sealed(&audit_key(folder)?),
        _ => AtRest::Clear,
    };
    let store = AuditLog::open_beside(place, database.as_ref()).await.map_err(damage)?;
    Ok(Log { store, at_rest: Arc::new(at_rest), membership })
}

/// What the store finds damaged was altered, as far as a log's reader can tell.
pub(super) fn damage(error: StoreError) -> CliError {
    match error {
        StoreError::Damaged { file, reason } => tampered(None, format!("{}: {reason}", file.display())),
        error => error.into(),
    }
}

pub(super) fn tampered(number: Option<u64>, reason: String) -> CliError {
    Verdict { fault: sealwort_audit::Fault::Tampered, number, reason }.into()
}

impl Log {
    /// Appends that the log is read, before anything of it is shown; gives the checkpoint over it all.
    pub(super) async fn enter(
        &self,
        kind: EventKind,
        patient: Option<Pseudonym>,
        terms: &str,
    ) -> Result<Note, CliError> {
        let (now, own) = (SystemClock.now_millis(), &self.membership.statement);
        if SystemClock.now() > own.not_after {
            return Err(CliError::Local(format!(
                "the party's certificates ended at {}, and reading the log is entered under them; start the service, which renews them",
                own.not_after
            )));
        }
        let event = Event::new(kind, now).user(&reader()?, "operator").detail(Detail::Method, "command");
        let mut event = event.detail(Detail::Query, terms);
        event.patient = patient;
        let (identity, name) = (&self.membership.identity, Digest::new(*own.chain.fingerprint().as_bytes()));
        self.store.put_audit_chain(name, to_bytes(&chain_to_wire(&own.chain))).await?;
        let (at_rest, own, trust) = (Arc::clone(&self.at_rest), own.clone(), self.membership.trust.clone());
        let identity = identity.clone();
        let append = move |standing: &Standing| {
            let mut tree = tree(standing, &identity, &trust)?;
            let row = Row::append(&mut tree, &event, &at_rest).map_err(local)?;
            let note = Checkpoint::of(&tree, &identity, now).sign(&own.key).map_err(local)?;
            let checkpoint = KeptCheckpoint { size: tree.size(), note: note.to_string() };
            Ok::<_, CliError>((AuditBatch { rows: vec![row], checkpoint }, note))
        };
        self.store.append_upon(append).await.map_err(damage)?
    }

    /// The newest own checkpoint, verified.
    pub(super) async fn newest(&self) -> Result<Option<SignedCheckpoint>, CliError> {
        Ok(self.whole().newest().await?)
    }

    /// The log, for whoever walks it.
    pub(super) fn whole(&self) -> WholeLog<'_> {
        let Membership { identity, trust, .. } = &self.membership;
        WholeLog { store: &*self.store, at_rest: &self.at_rest, identity, trust }
    }

    /// Entries that the newest checkpoint covers, verified, with the tree over them.
    pub(super) async fn stands(&self) -> Result<u64, CliError> {
        let Some(newest) = self.newest().await? else { return Ok(0) };
        let checkpoint = newest.checkpoint();
        let root = self.answer(Question::Root { size: checkpoint.size }).await?;
        if root == [checkpoint.root] {
            Ok(checkpoint.size)
        } else {
            Err(tampered(None, "its entries are not those that its newest checkpoint was made over".to_owned()))
        }
    }

    /// Stored hashes, each asked for once.
    pub(super) async fn hashes(&self, numbers: Vec<u64>) -> Result<Vec<(u64, Hashes)>, CliError> {
        let numbers: Vec<_> = numbers.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        self.store.audit_hashes(&numbers).await.map_err(damage)
    }

    /// A proof from stored hashes.
    pub(super) async fn answer(&self, question: Question) -> Result<Vec<Digest>, CliError> {
        let hashes = self.hashes(question.needs()).await?;
        question.answer(&hashes).map_err(|error| tampered(None, error.to_string()))
    }

    /// A page of rows.
    pub(super) async fn rows(&self, query: AuditQuery, most: usize) -> Result<Vec<Row>, CliError> {
        self.store.audit_rows(query, most).await.map_err(damage)
    }

    /// The event of a row.
    pub(super) fn event(&self, row: &Row) -> Result<Event, CliError> {
        let number = row.number;
        let wrong = |error: String| tampered(Some(number), format!("entry {number} was altered: {error}"));
        let leaf = self.at_rest.open(&row.stored).map_err(|error| wrong(error.to_string()))?;
        Event::from_bytes(&leaf).map_err(|error| wrong(error.to_string()))
    }
}

/// The tree as it stands, for which the newest checkpoint must vouch.
fn tree(standing: &Standing, identity: &Identity, trust: &Trust) -> Result<Tree, CliError> {
    let size = standing.size;
    let Some(kept) = &standing.newest else {
        return if size == 0 { Ok(Tree::empty()) } else { Err(uncovered(size, 0)) };
    };
    let newest = own_checkpoint(kept, &chains_of(&standing.chains), identity, trust)?;
    if newest.checkpoint().size != size {
        return Err(uncovered(size, newest.checkpoint().size));
    }
    let tree = Tree::open(size, &standing.hashes).map_err(|error| tampered(None, error.to_string()))?;
    if tree.root() == newest.checkpoint().root {
        Ok(tree)
    } else {
        Err(tampered(None, "the entries are not those that the log's own checkpoint was made over".to_owned()))
    }
}

fn uncovered(size: u64, covered: u64) -> CliError {
    tampered(Some(size.min(covered)), format!("the log holds {size} entries, its newest checkpoint covers {covered}"))
}

fn local(error: impl std::fmt::Display) -> CliError {
    CliError::Local(error.to_string())
}

/// Who reads: the user of the operating system that this process runs as, by number.
fn reader() -> Result<String, CliError> {
    let process = std::fs::metadata("/proc/self").map_err(|error| CliError::Local(format!("/proc/self: {error}")))?;
    Ok(format!("uid {}", process.uid()))
}

const MEMBERSHIP_FILE: &str = "membership.json";
const LOG_FILE: &str = "audit.sqlite";
/// In the data folder once a log was begun.
const BEGUN_FILE: &str = "audit";
/// Rows at once.
pub(super) const PAGE: usize = 1000;
