//! The archive's side (HIMC) of the nine steps.
//!
//! `on_introduction` gives a state for each of the two pairs: [`AwaitBrokerShare`] (steps 6 and 7) and
//! [`AwaitOffer`] (steps 8 and 9, → [`AwaitCompletion`] → [`GatewayEstablished`]).

use sealwort_pki::{CertificateChain, Identity, Role, UnixTime, VerifiedParty};

use super::agreement::{BROKER_ARCHIVE, GATEWAY_ARCHIVE, Opening, Shared, receive_share, share};
use super::{HopExporter, Named, Party, session_id};
use crate::channel::Channel;
use crate::codec::{from_bytes, to_bytes};
use crate::error::{At, ErrorKind, Fault, ProtocolError, Step};
use crate::id::{Nonce, SessionId};
use crate::message::{Acceptance, Confirm, HANDSHAKE_BYTES_MAX, Header, Hello, Introduction};
use crate::peers::{Peers, chain_from_wire, chain_to_wire};
use crate::policy::Policies;

/// Step 3 was sent; step 6 may follow.
pub struct AwaitBrokerShare {
    session: SessionId,
    broker: VerifiedParty,
    introduction: Vec<u8>,
    acceptance: Vec<u8>,
}

/// Step 3 was sent; the broker will ask for step 8 inside SK_TM.
pub struct AwaitOffer {
    session: SessionId,
    gateway: VerifiedParty,
    gateway_chain: CertificateChain,
    broker: VerifiedParty,
}

/// Step 8 was sent.
pub struct AwaitCompletion {
    gateway: VerifiedParty,
    gateway_chain: CertificateChain,
    broker: VerifiedParty,
    shared: Shared,
    policies: Policies,
}

/// A channel with the broker. It counts as confirmed with the first message that opens on it.
pub struct BrokerEstablished {
    /// SK_TM.
    pub channel: Channel,
    /// The broker.
    pub broker: VerifiedParty,
}

/// A confirmed channel with a gateway.
pub struct GatewayEstablished {
    /// SK_LM.
    pub channel: Channel,
    /// The gateway.
    pub gateway: VerifiedParty,
    /// Its statement certificate, kept for those who will read what it writes.
    pub gateway_chain: CertificateChain,
    /// The broker that introduced it.
    pub broker: VerifiedParty,
    /// The gateway's policies, confirmed by its signature in step 9.
    pub policies: Policies,
}

/// Step 2 received. `hop_broker` is who the TLS connection belongs to. Gives step 3.
pub fn on_introduction(
    bytes: &[u8],
    party: &Party,
    peers: &Peers<'_>,
    hop_broker: &Identity,
) -> Result<(AwaitBrokerShare, AwaitOffer, Vec<u8>), ProtocolError> {
    let step = Step::Authentication(2);
    let introduction: Introduction = from_bytes(bytes, 2 * HANDSHAKE_BYTES_MAX).at(step, Fault::Broker)?;
    introduction.header.check(party.exchange(), 2, SessionId::NONE).at(step, Fault::Broker)?;
    let hello: Hello = from_bytes(introduction.hello.as_ref(), HANDSHAKE_BYTES_MAX).at(step, Fault::Gateway)?;
    hello.header.check(party.exchange(), 1, SessionId::NONE).at(step, Fault::Gateway)?;
    hello.check_suite().at(step, Fault::Gateway)?;
    if hello.archive != party.identity.to_string() {
        let (expected, found) = (party.identity.to_string(), hello.archive);
        return Err(ProtocolError::new(step, Fault::Broker, ErrorKind::WrongParty { expected, found }));
    }
    let broker = chain_from_wire(&introduction.certificate)
        .and_then(|chain| Ok(peers.verify(&chain, Role::Broker)?))
        .at(step, Fault::Broker)?;
    if broker.identity() != hop_broker {
        let (expected, found) = (hop_broker.to_string(), broker.identity().to_string());
        return Err(ProtocolError::new(step, Fault::Broker, ErrorKind::WrongParty { expected, found }));
    }
    let gateway_chain = chain_from_wire(&hello.certificate).at(step, Fault::Gateway)?;
    let gateway = peers.verify(&gateway_chain, Role::Gateway).at(step, Fault::Gateway)?;

    let nonce = Nonce::random(&party.operations);
    let session = session_id(
        &[Named::peer(&gateway, hello.nonce), Named::peer(&broker, introduction.nonce), Named::own(party, nonce)],
        &party.operations,
    );
    let acceptance = to_bytes(&Acceptance {
        header: Header::new(party.exchange(), 3, session),
        nonce,
        certificate: chain_to_wire(&party.chain),
    });
    let for_broker = AwaitBrokerShare {
        session,
        broker: broker.clone(),
        introduction: bytes.to_vec(),
        acceptance: acceptance.clone(),
    };
    Ok((for_broker, AwaitOffer { session, gateway, gateway_chain, broker }, acceptance))
}

impl AwaitBrokerShare {
    /// The session id.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Step 6 received; gives the channel and step 7.
    pub fn on_share(
        self,
        bytes: &[u8],
        party: &Party,
        hop: &HopExporter,
        now: UnixTime,
    ) -> Result<(BrokerEstablished, Vec<u8>), ProtocolError> {
        let opening = Opening::new(BROKER_ARCHIVE, self.session, &[hop, &self.introduction, &self.acceptance]);
        let received = receive_share(BROKER_ARCHIVE, opening, bytes, &self.broker, party)?;
        party.policies.admit(received.policies()).at(Step::Authentication(6), Fault::Broker)?;
        let (channel, message) = received.answer(party, now)?;
        Ok((BrokerEstablished { channel, broker: self.broker }, message))
    }
}

impl AwaitOffer {
    /// The session id.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// The broker asks for step 8 with the gateway's policies.
    pub fn on_offer(
        self,
        policies: &Policies,
        broker: &VerifiedParty,
        party: &Party,
    ) -> Result<(AwaitCompletion, Vec<u8>), ProtocolError> {
        let step = Step::Authentication(8);
        if broker.identity() != self.broker.identity() {
            let (expected, found) = (self.broker.identity().to_string(), broker.identity().to_string());
            return Err(ProtocolError::new(step, Fault::Broker, ErrorKind::WrongParty { expected, found }));
        }
        party.policies.admit(policies).at(step, Fault::Gateway)?;
        let opening = Opening::new(GATEWAY_ARCHIVE, self.session, &[]);
        let (shared, message) = share(GATEWAY_ARCHIVE, opening, party, policies)?;
        let state = AwaitCompletion {
            gateway: self.gateway,
            gateway_chain: self.gateway_chain,
            broker: self.broker,
            shared,
            policies: policies.clone(),
        };
        Ok((state, message))
    }
}

impl AwaitCompletion {
    /// Step 9 received; gives the channel and the archive's confirmation, the first message under SK_LM.
    pub fn on_completion(
        self,
        bytes: &[u8],
        party: &Party,
        now: UnixTime,
    ) -> Result<(GatewayEstablished, Vec<u8>), ProtocolError> {
        let (channel, _) = self.shared.finish(bytes, &self.gateway, party, now)?;
        let (_, confirmation) = channel.request(&to_bytes(&Confirm { binding: channel.binding() }), now)?;
        let established = GatewayEstablished {
            channel,
            gateway: self.gateway,
            gateway_chain: self.gateway_chain,
            broker: self.broker,
            policies: self.policies,
        };
        Ok((established, confirmation))
    }
}
