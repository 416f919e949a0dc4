//! Root alters the log straight in the database and holds the log's own key: deletions, edits, reorderings, truncations,
//! also with every hash computed anew and the checkpoint signed again. Each is found by walking the log as
//! `sealwort audit verify` does. So that a thousand walks end in time, a walk begins at the last place before the
//! damage that was found good before it; for some the whole log is forged and walked. Another party has seen the log
//! every [`WITNESSED_EVERY`] entries and at its end.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use sealwort_audit::{
    AtRest, Checkpoint, Event, EventKind, Fault, Row, SignedCheckpoint, Tree, Verdict, Walk, Witnessed,
};
use sealwort_pki::Role;
use sealwort_pki::testing::{TestExchange, TestParty};
use sealwort_proto::Pseudonym;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _, Row as _, SqliteConnection};

use super::SqliteAudit;
use super::trail::rows;
use crate::{AuditBatch, AuditQuery, AuditStore as _, DataFolder, KeptCheckpoint, StoreError};

/// The whole size in a release build; a tenth of the log and a fifth of the manipulations without optimisation.
const ENTRIES: usize = if cfg!(debug_assertions) { 10_000 } else { 100_000 };
const MANIPULATIONS: usize = if cfg!(debug_assertions) { 200 } else { 1_000 };
const WITNESSED_EVERY: usize = 200;
/// After the first of each kind, truncations and renumbering lie at most so far from the end: they touch all behind.
const NEAR: usize = 2_000;
const FIRST: u64 = 1_893_456_000_000;

/// A repeatable draw.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

/// The log as it was, and all that a walk is held against.
struct Log {
    party: TestParty,
    events: Vec<Event>,
    rows: Vec<Row>,
    /// Before every [`WITNESSED_EVERY`] entries.
    trees: Vec<Tree>,
    known: Vec<Witnessed>,
}

impl Log {
    fn new() -> Self {
        let party = TestExchange::new("demo").party(Role::Archive, "main");
        let mut log = Self { party, events: Vec::new(), rows: Vec::new(), trees: Vec::new(), known: Vec::new() };
        let mut tree = Tree::empty();
        for number in 0..ENTRIES {
            if number % WITNESSED_EVERY == 0 {
                log.trees.push(tree.clone());
            }
            let patient = Pseudonym::new([u8::try_from(number % 200).unwrap(); 32]);
            let event = Event::new(EventKind::EntriesFetched, FIRST + number as u64);
            let event = event.patient(patient).user("dr-ada", "physician");
            log.rows.push(Row::append(&mut tree, &event, &AtRest::Clear).unwrap());
            log.events.push(event);
            if (number + 1) % WITNESSED_EVERY == 0 {
                log.known.push(Witnessed { size: tree.size(), root: tree.root(), by: "another party".into() });
            }
        }
        log
    }

    fn checkpoint(&self, tree: &Tree) -> KeptCheckpoint {
        let checkpoint = Checkpoint::of(tree, &self.party.identity, FIRST);
        let note = checkpoint.sign(&self.party.statement.key).unwrap().to_string();
        KeptCheckpoint { size: tree.size(), note }
    }

    /// Walks on to the end, and holds the log against its own checkpoint, which must be signed by it.
    async fn walk(&self, c: &mut SqliteConnection, mut walk: Walk<'_>) -> Result<(), Verdict> {
        loop {
            let query = AuditQuery { from: walk.size(), ..AuditQuery::default() };
            let page = match rows(c, &query, 128).await {
                Ok(page) => page,
                // Hashes of another length than the entry's place asks for.
                Err(StoreError::Damaged { reason, .. }) => {
                    return Err(Verdict { fault: Fault::Tampered, number: None, reason });
                }
                Err(other) => panic!("{other}"),
            };
            if page.is_empty() {
                let own = self.own(c).await;
                return walk.finish(own.size);
            }
            for row in &page {
                walk.take(row)?;
            }
        }
    }

    async fn own(&self, c: &mut SqliteConnection) -> Witnessed {
        let row = sqlx::query("SELECT note FROM audit_checkpoint WHERE cosigned = 0").fetch_one(c).await.unwrap();
        let note = row.get::<String, _>(0).parse().unwrap();
        let signed = SignedCheckpoint::verify(note, self.party.statement.key.public_key()).unwrap();
        let own = signed.checkpoint();
        Witnessed { size: own.size, root: own.root, by: own.origin.to_string() }
    }

