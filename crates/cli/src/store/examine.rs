//! Going over everything that a broker or archive keeps, patient by patient: statements with their signatures, halves,
//! chains, and whether all belongs together. One page of each table is in memory at a time.

use std::collections::{HashMap, HashSet, VecDeque};

use sealwort_consent::Directive;
use sealwort_net::Clock as _;
use sealwort_net::SystemClock;
use sealwort_net::kek::KeyEncryptionKeys;
use sealwort_net::token::WrappingError;
use sealwort_pki::UnixTime;
use sealwort_pki::enrolment::Membership;
use sealwort_proto::codec::{Blob, from_bytes};
use sealwort_proto::halves::Side;
use sealwort_proto::log::{Authors, ChainWalk, empty, entry_hash};
use sealwort_proto::message::HANDSHAKE_BYTES_MAX;
use sealwort_proto::operations::Operations;
use sealwort_proto::peers::{PeerCache, Peers, chain_from_wire};
use sealwort_proto::receipt::Witness;
use sealwort_proto::registration::{self, Moment, VerifiedRegistration};
use sealwort_proto::{Digest, Pseudonym, erasure, record};
use sealwort_store::tables::{
    AUTHOR as AUTHORS, EMERGENCY, ENTRY, ERASED, HALF as HALVES, Heads, LOCATOR, PATIENT, RowsDigest, Table, TableRow,
    WITNESS,
};
use sealwort_store::{ObjectFault, Objects, Snapshot, StoreError};

use super::findings::{AUTHOR, CONSENT, Fault, Findings, HALF, RECORD, STRAY, TOKEN};

/// What was gone over.
#[derive(Debug, Default)]
pub(super) struct Examined {
    pub(super) patients: u64,
    pub(super) erased: u64,
    pub(super) halves: u64,
    /// Halves that were not opened, because no token was named.
    pub(super) unopened: u64,
    pub(super) entries: u64,
    /// Entries whose ciphertext is an object that was not looked at.
    pub(super) unseen: u64,
    pub(super) witnessed: u64,
    pub(super) emergencies: u64,
    /// Chains that have a head, and the digest of their heads.
    pub(super) logs: u64,
    pub(super) heads: String,
    /// Digest over registrations and directives.
    pub(super) consents: String,
}

/// Keys are in a token that was not named.
#[derive(Debug, Clone, Copy)]
pub(super) struct WithoutToken;

/// The means to go over a store.
pub(super) struct Examiner<'m> {
    pub(super) membership: &'m Membership,
    pub(super) side: Side,
    /// Without any halves are looked at from outside alone.
    pub(super) keys: Vec<KeyEncryptionKeys>,
    /// Where some of the keys are in a token, and nobody said in which.
    pub(super) without_token: Option<WithoutToken>,
    /// Where large ciphertexts are.
    objects: Option<&'m Objects>,
    pub(super) findings: Findings,
    /// Objects that were not there, by their entries' places. Their patients may have been erased since.
    pub(super) missing: Vec<((Pseudonym, u64), String)>,
    pub(super) examined: Examined,
    cache: PeerCache,
    operations: Operations,
    authors: Authors,
    authors_known: usize,
    unknown_authors: HashSet<Digest>,
    /// Identifiers by registrations whose rows are still to be looked at.
    identifiers: HashMap<Vec<u8>, Pseudonym>,
    identifiers_seen: u64,
}

/// Rows of a table, one after the other.
struct Cursor {
    table: &'static Table,
    rows: VecDeque<TableRow>,
    after: Option<TableRow>,
    ended: bool,
}

/// What is known of whom rows are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Nobody is registered under this pseudonym.
    Unregistered,
    /// Registration or directive do not verify.
    Unread,
    /// Registered, with the directive of this epoch.
    Registered { epoch: u64 },
}

/// Where a patient's chain stands.
struct Chain {
    patient: Pseudonym,
    exchange: String,
    standing: Standing,
    /// None after a fault.
    walk: Option<ChainWalk>,
    /// The deposit of the last entry, where that entry did not end it.
    open: Option<Vec<u8>>,
}

impl Cursor {
    fn new(table: &'static Table) -> Self {
        Self { table, rows: VecDeque::new(), after: None, ended: false }
    }

    async fn peek(&mut self, snapshot: &mut Snapshot) -> Result<Option<&TableRow>, StoreError> {
        if self.rows.is_empty() && !self.ended {
            self.rows = snapshot.page(self.table, self.after.as_ref()).await?.into();
            self.after = self.rows.back().map(|last| last.key(self.table));
            self.ended = self.rows.is_empty();
        }
        Ok(self.rows.front())
    }

