//! Whole runs from a vector's inputs: the real state machines of all three parties, fed with the random values that
//! the vector names, and with one message altered where a vector wants that.

pub mod authentication;
pub mod transmission;

use sealwort_pki::{Identity, Trust, UnixTime};
use sealwort_proto::channel::Channel;
use sealwort_proto::handshake::{archive, broker, gateway};
use sealwort_proto::peers::{PeerCache, Peers};

use crate::vector::In;

/// Messages by name, in the order sent.
pub type Sent = Vec<(String, Vec<u8>)>;

/// What a run of the nine steps ends with, at all three parties.
pub struct Sessions {
    /// The gateway's two channels.
    pub gateway: gateway::Established,
    /// The broker's channel with the gateway.
    pub broker: broker::GatewayEstablished,
    /// The archive's channel with the gateway.
    pub archive: archive::GatewayEstablished,
    /// The broker's end of T–M.
    pub broker_to_archive: Channel,
    /// The archive's end of T–M.
    pub archive_to_broker: Channel,
}

/// One message that arrives as another, and what its receiver takes for granted meanwhile.
#[derive(Debug, Clone, Default)]
pub struct Altered {
    /// Name of the message.
    pub step: String,
    /// What arrives.
    pub message: Vec<u8>,
    /// Another time.
    pub now: Option<UnixTime>,
    /// Another trust.
    pub trust: Option<Trust>,
    /// Another party on the connection.
    pub connection: Option<Identity>,
    /// The key under which the broker demands cookies.
    pub cookies: Option<[u8; 32]>,
    /// The archive has seen the token before.
    pub used: bool,
}

impl Altered {
    fn is_at(&self, step: &str) -> bool {
        self.step == step
    }
}

/// What one party knows of certificates.
struct View {
    trust: Trust,
    cache: PeerCache,
}

impl View {
    fn new(trust: &Trust) -> Self {
        Self { trust: trust.clone(), cache: PeerCache::default() }
    }

    /// The view at one step: the vector's own, where it gives another.
    fn at<'a>(&'a self, step: &str, altered: &'a Altered, now: UnixTime) -> Peers<'a> {
        let here = altered.is_at(step);
        let trust = altered.trust.as_ref().filter(|_| here).unwrap_or(&self.trust);
        let now = altered.now.filter(|_| here).unwrap_or(now);
        Peers { trust, cache: &self.cache, now }
    }
}

/// Lists the values of three members, in this order.
fn three<const N: usize>(input: In<'_>, name: &str, members: [&str; 3]) -> [[u8; N]; 3] {
    members.map(|member| input.object(name).array(member))
}