    /// Whether entries from here on are other ones than they were.
    async fn is_changed(&self, c: &mut SqliteConnection, from: usize) -> bool {
        let query = AuditQuery { from: from as u64, ..AuditQuery::default() };
        let end = (from + 2 * WITNESSED_EVERY).min(ENTRIES);
        match rows(c, &query, end - from).await {
            Ok(page) => page != self.rows[from..end],
            Err(_) => true,
        }
    }

    /// Writes these entries anew after a tree, with hashes that fit, and signs the checkpoint over them.
    async fn forge(&self, c: &mut SqliteConnection, mut tree: Tree, events: &[Event]) {
        for event in events {
            put(c, &Row::append(&mut tree, event, &AtRest::Clear).unwrap()).await;
        }
        self.sign(c, &tree).await;
    }

    async fn sign(&self, c: &mut SqliteConnection, tree: &Tree) {
        let kept = self.checkpoint(tree);
        sqlx::query("UPDATE audit_checkpoint SET size = ?, note = ? WHERE cosigned = 0")
            .bind(i64::try_from(kept.size).unwrap())
            .bind(kept.note)
            .execute(c)
            .await
            .unwrap();
    }
}

async fn put(c: &mut SqliteConnection, row: &Row) {
    sqlx::query("UPDATE audit_entry SET stored = ?, hashes = ?, time = ?, kind = ?, outcome = ?, patient = ?, user = ? WHERE number = ?")
        .bind(&row.stored)
        .bind(row.hashes.to_bytes())
        .bind(i64::try_from(row.index.time).unwrap())
        .bind(i64::from(row.index.kind))
        .bind(i64::from(row.index.outcome))
        .bind(row.index.patient.map(|patient| patient.as_bytes().to_vec()))
        .bind(row.index.user.map(|user| user.as_bytes().to_vec()))
        .bind(i64::try_from(row.number).unwrap())
        .execute(c)
        .await
        .unwrap();
}

async fn run(c: &mut SqliteConnection, statement: String) {
    c.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statement))).await.unwrap();
}

/// What root does; the last three compute all hashes anew.
#[derive(Debug, Clone, Copy)]
enum What {
    Delete,
    DeleteSeveral,
    EditByte,
    EditIndex,
    Swap,
    Truncate,
    DeleteAndRenumber,
    ForgeEdit,
    ForgeOrder,
    ForgeRemoval,
}

const ALL: [What; 10] = [
    What::Delete,
    What::DeleteSeveral,
    What::EditByte,
    What::EditIndex,
    What::Swap,
    What::Truncate,
    What::DeleteAndRenumber,
    What::ForgeEdit,
    What::ForgeOrder,
    What::ForgeRemoval,
];

/// Alters the log at this entry. `reach` is how far a forger goes on writing: walks that end before see no more of it.
async fn alter(c: &mut SqliteConnection, log: &Log, what: What, at: usize, reach: usize, dice: &mut Dice) {
    let block = at / WITNESSED_EVERY;
    let within = at % WITNESSED_EVERY;
    let mut events = log.events[block * WITNESSED_EVERY..reach].to_vec();
    match what {
        What::Delete => run(c, format!("DELETE FROM audit_entry WHERE number = {at}")).await,
        What::DeleteSeveral => {
            let end = at + 2 + dice.below(50);
            run(c, format!("DELETE FROM audit_entry WHERE number >= {at} AND number < {end}")).await;
        }
        What::EditByte => {
            let mut row = log.rows[at].clone();
            let byte = dice.below(row.stored.len());
            row.stored[byte] ^= 1 << dice.below(8);
            put(c, &row).await;
        }
        What::EditIndex => {
            let edits = ["patient = NULL", "time = time + 1", "outcome = 1", "kind = 70", "user = NULL"];
            let edit = edits[dice.below(edits.len())];
            run(c, format!("UPDATE audit_entry SET {edit} WHERE number = {at}")).await;
        }
        What::Swap => {
            let next = at + 1;
            run(c, format!("UPDATE audit_entry SET number = -1 WHERE number = {at}; UPDATE audit_entry SET number = {at} WHERE number = {next}; UPDATE audit_entry SET number = {next} WHERE number = -1")).await;
        }
        What::Truncate => {
            run(c, format!("DELETE FROM audit_entry WHERE number >= {at}")).await;
            let mut tree = log.trees[block].clone();
            for row in &log.rows[block * WITNESSED_EVERY..at] {
                tree.append(row.hashes.leaf()).unwrap();
            }
            log.sign(c, &tree).await;
        }
        What::DeleteAndRenumber => {
            run(c, format!("DELETE FROM audit_entry WHERE number = {at}; UPDATE audit_entry SET number = -number WHERE number > {at}; UPDATE audit_entry SET number = -number - 1 WHERE number < 0")).await;
        }
        What::ForgeEdit => {
            events[within] = Event::new(EventKind::EntriesFetched, FIRST).user("dr-eve", "physician");
            log.forge(c, log.trees[block].clone(), &events).await;
        }
        What::ForgeOrder => {
            events.swap(within, (within + 1) % WITNESSED_EVERY);
            log.forge(c, log.trees[block].clone(), &events).await;
        }
        // One more is made up at the end, so that the size is right.
        What::ForgeRemoval => {
            events.remove(within);
            events.push(Event::new(EventKind::EntriesFetched, FIRST).user("dr-ada", "physician"));
            log.forge(c, log.trees[block].clone(), &events).await;
        }
    }
}