    /// The next row, if it is about this subject.
    async fn next_of(&mut self, snapshot: &mut Snapshot, subject: &[u8]) -> Result<Option<TableRow>, StoreError> {
        let of = self.peek(snapshot).await?.is_some_and(|row| row.subject() == subject);
        Ok(if of { self.rows.pop_front() } else { None })
    }
}

impl<'m> Examiner<'m> {
    pub(super) fn new(membership: &'m Membership, side: Side, objects: Option<&'m Objects>) -> Self {
        Self {
            membership,
            side,
            keys: Vec::new(),
            without_token: None,
            objects,
            findings: Findings::default(),
            missing: Vec::new(),
            examined: Examined::default(),
            cache: PeerCache::default(),
            operations: Operations::default(),
            authors: Authors::default(),
            authors_known: 0,
            unknown_authors: HashSet::new(),
            identifiers: HashMap::new(),
            identifiers_seen: 0,
        }
    }

    /// Goes over everything. An error is one of reading; what is wrong with the rows is among the findings.
    pub(super) async fn run(&mut self, snapshot: &mut Snapshot) -> Result<(), StoreError> {
        let mut cursors = [&PATIENT, &ERASED, &HALVES, &ENTRY, &WITNESS].map(Cursor::new);
        let (mut heads, mut consents) = (Heads::default(), RowsDigest::default());
        loop {
            let mut next: Option<Vec<u8>> = None;
            for cursor in &mut cursors {
                if let Some(row) = cursor.peek(snapshot).await?
                    && next.as_deref().is_none_or(|first| row.subject() < first)
                {
                    next = Some(row.subject().to_vec());
                }
            }
            let Some(subject) = next else { break };
            let [patients, erased, halves, entries, witnessed] = &mut cursors;
            let registered = patients.next_of(snapshot, &subject).await?;
            if let Some(row) = &registered {
                consents.take(row);
            }
            let erased = erased.next_of(snapshot, &subject).await?;
            let Some(patient) = Pseudonym::from_slice(&subject) else {
                let what = format!("a row names the patient {}, which is no pseudonym", hex::encode(&subject));
                self.findings.general(Fault::Tampered, what, STRAY);
                for cursor in [halves, entries, witnessed] {
                    while cursor.next_of(snapshot, &subject).await?.is_some() {}
                }
                continue;
            };
            let standing = self.patient(snapshot, patient, registered.as_ref(), erased.as_ref()).await?;
            let mut epochs = 0;
            while let Some(row) = halves.next_of(snapshot, &subject).await? {
                self.half(patient, &row, standing, &mut epochs);
            }
            if let Standing::Registered { epoch } = standing {
                if epochs < epoch {
                    let what = format!("the half of epoch {} is missing", epochs + 1);
                    self.findings.about(patient, Fault::Tampered, what, HALF);
                } else if epochs > epoch {
                    let what = format!(
                        "there is a half of epoch {epochs}, and the directive is of epoch {epoch}: an older one was put back"
                    );
                    self.findings.about(patient, Fault::Tampered, what, CONSENT);
                }
            }
            self.log(snapshot, entries, patient, standing, &mut heads).await?;
            while let Some(row) = witnessed.next_of(snapshot, &subject).await? {
                self.examined.witnessed += 1;
                heads.take_row(&WITNESS, &row);
                if standing == Standing::Unregistered {
                    let sequence = row.number("sequence").unwrap_or_default();
                    let what = "a head is kept of a patient who is not registered";
                    self.findings.at((patient, sequence), Fault::Tampered, what, STRAY);
                }
            }
        }
        self.look_up_identifiers(snapshot).await?;
        self.count_identifiers(snapshot).await?;
        self.emergencies(snapshot).await?;
        (self.examined.logs, self.examined.heads) = heads.finish();
        self.examined.consents = consents.finish();
        Ok(())
    }

