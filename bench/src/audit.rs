//! The audit log as services run it: entries appended by 1, 8 and 64 callers at once, each waiting until its entry is on
//! the disk, beside plain inserts of the same bytes with and without group commit; and a log of 100,000 entries verified.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealwort_audit::{AtRest, Detail, Event, EventKind, Row as Entry, Tree, Walk, leaf_hash};
use sealwort_journal::{Journal, Opening, Speaker, Voice};
use sealwort_net::health::Readiness;
use sealwort_net::{Clock as _, SystemClock};
use sealwort_pki::testing::{TestExchange, TestParty};
use sealwort_pki::{Role, SigningKey, Trust};
use sealwort_proto::Pseudonym;
use sealwort_proto::crypto::Secret;
use sealwort_store::sqlite::SqliteAudit;
use sealwort_store::{AuditBatch, AuditQuery, AuditStore as _, DataFolder, KeptCheckpoint};
use sqlx::SqliteConnection;

use crate::Thoroughness;
use crate::measure::{Failure, Samples, factor};
use crate::plain::{self, Plain, PlainRow};
use crate::report::{Aim, Report, Row};

const CALLERS: [u64; 3] = [1, 8, 64];
/// Rounds, each of the three in turn.
const ROUNDS: usize = 7;
const ROUND_FULL: Duration = Duration::from_secs(1);
const ROUND_QUICK: Duration = Duration::from_millis(200);
/// Most rows in one commit of the reference, as in the journal's.
const BATCH_MAX: usize = 256;
/// Entries that are verified, and how many are read at once.
const VERIFIED: u64 = 100_000;
const PAGE: usize = 1_000;
/// What group commit must be good for: an entry's time with 64 callers, by its time with one.
const AMORTISED_AIM: f64 = 0.25;

const PLAIN_TABLE: &str = "CREATE TABLE plain (
    number INTEGER PRIMARY KEY, hashes BLOB NOT NULL, stored BLOB NOT NULL, time INTEGER NOT NULL, kind INTEGER NOT NULL,
    outcome INTEGER NOT NULL, patient BLOB, user BLOB) STRICT";
const PLAIN_INSERT: &str = "INSERT INTO plain (hashes, stored, time, kind, outcome, patient, user)
    VALUES (?, ?, ?, ?, ?, ?, ?)";

/// Measures and reports.
pub(crate) async fn run(thoroughness: Thoroughness, folder: &Path, report: &mut Report) -> Result<(), Failure> {
    let place = tempfile::tempdir_in(folder)?;
    appending(thoroughness, place.path(), report).await?;
    verifying(thoroughness, place.path(), report).await
}

// ---- appending ----

/// What an audit log needs of its party.
struct Party {
    member: TestParty,
    key: Arc<SigningKey>,
    trust: Arc<Trust>,
}

impl Voice for Party {
    fn speaker(&self) -> Speaker {
        let chain = self.member.statement.chain.clone();
        Speaker { identity: self.member.identity.clone(), key: Arc::clone(&self.key), chain }
    }

    fn trust(&self) -> Arc<Trust> {
        Arc::clone(&self.trust)
    }

    fn now_millis(&self) -> u64 {
        SystemClock.now().as_secs() * 1000
    }
}

async fn appending(thoroughness: Thoroughness, place: &Path, report: &mut Report) -> Result<(), Failure> {
    let round = if thoroughness == Thoroughness::Full { ROUND_FULL } else { ROUND_QUICK };
    let exchange = TestExchange::new("bench");
    let party = exchange.party(Role::Gateway, "hospital-a");
    let key = Arc::new(SigningKey::from_pkcs8(&party.statement.key.to_pkcs8()?)?);
    let data = DataFolder::open(&place.join("journal"), "gateway")?;
    let journal = Journal::open(Opening {
        store: Arc::new(SqliteAudit::open(&data, data.path()).await?),
        place: data.path().to_owned(),
        voice: Arc::new(Party { member: party, key, trust: Arc::new(exchange.trust()) }),
        at_rest: sealed(),
        evidence: None,
        readiness: Readiness::new(),
    })
    .await?;
    let grouped = Plain::spawn(plain::file(&place.join("grouped.sqlite"), PLAIN_TABLE).await?, BATCH_MAX);
    let single = Plain::spawn(plain::file(&place.join("single.sqlite"), PLAIN_TABLE).await?, 1);
    let at_rest = sealed();
    let mut entry_of_one = f64::NAN;
    for callers in CALLERS {
        let (mut ours, mut with, mut without) = (Samples::default(), Samples::default(), Samples::default());
        for _ in 0..ROUNDS {
            let journal = &journal;
            ours.push(
                rate(callers, round, || {
                    let journal = journal.clone();
                    async move { Ok(journal.append(event(0)).await?) }
                })
                .await?,
            );
            // The same bytes, made beforehand: making them is not the database's work.
            let entry = Entry::append(&mut Tree::empty(), &event(0), &at_rest)?;
            for (plain, found) in [(&grouped, &mut with), (&single, &mut without)] {
                found.push(rate(callers, round, || plain.insert(entry.clone())).await?);
            }
        }
        let micros = 1e6 / ours.median();
        if callers == 1 {
            entry_of_one = micros;
        }
        report.note(&format!(
            "audit.append_{callers}: {ROUNDS} rounds of {} s in turns; {micros:.0} µs for each entry",
            round.as_secs_f64()
        ));
        let row = |part: &str| {
            let what = format!("entries, {callers} at once");
            Row::new(format!("audit.append_{callers}{part}"), what, ours.median(), "/s")
        };
        report.row(row("").against("plain INSERT, group commit", with.median()));
        report.row(row(".single").against("plain INSERT, a commit each", without.median()));
        if callers > 1 {
            let name = format!("audit.append_{callers}.amortised");
            let row = Row::new(name, "an entry", micros, "µs").against("an entry of one caller alone", entry_of_one);
            report.row(if callers == 64 { row.aim(Aim::RatioAtMost(AMORTISED_AIM)) } else { row });
        }
    }
    journal.close().await;
    Ok(())
}

