//! A log of a party that others cosign: exported, verified offline, altered in every way, and verified again.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::time::Duration;

use sealwort_audit::{
    AddCheckpoint, AtRest, Batch, Chains, Checkpoint, Coverage, Event, EventKind, Export, Fault, Hashes, Note, Passed,
    Question, Refused, Row, SignatureKind, Tree, Verdict, Walk, WitnessFile, Witnessed, export_line, judge,
    verify_export, verify_selected,
};
use sealwort_pki::testing::{TestExchange, TestParty};
use sealwort_pki::{KeyAlgorithm, Role, Trust};
use sealwort_proto::{Digest, Pseudonym};

struct Trail {
    exchange: TestExchange,
    log: TestParty,
    witness: TestParty,
    rows: Vec<Row>,
    events: Vec<Event>,
}

impl Trail {
    fn new(algorithm: KeyAlgorithm, size: u64) -> Self {
        let exchange = TestExchange::with("demo", algorithm, sealwort_pki::testing::TEST_NOW);
        let (log, witness) = (exchange.party(Role::Archive, "main"), exchange.party(Role::Broker, "main"));
        let mut tree = Tree::empty();
        let events: Vec<_> = (0..size)
            .map(|number| {
                Event::new(EventKind::EntriesFetched, exchange.now.as_secs() * 1000 + number)
                    .user("dr-ada", "physician")
                    .patient(Pseudonym::new([u8::try_from(number % 5).unwrap(); 32]))
            })
            .collect();
        let rows = events.iter().map(|event| Row::append(&mut tree, event, &AtRest::Clear).unwrap()).collect();
        Self { exchange, log, witness, rows, events }
    }

    fn trust(&self) -> Trust {
        self.exchange.trust_without_crl()
    }

    fn chains(&self) -> Chains {
        [&self.log, &self.witness].map(|party| party.statement.chain.clone()).into_iter().collect()
    }

    fn answer(&self, question: Question) -> Vec<Digest> {
        question.answer(&self.found(&question.needs())).unwrap()
    }

    fn found(&self, numbers: &[u64]) -> Vec<(u64, Hashes)> {
        numbers.iter().map(|at| (*at, self.rows[usize::try_from(*at).unwrap()].hashes.clone())).collect()
    }

    fn note(&self, size: u64) -> Note {
        let root = self.answer(Question::Root { size })[0];
        let time = self.exchange.now.as_secs() * 1000 + size;
        Checkpoint { origin: self.log.identity.clone(), size, root, time }.sign(&self.log.statement.key).unwrap()
    }

    fn cosigned(&self, size: u64) -> Note {
        let mut note = self.note(size);
        let at = self.exchange.now.plus(Duration::from_secs(size));
        note.add(&note.cosign(&self.witness.identity, &self.witness.statement.key, at).unwrap()).unwrap();
        note
    }

    fn witness_file(&self, sizes: &[u64]) -> WitnessFile {
        let notes = sizes.iter().map(|size| self.cosigned(*size).to_string()).collect();
        WitnessFile::new(&self.witness.identity.to_string(), notes, &self.chains())
    }

    fn export(&self, coverage: Coverage, witnessed: Option<u64>) -> Export {
        let size = self.rows.len() as u64;
        let witnessed = witnessed.map(|old| (self.cosigned(old), self.answer(Question::Consistency { size, old })));
        Export { note: self.note(size), witnessed, coverage, chains: self.chains() }
    }

    fn range(&self, from: u64, below: u64) -> (String, Export) {
        let mut tree = Tree::empty();
        self.rows[..usize::try_from(from).unwrap()].iter().for_each(|row| drop(tree.append(row.hashes.leaf())));
        let consistency = self.answer(Question::Consistency { size: self.rows.len() as u64, old: below });
        let lines = (from..below).map(|number| self.line(number)).collect();
        let coverage = Coverage::Range { from, below, edge: tree.edge(), consistency };
        (lines, self.export(coverage, Some(self.rows.len() as u64 - 3)))
    }

