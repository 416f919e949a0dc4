//! The exchange that is counted. First, without counting, hospital A stores a record, grants hospital B to read
//! it, and B reads it, so that B knows the patient. Then everybody is started anew and without a session, with a
//! relay on each hop: B runs the nine steps, and reads by the seven. One gateway, one broker, one archive and
//! one record, as in the paper.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use sealwort_gateway::MqttConfig;
use sealwort_net::client::{Endpoint, HopClient};
use sealwort_net::exchange::{AUTHENTICATE_PATH, send};
use sealwort_net::steps::Heard;
use sealwort_net::tls::{ExpectedPeer, client_config};
use sealwort_pki::Role;
use sealwort_proto::holdings::Holdings;
use sealwort_proto::message::HANDSHAKE_BYTES_MAX;
use sealwort_proto::operations::OperationCounts;
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;

use crate::client::encode;
use crate::demo::relay::{Relay, Traffic};
use crate::demo::scan::Needles;
use crate::demo::world::{Hop, World};
use crate::demo::{StepTold, first_of_each};
use crate::error::CliError;

/// One phase as it was counted.
pub(super) struct Phase {
    /// By role, in the paper's order.
    pub(super) operations: [OperationCounts; 3],
    /// By role, at the end of the phase.
    pub(super) holdings: [Holdings; 3],
    pub(super) steps: Vec<StepTold>,
    /// TLS bytes, connecting included: gateway and broker, broker and archive.
    pub(super) hops: [Traffic; 2],
}

/// What was seen.
pub(super) struct Observed {
    pub(super) authentication: Phase,
    pub(super) transmission: Phase,
    /// Bytes of the record that was read.
    pub(super) record_bytes: usize,
    pub(super) seen: Seen,
}

/// What was seen besides, for rows of Table 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// What B read says what A wrote; the server's version and time stand in its `meta`.
    pub(super) read_equals_written: bool,
    /// Hospital B was refused before the patient's consent.
    pub(super) denied_before_consent: bool,
    /// Bytes that broker and archive were handed, stored and sent, and the plaintext found in them.
    pub(super) bytes_searched: u64,
    pub(super) plaintext_found: u64,
    /// A connection without a certificate was refused, and what the broker did for it.
    pub(super) stranger_refused: bool,
    pub(super) stranger_operations: u64,
}

/// Runs it in a folder.
pub(super) async fn observe(folder: &Path) -> Result<Observed, CliError> {
    let record = Bytes::from(record().to_string());
    let world = World::start(folder, MqttConfig::default()).await?;
    let prepared = prepare(&world, &record).await;
    world.stop().await;
    let (denied_before_consent, needles) = prepared?;

    let relays = std::cell::RefCell::new(Vec::new());
    let world = World::start_through(folder, MqttConfig::default(), None, async |hop, address| {
        let relay = Relay::to(address).await?;
        relays.borrow_mut().push((hop, relay.clone()));
        Ok(relay.address)
    })
    .await?;
    let relays = relays.into_inner();
    let counted = count(&world, &relays, &record).await;
    world.stop().await;
    let (authentication, transmission, read_equals_written, stranger) = counted?;

    let found = needles.search(&handed(folder))?;
    Ok(Observed {
        authentication,
        transmission,
        record_bytes: record.len(),
        seen: Seen {
            read_equals_written,
            denied_before_consent,
            bytes_searched: found.scanned,
            plaintext_found: found.plaintext,
            stranger_refused: stranger.is_some(),
            stranger_operations: stranger.unwrap_or_default(),
        },
    })
}

/// Whether B was refused before consent, and what to search for afterwards.
async fn prepare(world: &World, record: &Bytes) -> Result<(bool, Needles), CliError> {
    // A session first, so that the words of files and protocol are there before the record is.
    world.gateway_a.connect().await.map_err(|e| CliError::remote(e.code(), e.to_string()))?;
    let needles = Needles::of([record].into_iter())?.without_own_words(&handed(&world.folder))?;
    let resource: Value = serde_json::from_slice(record).map_err(|e| CliError::Local(e.to_string()))?;
    let bundle = json!({"resourceType": "Bundle", "type": "collection", "entry": [
        {"fullUrl": format!("http://hospital-a.example/fhir/Patient/{PATIENT_ID}"), "resource": resource},
    ]});
    world.hospital_a.post("/fhir", Bytes::from(bundle.to_string())).await?.success("hospital A stores the record")?;

    let name = format!("{SYSTEM}|{IDENTIFIER}");
    let search = format!("/fhir/Patient?identifier={}", encode(&name));
    let denied = world.hospital_b.get(&search).await?.status == 403;
    let grant =
        json!({"patient": name, "to": "hospital-b", "actions": ["read"], "purposes": ["TREAT"], "days": 1}).to_string();
    world.hospital_a.post("/consent/grant", Bytes::from(grant)).await?.success("hospital A grants B to read")?;
    world.hospital_b.get(&search).await?.success("hospital B finds the patient")?;
    Ok((denied, needles))
}