    /// Registration, directive, and what remains of the erased.
    async fn patient(
        &mut self,
        snapshot: &mut Snapshot,
        patient: Pseudonym,
        row: Option<&TableRow>,
        erased: Option<&TableRow>,
    ) -> Result<Standing, StoreError> {
        if let Some(erased) = erased {
            self.examined.erased += 1;
            let order = erased.bytes("erasure").unwrap_or_default();
            if erasure::patient_of(order).ok() != Some(patient) {
                self.findings.about(patient, Fault::Tampered, "the order of the erasure is about somebody else", STRAY);
            }
            if row.is_some() {
                self.findings.about(patient, Fault::Tampered, "the patient was erased, and is registered", STRAY);
            }
        }
        let Some(row) = row else { return Ok(Standing::Unregistered) };
        self.examined.patients += 1;
        let (registration, directive) = match self.consent(patient, row) {
            Ok(both) => both,
            Err((fault, what)) => {
                self.findings.about(patient, fault, what, CONSENT);
                return Ok(Standing::Unread);
            }
        };
        for locator in &registration.registration().locators {
            self.identifiers.insert(locator.as_bytes().to_vec(), patient);
        }
        if self.identifiers.len() >= IDENTIFIERS_AT_ONCE {
            self.look_up_identifiers(snapshot).await?;
        }
        Ok(Standing::Registered { epoch: directive.epoch() })
    }

    fn consent(
        &self,
        patient: Pseudonym,
        row: &TableRow,
    ) -> Result<(VerifiedRegistration, Directive), (Fault, String)> {
        let exchange = self.membership.identity.exchange.to_string();
        let wrong = |what: &str| (Fault::Tampered, what.to_owned());
        let registration = row.bytes("registration").unwrap_or_default();
        let registration =
            registration::verify(registration, &exchange, Moment::Reading, &self.peers(), &self.operations)
                .map_err(|error| (Fault::of(&error), format!("the registration does not verify: {error}")))?;
        if registration.patient() != patient {
            return Err(wrong("the registration is another patient's"));
        }
        let directive = registration
            .open_directive(row.bytes("directive").unwrap_or_default(), &self.operations)
            .map_err(|error| (Fault::of(&error), format!("the directive does not verify: {error}")))?;
        let directive = Directive::from_bytes(&directive)
            .map_err(|error| wrong(&format!("the directive cannot be read: {error}")))?;
        if directive.patient().to_bytes() != *patient.as_bytes() || directive.exchange() != exchange {
            return Err(wrong("the directive is another patient's, or of another exchange"));
        }
        if row.number("version") != Some(directive.version()) || row.number("epoch") != Some(directive.epoch()) {
            return Err(wrong("version or epoch beside the directive are not the signed ones"));
        }
        Ok((registration, directive))
    }

