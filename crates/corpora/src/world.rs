//! One exchange in memory with a gateway, a broker and an archive, the same in every run: its keys and certificates
//! follow from a seed. Runs of the nine steps whose every message a script may alter.

use std::sync::Arc;

use sealwort_pki::testing::{TEST_NOW, TestExchange};
use sealwort_pki::{Role, Trust};
use sealwort_proto::channel::Channel;
use sealwort_proto::codec::{from_bytes, to_bytes};
use sealwort_proto::handshake::broker::{Greeted, Load};
use sealwort_proto::handshake::cookie::CookieJar;
use sealwort_proto::handshake::gateway::Presented;
use sealwort_proto::handshake::{Party, archive, broker, gateway};
use sealwort_proto::message::HANDSHAKE_BYTES_MAX;
use sealwort_proto::peers::{PeerCache, Peers};
use sealwort_proto::policy::Policies;
use sealwort_proto::testing::Seeded;
use sealwort_proto::{ErrorKind, Fault, ProtocolError, Step};

/// Exporter of the hop between gateway and broker.
pub const HOP_LT: [u8; 32] = [1; 32];
/// Exporter of the hop between broker and archive.
pub const HOP_TM: [u8; 32] = [2; 32];

/// The exchange and its three parties.
pub struct World {
    /// Root and issuing authority.
    pub exchange: TestExchange,
    /// Whom the parties believe.
    pub trust: Trust,
    /// Certificates verified in this run.
    pub cache: PeerCache,
    /// The hospital.
    pub gateway: Party,
    /// Another hospital.
    pub stranger: Party,
    /// The broker.
    pub broker: Party,
    /// The archive.
    pub archive: Party,
}

/// Both ends of the three channels that a run ends with.
pub struct Session {
    /// The gateway's ends.
    pub gateway: gateway::Established,
    /// The broker's end towards the gateway.
    pub broker: broker::GatewayEstablished,
    /// The archive's end towards the gateway.
    pub archive: archive::GatewayEstablished,
    /// The broker's end towards the archive.
    pub broker_to_archive: Channel,
    /// The archive's end towards the broker.
    pub archive_to_broker: Channel,
}

/// The messages of a run in their order; a wire is told which one it carries.
pub const MESSAGES: [&str; 15] =
    ["1", "cookie", "1 again", "2", "3 M-T", "3 T-L", "4", "6", "7", "offer", "8", "5", "9", "9 M", "confirm"];

/// Carries messages; the number is the message's place in [`MESSAGES`].
pub type Wire<'a> = &'a mut dyn FnMut(usize, Vec<u8>) -> Vec<u8>;

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

impl World {
    fn new() -> Self {
        let _seeded = Seeded::install(1);
        let exchange = TestExchange::new("demo");
        Self {
            trust: exchange.trust(),
            cache: PeerCache::default(),
            gateway: party(&exchange, Role::Gateway, "a"),
            stranger: party(&exchange, Role::Gateway, "b"),
            broker: party(&exchange, Role::Broker, "t"),
            archive: party(&exchange, Role::Archive, "m"),
            exchange,
        }
    }

    /// What a party verifies others with, now.
    pub fn peers(&self) -> Peers<'_> {
        Peers { trust: &self.trust, cache: &self.cache, now: TEST_NOW }
    }

    /// All nine steps, each message through the wire. Under load the broker asks for a cookie first.
    pub fn run(&self, load: bool, wire: Wire<'_>) -> Result<Session, ProtocolError> {
        let (gateway, broker, archive) = (&self.gateway, &self.broker, &self.archive);
        let jar = CookieJar::default();
        let greet = |hello: &[u8], load: &Load<'_>| {
            broker::on_hello(hello, broker, &self.peers(), &gateway.identity, &HOP_LT, &archive.identity, load)
        };
        let cookie_needed = ProtocolError::new(Step::Authentication(1), Fault::Gateway, ErrorKind::Cookie);

        let (mut l, hello) = gateway::start(gateway, &archive.identity, &broker.identity, HOP_LT);
        let hello = wire(0, hello);
        let mut greeted = greet(&hello, &if load { Load::High(&jar) } else { Load::Normal })?;
        if let Greeted::DemandCookie(demand) = &greeted {
            let Presented::Again(again, hello) = l.on_presentation(&wire(1, demand.clone()), gateway, &self.peers())?
            else {
                return Err(cookie_needed);
            };
            l = again;
            greeted = greet(&wire(2, hello), &Load::High(&jar))?;
        }
        let Greeted::Introduce(t, introduction) = greeted else { return Err(cookie_needed) };
        let introduction = wire(3, introduction);
        let (m_tm, m_lm, acceptance) =
            archive::on_introduction(&introduction, archive, &self.peers(), &broker.identity)?;
        let (t, presentation) = t.on_acceptance(&wire(4, acceptance), broker, &self.peers())?;
        let presented = l.on_presentation(&wire(5, presentation), gateway, &self.peers())?;
        let Presented::Continue(l, share4) = presented else { return Err(cookie_needed) };
        let opening = t.archive_opening();
        let t = t.on_share(&wire(6, share4), broker, &HOP_LT, TEST_NOW)?;

        let (tm, share6) = broker::start_archive(opening, broker, &HOP_TM)?;
        let (m_broker, answer7) = m_tm.on_share(&wire(7, share6), archive, &HOP_TM, TEST_NOW)?;
        let tm = tm.on_answer(&wire(8, answer7), broker, TEST_NOW)?;

        let offer = wire(9, to_bytes(t.gateway_policies()));
        let offer: Policies = from_bytes(&offer, HANDSHAKE_BYTES_MAX)
            .map_err(|error| ProtocolError::new(Step::Authentication(8), Fault::Broker, error))?;
        let (m, share8) = m_lm.on_offer(&offer, &m_broker.broker, archive)?;
        let answers = t.answer_with(wire(10, share8));
        let (l, completion) = l.on_answer(&wire(11, answers), gateway, TEST_NOW)?;
        let (t, for_archive) = t.on_completion(&wire(12, completion), TEST_NOW)?;
        let (m, confirmation) = m.on_completion(&wire(13, for_archive), archive, TEST_NOW)?;
        let l = l.on_confirmation(&wire(14, confirmation), TEST_NOW)?;
        Ok(Session {
            gateway: l,
            broker: t,
            archive: m,
            broker_to_archive: tm.channel,
            archive_to_broker: m_broker.channel,
        })
    }

    /// A session of a run that nobody disturbed, and the run's messages.
    pub fn session(&self, seed: u64) -> (Session, Vec<Vec<u8>>) {
        let _seeded = Seeded::install(seed);
        let mut seen = Vec::new();
        let session = self.run(true, &mut |_, bytes| {
            seen.push(bytes.clone());
            bytes
        });
        (session.expect("an undisturbed run"), seen)
    }
}

/// The world of this thread. It is made once; a run leaves nothing behind in it but counts and verified certificates.
pub fn world() -> &'static World {
    thread_local!(static WORLD: &'static World = Box::leak(Box::new(World::new())));
    WORLD.with(|world| *world)
}

/// The messages of an earlier run of the same parties, for replays.
pub fn earlier_run() -> &'static [Vec<u8>] {
    thread_local!(static EARLIER: &'static [Vec<u8>] = Vec::leak(world().session(2).1));
    EARLIER.with(|messages| *messages)
}