async fn count(
    world: &World,
    relays: &[(Hop, Relay)],
    record: &Bytes,
) -> Result<(Phase, Phase, bool, Option<u64>), CliError> {
    let mut heard = world.steps.listen();
    let begun = Mark::now(world, relays).await;
    world.gateway_b.connect().await.map_err(|e| CliError::remote(e.code(), e.to_string()))?;
    let authenticated = Mark::now(world, relays).await;
    let authentication = authenticated.since(&begun, steps(&mut heard));

    let path = format!("/fhir/Patient/{PATIENT_ID}");
    let read = world.hospital_b.get(&path).await?.success("hospital B reads the record")?;
    let transmitted = Mark::now(world, relays).await;
    let transmission = transmitted.since(&authenticated, steps(&mut heard));
    let stranger = stranger(world).await?;
    Ok((authentication, transmission, sealwort_fhir::same_content(&read, record), stranger))
}

/// Everything that grows, at one moment at which nothing is going on.
struct Mark {
    operations: [OperationCounts; 3],
    holdings: [Holdings; 3],
    hops: [Traffic; 2],
}

impl Mark {
    async fn now(world: &World, relays: &[(Hop, Relay)]) -> Self {
        // What a phase leaves to be done, such as the last bytes of an answer, is soon over.
        let mut last = operations(world);
        loop {
            tokio::time::sleep(SETTLE).await;
            let now = operations(world);
            if std::mem::replace(&mut last, now) == now {
                break;
            }
        }
        let over = |hop| relays.iter().find(|(h, _)| *h == hop).map(|(_, relay)| relay.traffic()).unwrap_or_default();
        Self {
            operations: last,
            holdings: [world.gateway_b.holdings().await, world.broker.holdings(), world.archive.holdings()],
            hops: [over(Hop::GatewayBroker), over(Hop::BrokerArchive)],
        }
    }

    /// The phase that ended with this.
    fn since(&self, begun: &Self, steps: Vec<StepTold>) -> Phase {
        let difference = |role: usize| {
            let now = self.operations.get(role).copied().unwrap_or_default();
            without_notices(now.since(&begun.operations.get(role).copied().unwrap_or_default()), role)
        };
        let hop = |hop: usize| {
            let now = self.hops.get(hop).copied().unwrap_or_default();
            now.since(begun.hops.get(hop).copied().unwrap_or_default())
        };
        Phase {
            operations: [difference(0), difference(1), difference(2)],
            holdings: self.holdings,
            steps,
            hops: [hop(0), hop(1)],
        }
    }
}

fn operations(world: &World) -> [OperationCounts; 3] {
    [&world.gateway_b.member, &world.broker.member, &world.archive.member]
        .map(|member| member.party().operations.counts())
}

/// The broker's notices come by the clock and belong to no step: the gateway opens them, the broker seals them.
fn without_notices(mut counts: OperationCounts, role: usize) -> OperationCounts {
    let notices = std::mem::take(&mut counts.notice);
    match role {
        0 => counts.open = counts.open.saturating_sub(notices),
        _ => counts.seal = counts.seal.saturating_sub(notices),
    }
    counts
}

fn steps(heard: &mut Receiver<Heard>) -> Vec<StepTold> {
    let mut reports = Vec::new();
    while let Ok(heard) = heard.try_recv() {
        reports.push(heard.report);
    }
    first_of_each(&reports)
}

/// A connection to the broker without a certificate: the operations that the broker did for it, or `None` where
/// it was served.
async fn stranger(world: &World) -> Result<Option<u64>, CliError> {
    let total = |counts: &OperationCounts| without_notices(*counts, 1).named().iter().map(|(_, n)| n).sum::<u64>();
    let before = world.broker.member.party().operations.counts();
    let trust = world.gateway_b.member.trust();
    let client = HopClient::new(client_config(None, trust, ExpectedPeer::any(Role::Broker))?);
    let endpoint: Endpoint = format!("https://{}", world.broker.address).parse()?;
    let served = match client.connect(&endpoint).await {
        // Over TLS 1.3 the client learns with the first answer that it was refused.
        Ok(connection) => send(&connection, &format!("{AUTHENTICATE_PATH}/1"), Vec::new(), HANDSHAKE_BYTES_MAX).await,
        Err(_) => return Ok(Some(total(&world.broker.member.party().operations.counts().since(&before)))),
    };
    Ok(match served {
        Ok(_) | Err(sealwort_net::exchange::ExchangeError::Refused(_)) => None,
        Err(_) => Some(total(&world.broker.member.party().operations.counts().since(&before))),
    })
}

/// What broker and archive received, stored and sent.
fn handed(folder: &Path) -> Vec<std::path::PathBuf> {
    ["broker", "archive", "broker.capture", "archive.capture"].map(|name| folder.join(name)).to_vec()
}

/// One record.
fn record() -> Value {
    json!({
        "resourceType": "Patient",
        "id": PATIENT_ID,
        "identifier": [{"system": SYSTEM, "value": IDENTIFIER}],
        "name": [{"family": "Ahlgren", "given": ["Maja", "Viktoria"]}],
        "gender": "female",
        "birthDate": "1971-04-12",
        "address": [{"line": ["Storgatan 214"], "city": "Sundsvall", "postalCode": "85230"}],
    })
}

const PATIENT_ID: &str = "evaluated-patient";
const SYSTEM: &str = "urn:oid:1.2.752.129.2.1.3.1";
const IDENTIFIER: &str = "19710412-2384";
/// Time in which nothing may happen for a phase to count as over.
const SETTLE: Duration = Duration::from_millis(50);