#[tokio::test]
async fn every_manipulation_of_a_large_log_is_found() {
    let place = tempfile::tempdir().unwrap();
    let data = DataFolder::open(place.path(), "archive").unwrap();
    let store = SqliteAudit::open(&data, place.path()).await.unwrap();
    let log = Log::new();
    let mut tree = Tree::empty();
    for rows in log.rows.chunks(ENTRIES / 20) {
        for row in rows {
            tree.append(row.hashes.leaf()).unwrap();
        }
        let batch = AuditBatch { rows: rows.to_vec(), checkpoint: log.checkpoint(&tree) };
        store.append_audit(batch).await.unwrap();
    }
    store.close().await;

    let mut root = SqliteConnectOptions::new().filename(place.path().join("audit.sqlite")).connect().await.unwrap();
    let c = &mut root;
    // The log as it is passes, from the beginning and from every place on that later walks begin at.
    let (mut walk, mut places) = (Walk::new(&AtRest::Clear, log.known.clone()), Vec::new());
    while walk.size() < ENTRIES as u64 {
        places.push(walk.clone());
        let query = AuditQuery { from: walk.size(), ..AuditQuery::default() };
        for row in rows(c, &query, WITNESSED_EVERY).await.unwrap() {
            walk.take(&row).unwrap();
        }
    }
    log.walk(c, walk).await.unwrap();

    let mut dice = Dice(5);
    let (mut forged_whole, mut found) = (0, 0);
    for number in 0..MANIPULATIONS {
        let what = ALL[number % ALL.len()];
        let whole = number < ALL.len();
        let at = match what {
            What::Truncate | What::DeleteAndRenumber if !whole => ENTRIES - 2 - dice.below(NEAR),
            _ => dice.below(ENTRIES - 2),
        };
        let block = at / WITNESSED_EVERY;
        let start = block * WITNESSED_EVERY;
        let forged = matches!(what, What::ForgeEdit | What::ForgeOrder | What::ForgeRemoval);
        let reach = if whole { ENTRIES } else { start + WITNESSED_EVERY };
        run(c, "BEGIN IMMEDIATE".into()).await;
        alter(c, &log, what, at, reach, &mut dice).await;
        assert!(log.is_changed(c, start).await, "{what:?} at {at} changed nothing: the test tests nothing");
        if whole && forged {
            // The whole of it is in itself right, own checkpoint and all: only other parties' memory tells.
            let own = log.own(c).await;
            log.walk(c, Walk::new(&AtRest::Clear, [own])).await.unwrap();
            forged_whole += 1;
        }
        let begin = if whole && forged { 0 } else { block };
        let verdict = log.walk(c, places[begin].clone()).await;
        let verdict = verdict.expect_err(&format!("manipulation {number}, {what:?} at entry {at}, was not found"));
        assert_eq!(verdict.fault, Fault::Tampered, "{what:?} at {at}: {verdict}");
        found += 1;
        run(c, "ROLLBACK".into()).await;
    }
    assert_eq!((found, forged_whole), (MANIPULATIONS, 3), "every manipulation, and the whole forgeries");
    // And what was undone passes again.
    log.walk(c, places[0].clone()).await.unwrap();
}
