//! What the protocol does for a bad first message, counted by the broker's own counters in memory: nothing for
//! junk and for a hello without its cookie, a few cheap things for a hello that never goes on.

use std::sync::Arc;

use sealwort_pki::testing::{TEST_NOW, TestExchange};
use sealwort_pki::{Role, Trust};
use sealwort_proto::handshake::broker::{Load, on_hello};
use sealwort_proto::handshake::cookie::CookieJar;
use sealwort_proto::handshake::{Party, gateway};
use sealwort_proto::operations::OperationCounts;
use sealwort_proto::peers::{PeerCache, Peers};
use sealwort_proto::policy::Policies;

use crate::measure::{CpuClock, Samples};
use crate::report::Report;

/// Times that each is measured.
const REPETITIONS: usize = 501;
const HOP: [u8; 32] = [1; 32];

/// Notes the operations and the CPU time of one thread for each kind.
pub(super) fn note(report: &mut Report) {
    let exchange = TestExchange::new("bench");
    let trust = exchange.trust();
    let (hospital, broker, archive) = (
        party(&exchange, Role::Gateway, "hospital"),
        party(&exchange, Role::Broker, "broker"),
        party(&exchange, Role::Archive, "archive"),
    );
    let cache = PeerCache::default();
    let (_, hello) = gateway::start(&hospital, &archive.identity, &broker.identity, HOP);
    let junk = vec![0x5a; hello.len()];
    let jar = CookieJar::default();
    let kinds: [(&str, &[u8], Load<'_>); 3] = [
        ("junk", &junk, Load::Normal),
        ("hello without its cookie, under load", &hello, Load::High(&jar)),
        ("hello", &hello, Load::Normal),
    ];
    for (name, bytes, load) in kinds {
        let receive = || {
            let peers = Peers { trust: &trust, cache: &cache, now: TEST_NOW };
            // Refused or not is not the question.
            on_hello(bytes, &broker, &peers, &hospital.identity, &HOP, &archive.identity, &load).is_ok()
        };
        // Once before it counts: a certificate is verified the first time only.
        receive();
        let before = broker.operations.counts();
        receive();
        let done = broker.operations.counts().since(&before);
        let clock = CpuClock::calibrated();
        let mut times = Samples::default();
        for _ in 0..REPETITIONS {
            times.push_micros(clock.time(receive).0);
        }
        report.note(&format!(
            "flood: the protocol's part of step 1 at the broker, {name} of {} bytes: {:.1} µs; operations: {}",
            bytes.len(),
            times.median(),
            words(&done)
        ));
    }
    verified_anew(&trust, &hospital, &broker, &archive, &hello, report);
}

/// The one costly thing in step 1 is a certificate that was not seen before.
fn verified_anew(trust: &Trust, hospital: &Party, broker: &Party, archive: &Party, hello: &[u8], report: &mut Report) {
    let clock = CpuClock::calibrated();
    let mut times = Samples::default();
    for _ in 0..REPETITIONS / 10 {
        let cache = PeerCache::default();
        let peers = Peers { trust, cache: &cache, now: TEST_NOW };
        times.push_micros(
            clock
                .time(|| {
                    on_hello(hello, broker, &peers, &hospital.identity, &HOP, &archive.identity, &Load::Normal).is_ok()
                })
                .0,
        );
    }
    report.note(&format!(
        "flood: the same where the certificate is verified for the first time: {:.1} µs",
        times.median()
    ));
}

fn party(exchange: &TestExchange, role: Role, name: &str) -> Party {
    let made = exchange.party(role, name);
    Party {
        identity: made.identity,
        chain: made.statement.chain,
        key: Arc::new(made.statement.key),
        policies: Policies::standard(),
        operations: Arc::default(),
    }
}

fn words(counts: &OperationCounts) -> String {
    let counted: Vec<String> =
        counts.named().into_iter().filter(|(_, n)| *n > 0).map(|(name, n)| format!("{name} {n}")).collect();
    if counted.is_empty() { "none".to_owned() } else { counted.join(", ") }
}