/// As a gateway's, which seals its entries.
fn sealed() -> AtRest {
    AtRest::sealed(&Secret::new([7; 32]))
}

/// What stands in the log about an ordinary search.
fn event(number: u64) -> Event {
    let mut patient = [0x5a; 32];
    let (first, _) = patient.split_at_mut(8);
    first.copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    Event::new(EventKind::Searched, SystemClock.now().as_secs() * 1000 + number)
        .user("dr-bench", "physician")
        .purpose("TREAT")
        .patient(Pseudonym::new(patient))
        .detail(Detail::ResourceType, "Observation")
        .detail(Detail::Query, "patient=5f1c0c1e3c9d4f6a&code=http%3A%2F%2Floinc.org%7C8867-4&_count=20")
        .detail(Detail::Count, 2)
        .detail(Detail::Subject, "Observation/a1b2c3d4e5f60718 Observation/1827364554637281")
}

async fn rate<F>(callers: u64, round: Duration, append: impl Fn() -> F) -> Result<f64, Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    let begun = Instant::now();
    let caller = async |()| {
        let mut done = 0;
        while begun.elapsed() < round {
            append().await?;
            done += 1;
        }
        Ok::<u64, Failure>(done)
    };
    let done = futures::future::try_join_all((0..callers).map(|_| caller(()))).await?;
    Ok(factor(done.iter().sum()) / begun.elapsed().as_secs_f64())
}

impl PlainRow for Entry {
    type Connection = SqliteConnection;

    async fn commit(rows: Vec<Self>, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
        for row in rows {
            sqlx::query(PLAIN_INSERT)
                .bind(row.hashes.to_bytes())
                .bind(row.stored)
                .bind(i64::try_from(row.index.time).unwrap_or_default())
                .bind(i64::from(row.index.kind))
                .bind(i64::from(row.index.outcome))
                .bind(row.index.patient.map(|patient| patient.as_bytes().to_vec()))
                .bind(row.index.user.map(|user| user.as_bytes().to_vec()))
                .execute(&mut *connection)
                .await?;
        }
        sqlx::query("COMMIT").execute(connection).await.map(drop)
    }
}

// ---- verifying ----

async fn verifying(thoroughness: Thoroughness, place: &Path, report: &mut Report) -> Result<(), Failure> {
    let entries = u64::try_from(thoroughness.times(usize::try_from(VERIFIED)?))?;
    let data = DataFolder::open(&place.join("verified"), "gateway")?;
    let store = SqliteAudit::open(&data, data.path()).await?;
    let (mut tree, at_rest) = (Tree::empty(), sealed());
    while tree.size() < entries {
        let rows: Result<Vec<Entry>, _> = (tree.size()..entries.min(tree.size() + PAGE as u64))
            .map(|number| Entry::append(&mut tree, &event(number), &at_rest))
            .collect();
        let checkpoint = KeptCheckpoint { size: tree.size(), note: String::new() };
        store.append_audit(AuditBatch { rows: rows?, checkpoint }).await?;
    }
    let (mut walks, mut reads) = (Samples::default(), Samples::default());
    for _ in 0..ROUNDS {
        let mut walk = Walk::new(&at_rest, []);
        let walked = over(&store, |row| Ok(walk.take(row).map(drop)?)).await?;
        if walk.size() != entries {
            return Err("not every entry was verified".into());
        }
        walks.push(factor(entries) / walked.as_secs_f64());
        let hashed = over(&store, |row| {
            std::hint::black_box(leaf_hash(&row.stored));
            Ok(())
        });
        reads.push(factor(entries) / hashed.await?.as_secs_f64());
    }
    report.note(&format!("audit.verify: {entries} entries, {ROUNDS} rounds in turns, one thread, sealed at rest"));
    let what = "entries read, opened, hashed into the tree and compared";
    report.row(Row::new("audit.verify", what, walks.median(), "/s").against("read and hashed once", reads.median()));
    store.close().await;
    Ok(())
}

/// Time to read a whole log and do something with each row.
async fn over(store: &SqliteAudit, mut each: impl FnMut(&Entry) -> Result<(), Failure>) -> Result<Duration, Failure> {
    let (begun, mut from) = (Instant::now(), 0);
    loop {
        let rows = store.audit_rows(AuditQuery { from, ..AuditQuery::default() }, PAGE).await?;
        let Some(last) = rows.last() else { return Ok(begun.elapsed()) };
        from = last.number + 1;
        for row in &rows {
            each(row)?;
        }
    }
}