    fn line(&self, number: u64) -> String {
        export_line(number, &self.events[usize::try_from(number).unwrap()])
    }

    fn verify(&self, lines: &str, export: &Export, files: &[WitnessFile]) -> Result<Passed, Verdict> {
        let proof = serde_json::to_vec(&export.to_proof()).unwrap();
        verify_export(lines.as_bytes(), &proof, &self.trust(), files, 1)
    }
}

fn fault(outcome: Result<Passed, Verdict>) -> Fault {
    outcome.unwrap_err().fault
}

#[test]
fn exports_verify_under_both_kinds_of_keys() {
    for algorithm in KeyAlgorithm::ALL {
        let trail = Trail::new(algorithm, 21);
        for (from, below) in [(0, 21), (0, 0), (5, 17), (20, 21), (7, 7)] {
            let (lines, export) = trail.range(from, below);
            let passed = trail.verify(&lines, &export, &[]).unwrap();
            assert_eq!((passed.entries, passed.witnessed, passed.size), (below - from, 18, 21));
        }
        let numbers = [2, 7, 12];
        let batch = Batch::new(21, numbers.to_vec()).unwrap();
        let proof = batch.prove(&trail.found(&batch.needs())).unwrap();
        let coverage = Coverage::Selected { numbers: numbers.to_vec(), proof };
        let export = trail.export(coverage, Some(21));
        let lines: String = numbers.map(|number| trail.line(number)).concat();
        assert_eq!(trail.verify(&lines, &export, &[]).unwrap().entries, 3);
        let leaves = numbers.map(|number| trail.events[usize::try_from(number).unwrap()].to_bytes());
        let selected =
            |leaves: &[Vec<u8>]| verify_selected(&export, leaves.iter().map(Vec::as_slice), &trail.trust(), 1);
        assert_eq!(selected(&leaves).unwrap().witnessed, 21);
        assert_eq!(fault(selected(&leaves[1..])), Fault::Tampered);
        let cut = trail.verify(&trail.line(2), &export, &[]);
        assert_eq!(fault(cut), Fault::Tampered);
        let moved: String = [7, 2, 12].map(|number| trail.line(number)).concat();
        assert_eq!(fault(trail.verify(&moved, &export, &[])), Fault::Tampered);
    }
}

#[test]
fn entries_that_are_altered_left_out_added_or_moved_are_found() {
    let trail = Trail::new(KeyAlgorithm::Ed25519, 21);
    let (lines, export) = trail.range(5, 17);
    let all: Vec<&str> = lines.split_inclusive('\n').collect();
    for at in 0..all.len() {
        let mut missing = all.clone();
        missing.remove(at);
        let mut twice = all.clone();
        twice.insert(at, all[at]);
        let mut moved = all.clone();
        moved.swap(at, (at + 1) % all.len());
        for altered in [missing, twice, moved] {
            assert_eq!(fault(trail.verify(&altered.concat(), &export, &[])), Fault::Tampered);
        }
        let other = export_line(at as u64 + 5, &Event::new(EventKind::Read, 1));
        let mut replaced = all.clone();
        replaced[at] = &other;
        assert_eq!(fault(trail.verify(&replaced.concat(), &export, &[])), Fault::Tampered);
        let readable = all[at].replace("dr-ada", "dr-eve");
        let mut replaced = all.clone();
        replaced[at] = &readable;
        assert_eq!(fault(trail.verify(&replaced.concat(), &export, &[])), Fault::Tampered);
    }
    assert_eq!(fault(trail.verify(lines.trim_end(), &export, &[])), Fault::Tampered);
}