    fn half(&mut self, patient: Pseudonym, row: &TableRow, standing: Standing, epochs: &mut u64) {
        self.examined.halves += 1;
        if standing == Standing::Unregistered {
            self.findings.about(patient, Fault::Tampered, "a half is kept of a patient who is not registered", STRAY);
            return;
        }
        let epoch = row.number("epoch").unwrap_or_default();
        if epoch != *epochs + 1 {
            let what = format!("the half of epoch {} is missing", *epochs + 1);
            self.findings.about(patient, Fault::Tampered, what, HALF);
        }
        *epochs = epoch;
        let place: [&[u8]; 3] = [self.side.place(), patient.as_bytes(), &epoch.to_be_bytes()];
        let wrapped = row.bytes("wrapped").unwrap_or_default();
        let mut failed = None;
        for keys in &self.keys {
            match keys.unwrap(&place, wrapped) {
                Ok(half) if half.len() == HALF_BYTES => return,
                Ok(_) | Err(WrappingError::Sealed) => {}
                Err(WrappingError::Token(error)) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            let what = format!("whether the half of epoch {epoch} opens cannot be told: {error}");
            self.findings.about(patient, Fault::Unverifiable, what, TOKEN);
        } else if self.without_token.is_some() {
            self.examined.unopened += 1;
        } else if !self.keys.is_empty() {
            let what = format!("the half of epoch {epoch} does not open under the folder's key-encryption key");
            self.findings.about(patient, Fault::Tampered, what, HALF);
        }
    }

    /// A patient's chain. After a fault it goes on from what the next entry names, so that one fault is one finding.
    async fn log(
        &mut self,
        snapshot: &mut Snapshot,
        entries: &mut Cursor,
        patient: Pseudonym,
        standing: Standing,
        heads: &mut Heads,
    ) -> Result<(), StoreError> {
        let exchange = self.membership.identity.exchange.to_string();
        let begun = ChainWalk::new(&exchange, patient, empty(patient), empty(patient)).ok();
        let mut chain = Chain { patient, exchange, standing, walk: begun, open: None };
        let mut last = 0;
        while let Some(row) = entries.next_of(snapshot, patient.as_bytes()).await? {
            self.examined.entries += 1;
            heads.take_row(&ENTRY, &row);
            let sequence = row.number("sequence").unwrap_or_default();
            let (before, place) = (last, (patient, sequence));
            last = sequence;
            if standing == Standing::Unregistered {
                if before == 0 {
                    let what = "entries are kept of a patient who is not registered";
                    self.findings.at(place, Fault::Tampered, what, STRAY);
                }
                continue;
            }
            if sequence != before + 1 {
                let what = format!("it follows number {before}: what came between is missing");
                self.findings.at(place, Fault::Tampered, what, RECORD);
                (chain.walk, chain.open) = (None, None);
            }
            if let Err((fault, what, remedy)) = self.entry(snapshot, &row, &mut chain).await? {
                self.findings.at(place, fault, what, remedy);
                (chain.walk, chain.open) = (None, None);
            }
        }
        if chain.open.is_some() {
            let what = "the deposit that it belongs to is not stored to its end";
            self.findings.at((patient, last), Fault::Tampered, what, RECORD);
        }
        Ok(())
    }

    async fn entry(
        &mut self,
        snapshot: &mut Snapshot,
        row: &TableRow,
        chain: &mut Chain,
    ) -> Result<Result<(), (Fault, String, &'static str)>, StoreError> {
        let wrong = |what: &str| Ok(Err((Fault::Tampered, what.to_owned(), RECORD)));
        let envelope = row.bytes("envelope").unwrap_or_default();
        let parsed = match record::parse(envelope) {
            Ok(parsed) => parsed,
            Err(error) => return wrong(&format!("its envelope cannot be read: {error}")),
        };
        let header = parsed.header().clone();
        if row.bytes("hash") != Some(entry_hash(envelope).as_bytes().as_slice()) {
            return wrong("its envelope is not the one whose hash is kept");
        }
        if row.number("sequence") != Some(header.sequence) {
            return wrong("its place in the log is not the signed one");
        }
        if row.bytes("tag") != Some(header.tag.as_bytes().as_slice()) {
            return wrong("the label beside it is not the signed one");
        }
        let Some(key) = parsed.key_id().filter(|key| row.bytes("author_key") == Some(key.as_bytes().as_slice())) else {
            return wrong("the author's key beside it is not the one that signed it");
        };
        let deposit = header.deposit.as_bytes().to_vec();
        if row.bytes("deposit").is_some_and(|kept| kept != deposit)
            || chain.open.take().is_some_and(|unfinished| unfinished != deposit)
        {
            return wrong("it is not of the deposit that it is kept under");
        }
        chain.open = row.bytes("deposit").is_none().then_some(deposit);
        if self.unknown_authors.contains(&key) {
            chain.walk = None;
            return Ok(Ok(()));
        }
        if !self.authors.knows(&key)
            && let Err(why) = self.author(snapshot, key, UnixTime::from_secs(header.authored_at)).await?
        {
            self.unknown_authors.insert(key);
            let what = format!("{why}; further entries of this author are not told one by one");
            return Ok(Err((Fault::Unverifiable, what, AUTHOR)));
        }
        let entry = match self.authors.verify(envelope, &self.operations) {
            Ok(entry) => entry,
            Err(error) => return wrong(&format!("it does not verify: {error}")),
        };
        let before = Witness { sequence: header.sequence.saturating_sub(1), head: header.previous };
        let again = || ChainWalk::new(&chain.exchange, chain.patient, before, before).ok();
        let Some(walk) = chain.walk.take().or_else(again) else { return wrong("it has no place in the log") };
        if let Err(error) = chain.walk.insert(walk).step(&entry) {
            return wrong(&error.to_string());
        }
        if matches!(chain.standing, Standing::Registered { epoch } if header.epoch > epoch) {
            return wrong("it is of a later epoch than the directive");
        }
        let ciphertext = match self.objects {
            None if row.bytes("object").is_some() => {
                self.examined.unseen += 1;
                return Ok(Ok(()));
            }
            None => None,
            Some(objects) => match objects.content_of(row).await {
                Ok(content) => content,
                Err(StoreError::Objects(fault @ ObjectFault::Missing { .. })) if self.missing.len() < MISSING_MAX => {
                    self.missing.push(((chain.patient, header.sequence), format!("the object storage {fault}")));
                    return Ok(Ok(()));
                }
                Err(StoreError::Objects(fault @ (ObjectFault::Missing { .. } | ObjectFault::Altered { .. }))) => {
                    return wrong(&format!("the object storage {fault}"));
                }
                Err(error) => return Err(error),
            },
        };
        match entry.check_ciphertext(ciphertext.as_deref().or(row.bytes("ciphertext")).unwrap_or_default()) {
            Ok(()) => Ok(Ok(())),
            Err(error) => wrong(&error.to_string()),
        }
    }

    async fn author(
        &mut self,
        snapshot: &mut Snapshot,
        key: Digest,
        at: UnixTime,
    ) -> Result<Result<(), String>, StoreError> {
        if self.authors_known >= AUTHORS_MAX {
            (self.authors, self.authors_known) = (Authors::default(), 0);
        }
        let found = snapshot.find(&AUTHORS, &[key.as_bytes().to_vec()]).await?;
        let Some(chain) = found.first().and_then(|row| row.bytes("chain")) else {
            return Ok(Err("its author's certificate is missing".to_owned()));
        };
        let read =
            from_bytes::<Vec<Blob>>(chain, HANDSHAKE_BYTES_MAX).ok().and_then(|wire| chain_from_wire(&wire).ok());
        let Some(chain) = read else { return Ok(Err("its author's certificate cannot be read".to_owned())) };
        let peers = Peers { trust: &self.membership.trust, cache: &self.cache, now: SystemClock.now() };
        Ok(match self.authors.add(&chain, at, &peers) {
            Ok(()) if self.authors.knows(&key) => {
                self.authors_known += 1;
                Ok(())
            }
            Ok(()) => Err("its author's certificate is for another key".to_owned()),
            Err(error) => Err(format!("its author's certificate does not verify: {error}")),
        })
    }

    /// Whether each identifier of a registration leads to its patient.
    async fn look_up_identifiers(&mut self, snapshot: &mut Snapshot) -> Result<(), StoreError> {
        let wanted: HashMap<Vec<u8>, Pseudonym> = self.identifiers.drain().collect();
        self.identifiers_seen += wanted.len() as u64;
        let keys: Vec<_> = wanted.keys().cloned().collect();
        let found: HashMap<_, _> = snapshot
            .find(&LOCATOR, &keys)
            .await?
            .into_iter()
            .filter_map(|row| Some((row.subject().to_vec(), row.bytes("pseudonym")?.to_vec())))
            .collect();
        for (locator, patient) in wanted {
            if found.get(&locator).map(Vec::as_slice) != Some(patient.as_bytes().as_slice()) {
                let what = "one of the registration's identifiers does not lead to the patient";
                self.findings.about(patient, Fault::Tampered, what, CONSENT);
            }
        }
        Ok(())
    }

    async fn count_identifiers(&mut self, snapshot: &mut Snapshot) -> Result<(), StoreError> {
        let (mut kept, mut after) = (0, None);
        loop {
            let page = snapshot.page(&LOCATOR, after.as_ref()).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.key(&LOCATOR));
            kept += page.len() as u64;
        }
        // Where a registration does not verify, its identifiers are not known either.
        if kept > self.identifiers_seen && self.findings.count() == 0 {
            let what = format!("{} identifiers belong to no registration", kept - self.identifiers_seen);
            self.findings.general(Fault::Tampered, what, STRAY);
        }
        Ok(())
    }

