//! Cedar's answers against an independent, plain reading of the provisions, over random
//! directives and requests. The reading works on raw tuples and shares no code with the crate.

use std::collections::BTreeSet;

use sealwort_consent::{Action, CompiledDirective, Directive, Period, Purpose, Request, Terms};

use crate::testkit::{EXCHANGE, Generator, ISSUED, PATIENT, party, tag, tags};

const DIRECTIVES: usize = 1_500;
const REQUESTS_EACH: usize = 10;
const HOSPITALS: [&str; 2] = ["a", "b"];

/// A provision as drawn: hospital, actions, labels, purposes, from, until.
type Row = (&'static str, Vec<Action>, Vec<u8>, Vec<Purpose>, u64, Option<u64>);

fn draw(random: &mut Generator) -> Row {
    let from = random.below(12);
    let until = match random.below(3) {
        0 => None,
        _ => Some(from + 1 + random.below(8)),
    };
    let labels: Vec<u8> = (1..=6).collect();
    (
        HOSPITALS[usize::try_from(random.below(2)).unwrap()],
        random.some(&Action::ALL),
        random.some(&labels),
        random.some(&Purpose::ALL[..3]),
        from,
        until,
    )
}

fn plainly_permits(row: &Row, hospital: &str, action: Action, purpose: Purpose, now: u64, label: u8) -> bool {
    let (grantee, actions, labels, purposes, from, until) = row;
    if *grantee != hospital || now < *from {
        return false;
    }
    if let Some(until) = until
        && now >= *until
    {
        return false;
    }
    actions.contains(&action) && labels.contains(&label) && purposes.contains(&purpose)
}

#[test]
fn cedar_agrees_with_a_plain_reading() {
    let mut random = Generator::new(0x5ea1_0b0e);
    let (mut requests, mut full, mut partial, mut denied) = (0, 0, 0, 0);
    for round in 0..DIRECTIVES {
        let rows: Vec<Row> = (0..random.below(9)).map(|_| draw(&mut random)).collect();
        let terms = rows.iter().map(|(grantee, actions, labels, purposes, from, until)| {
            let actions = actions.iter().copied();
            let period = Period::new(*from, *until).unwrap();
            Terms::new(party(grantee), actions, tags(labels), purposes.iter().copied(), period).unwrap()
        });
        let directive = Directive::first(EXCHANGE, PATIENT, ISSUED, terms.collect()).unwrap();
        // Through the bytes, as at broker and archive.
        let directive = Directive::from_bytes(&directive.to_bytes()).unwrap();
        let compiled = CompiledDirective::compile(&directive).unwrap();
        for _ in 0..REQUESTS_EACH {
            let hospital = HOSPITALS[usize::try_from(random.below(2)).unwrap()];
            let action = Action::ALL[usize::try_from(random.below(3)).unwrap()];
            let purpose = Purpose::ALL[usize::try_from(random.below(4)).unwrap()];
            let now = random.below(24);
            let most = 1 + random.below(7);
            let labels: Vec<u8> = (1..=u8::try_from(most).unwrap()).collect();
            let labels: BTreeSet<u8> = random.some(&labels).into_iter().collect();

            let expected: Vec<u8> = labels
                .iter()
                .copied()
                .filter(|label| rows.iter().any(|row| plainly_permits(row, hospital, action, purpose, now, *label)))
                .collect();
            let decision = compiled.decide(&Request {
                party: party(hospital),
                patient: PATIENT,
                role: None,
                action,
                tags: labels.iter().copied().map(tag).collect(),
                purpose,
                now,
            });
            let place = format!("round {round}: {hospital} {action} {purpose} {now} {labels:?}\n{rows:?}");
            assert_eq!(decision.permitted(), tags(&expected), "{place}");
            assert_eq!(decision.missing().is_some(), expected.is_empty(), "{place}");
            let evaluation_failed = decision.missing().is_some_and(|it| it.code() == "consent-evaluation-failed");
            assert!(!evaluation_failed, "{place}");
            // No end is later than every end; of a label, the sentence that lasts longest counts.
            let end = |label: &u8| {
                let permitting = rows.iter().filter(|row| plainly_permits(row, hospital, action, purpose, now, *label));
                permitting.map(|row| row.5.unwrap_or(u64::MAX)).max().unwrap()
            };
            let until = expected.iter().map(end).min().filter(|until| *until != u64::MAX);
            assert_eq!(decision.permitted_until(), until, "{place}");
            requests += 1;
            match expected.len() {
                0 => denied += 1,
                count if count == labels.len() => full += 1,
                _ => partial += 1,
            }
        }
    }
    println!("{requests} requests: {full} permitted, {partial} in part, {denied} denied; no difference");
    assert!(full > 500 && partial > 500 && denied > 500, "the draw must reach every outcome");
}