/// Every byte of a proof: what is accepted still is accepted because nothing that is believed was changed.
#[test]
fn an_altered_proof_never_panics_and_proves_nothing_else() {
    let trail = Trail::new(KeyAlgorithm::Ed25519, 21);
    let (lines, export) = trail.range(5, 17);
    let proof = serde_json::to_vec(&export.to_proof()).unwrap();
    let trust = trail.trust();
    let good = verify_export(lines.as_bytes(), &proof, &trust, &[], 1).unwrap();
    let (mut refused, mut tried) = (0, 0);
    for position in (0..proof.len()).step_by(3) {
        let mut altered = proof.clone();
        altered[position] ^= 1 << (position % 7);
        tried += 1;
        match verify_export(lines.as_bytes(), &altered, &trust, &[], 1) {
            Ok(passed) => assert_eq!(passed, good, "byte {position}"),
            Err(_) => refused += 1,
        }
        assert!(verify_export(lines.as_bytes(), &proof[..position], &trust, &[], 1).is_err());
    }
    // The one thing that may change unseen is a signature whose key id no longer names a key: C2SP ignores those.
    assert!(refused * 10 > tried * 9, "{refused} of {tried}");
}

#[test]
fn a_rewritten_log_needs_its_witnesses() {
    let trail = Trail::new(KeyAlgorithm::Ed25519, 21);
    // The same party with the same keys signs another history; nobody else has cosigned it.
    let mut forged = Trail::new(KeyAlgorithm::Ed25519, 21);
    (forged.exchange, forged.log, forged.witness) = (trail.exchange, trail.log, trail.witness);
    let honest = Trail { exchange: forged.exchange, log: forged.log, witness: forged.witness, ..trail };
    let file = honest.witness_file(&[9, 18]);
    let (lines, export) = honest.range(0, 21);
    assert_eq!(honest.verify(&lines, &export, std::slice::from_ref(&file)).unwrap().witnessed, 18);
    let alone = Export { witnessed: None, ..export.clone() };
    assert_eq!(fault(honest.verify(&lines, &alone, &[])), Fault::Unverifiable, "the log's own word alone");
    assert_eq!(honest.verify(&lines, &alone, std::slice::from_ref(&file)).unwrap().witnesses.len(), 1);

    // What the log's own party says it remembers of itself is still its own word.
    let itself =
        WitnessFile::new(&honest.log.identity.to_string(), vec![honest.cosigned(18).to_string()], &honest.chains());
    assert_eq!(fault(honest.verify(&lines, &alone, &[itself])), Fault::Unverifiable);

    let rewritten = Trail {
        exchange: honest.exchange,
        log: honest.log,
        witness: honest.witness,
        rows: forged.rows,
        events: forged.events,
    };
    let (lines, export) = rewritten.range(0, 21);
    let alone = Export { witnessed: None, ..export };
    assert_eq!(fault(rewritten.verify(&lines, &alone, &[])), Fault::Unverifiable);
    let verdict = rewritten.verify(&lines, &alone, &[file]).unwrap_err();
    assert_eq!((verdict.fault, verdict.number), (Fault::Tampered, Some(8)), "{verdict}");
}

#[test]
fn a_certificate_that_was_not_valid_then_or_of_another_exchange_counts_for_nothing() {
    let trail = Trail::new(KeyAlgorithm::Ed25519, 21);
    let (lines, export) = trail.range(0, 21);
    let proof = serde_json::to_vec(&export.to_proof()).unwrap();
    let stranger = TestExchange::new("demo").trust_without_crl();
    let outcome = verify_export(lines.as_bytes(), &proof, &stranger, &[], 1);
    assert_eq!(fault(outcome), Fault::Unverifiable);
    let without = Export { chains: Chains::default(), ..export.clone() };
    assert_eq!(fault(trail.verify(&lines, &without, &[])), Fault::Unverifiable);
    let root = trail.answer(Question::Root { size: 21 })[0];
    let early = Checkpoint { origin: trail.log.identity.clone(), size: 21, root, time: 1000 };
    let early = Export { note: early.sign(&trail.log.statement.key).unwrap(), ..export };
    assert_eq!(fault(trail.verify(&lines, &early, &[])), Fault::Unverifiable);
}