    async fn emergencies(&mut self, snapshot: &mut Snapshot) -> Result<(), StoreError> {
        let mut cursor = Cursor::new(&EMERGENCY);
        while cursor.peek(snapshot).await?.is_some() {
            let Some(row) = cursor.rows.pop_front() else { break };
            self.examined.emergencies += 1;
            let Some(patient) = row.bytes("patient").and_then(Pseudonym::from_slice) else {
                self.findings.general(Fault::Tampered, "an emergency access names no patient", STRAY);
                continue;
            };
            if snapshot.find(&PATIENT, &[patient.as_bytes().to_vec()]).await?.is_empty() {
                let what = "an emergency access is kept of a patient who is not registered";
                self.findings.about(patient, Fault::Tampered, what, STRAY);
            }
        }
        Ok(())
    }

    fn peers(&self) -> Peers<'_> {
        Peers { trust: &self.membership.trust, cache: &self.cache, now: SystemClock.now() }
    }
}

/// A half without its wrapping.
const HALF_BYTES: usize = 32;
/// Identifiers that are looked up together.
const IDENTIFIERS_AT_ONCE: usize = 512;
/// Missing objects that are kept until it is known whose they were; of further ones it is told at once.
const MISSING_MAX: usize = 50_000;
/// Authors whose certificates are remembered.
const AUTHORS_MAX: usize = 4096;