#[test]
fn a_witness_cosigns_what_continues_and_nothing_else() {
    let trail = Trail::new(KeyAlgorithm::Ed25519, 21);
    let forged = Trail::new(KeyAlgorithm::Ed25519, 21);
    let key = trail.log.statement.key.public_key();
    let root = |size| trail.answer(Question::Root { size })[0];
    let request = |old, size| AddCheckpoint {
        old,
        proof: trail.answer(Question::Consistency { size, old }),
        note: trail.note(size),
    };
    assert!(judge(&request(0, 9), None, key).is_ok());
    let remembered = Some((9, root(9)));
    assert!(judge(&request(9, 18), remembered, key).is_ok());
    assert!(judge(&request(9, 9), remembered, key).is_ok());
    assert_eq!(judge(&request(8, 18), remembered, key), Err(Refused::Size(9)));
    // A shorter one may be what another node of the log had in hand; asked from the size remembered, it is accused.
    assert_eq!(judge(&request(0, 8), remembered, key), Err(Refused::Size(9)));
    let cut = AddCheckpoint { old: 9, proof: Vec::new(), note: trail.note(8) };
    assert_eq!(judge(&cut, remembered, key), Err(Refused::Rewritten { size: 8, remembered: 9 }));
    let rewritten = (9, forged.answer(Question::Root { size: 9 })[0]);
    assert_eq!(judge(&request(9, 18), Some(rewritten), key), Err(Refused::Rewritten { size: 18, remembered: 9 }));
    assert!(matches!(judge(&request(9, 18), remembered, forged.log.statement.key.public_key()), Err(Refused::Note(_))));
    let body = request(9, 18).to_string();
    assert_eq!(body.parse::<AddCheckpoint>().unwrap(), request(9, 18));
    for position in 0..body.len() {
        let mut altered = body.clone().into_bytes();
        altered[position] ^= 2;
        let Ok(altered) = String::from_utf8(altered) else { continue };
        if let Ok(altered) = altered.parse::<AddCheckpoint>() {
            assert!(judge(&altered, remembered, key).is_err(), "byte {position}");
        }
    }
    let note = trail.cosigned(9);
    let name = trail.witness.identity.to_string();
    let at = note.verify(SignatureKind::Cosignature, &name, trail.witness.statement.key.public_key()).unwrap();
    assert_eq!(at, Some(trail.exchange.now.plus(Duration::from_secs(9))));
    assert_eq!(note.to_string().parse::<Note>().unwrap(), note);
}

#[test]
fn a_whole_log_is_walked_sealed_or_clear() {
    let trail = Trail::new(KeyAlgorithm::Ed25519, 21);
    let sealed = AtRest::sealed(&sealwort_proto::crypto::Secret::random());
    let mut tree = Tree::empty();
    let rows: Vec<_> = trail.events.iter().map(|event| Row::append(&mut tree, event, &sealed).unwrap()).collect();
    let known = Witnessed { size: 9, root: trail.answer(Question::Root { size: 9 })[0], by: "b".into() };
    let walk = |rows: &[Row], at_rest: &AtRest| {
        let mut walk = Walk::new(at_rest, [known.clone()]);
        rows.iter().try_for_each(|row| walk.take(row).map(drop)).and_then(|()| walk.finish(21))
    };
    walk(&rows, &sealed).unwrap();
    walk(&trail.rows, &AtRest::Clear).unwrap();
    assert_eq!(walk(&rows[..20], &sealed).unwrap_err().number, Some(20));
    assert_eq!(walk(&rows[..8], &sealed).unwrap_err().number, Some(8));
    let other = AtRest::sealed(&sealwort_proto::crypto::Secret::random());
    assert_eq!(walk(&rows, &other).unwrap_err().number, Some(0));
    let mut swapped = rows.clone();
    let (left, right) = (rows[3].stored.clone(), rows[4].stored.clone());
    (swapped[3].stored, swapped[4].stored) = (right, left);
    assert_eq!(walk(&swapped, &sealed).unwrap_err().number, Some(3));
    let mut hidden = rows.clone();
    hidden[6].index.user = None;
    assert_eq!(walk(&hidden, &sealed).unwrap_err().number, Some(6));
}
