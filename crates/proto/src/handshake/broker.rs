//! The broker's side (HTSC) of the nine steps.
//!
//! Towards a gateway: `on_hello` → [`AwaitAcceptance`] → [`AwaitShare`] → [`AwaitCompletion`] →
//! [`GatewayEstablished`]. Towards the archive, when no session with it is live: `start_archive` →
//! [`AwaitArchiveAnswer`] → [`ArchiveEstablished`].

use sealwort_pki::{Identity, Role, UnixTime, VerifiedParty};

use super::agreement::{BROKER_ARCHIVE, GATEWAY_BROKER, Opening, Shared, receive_share, share};
use super::cookie::CookieJar;
use super::{HopExporter, Named, Party, session_id};
use crate::channel::Channel;
use crate::codec::{Blob, from_bytes, to_bytes};
use crate::error::{At, ErrorKind, Fault, ProtocolError, Step};
use crate::id::{Digest, Nonce, SessionId};
use crate::message::{
    Acceptance, BrokerAnswer, Completion, Confirm, CookieDemand, HANDSHAKE_BYTES_MAX, Header, Hello, Introduction,
    Presentation,
};
use crate::peers::{Peers, chain_from_wire, chain_to_wire};
use crate::policy::Policies;

/// How a broker meets hellos while it has more to do than it likes.
pub enum Load<'a> {
    /// Every hello is served.
    Normal,
    /// Only a hello with a fresh cookie is served.
    High(&'a CookieJar),
}

/// What the broker does with step 1.
pub enum Greeted {
    /// Send step 2 to the archive.
    Introduce(Box<AwaitAcceptance>, Vec<u8>),
    /// Send the gateway a cookie; nothing is kept.
    DemandCookie(Vec<u8>),
}

/// Step 2 was sent to the archive.
pub struct AwaitAcceptance {
    gateway: VerifiedParty,
    gateway_nonce: Nonce,
    archive: Identity,
    nonce: Nonce,
    hello: Vec<u8>,
    introduction: Vec<u8>,
}

/// Step 3 was sent to the gateway.
pub struct AwaitShare {
    session: SessionId,
    gateway: VerifiedParty,
    archive: VerifiedParty,
    archive_opening: ArchiveOpening,
    hello: Vec<u8>,
    presentation: Vec<u8>,
}

/// What steps 6 and 7 of this run would be bound to.
#[derive(Clone)]
pub struct ArchiveOpening {
    session: SessionId,
    archive: VerifiedParty,
    introduction: Vec<u8>,
    acceptance: Vec<u8>,
}

/// Step 4 was verified and answered; step 8 and then step 9 are still to come.
pub struct AwaitCompletion {
    session: SessionId,
    gateway: VerifiedParty,
    archive: VerifiedParty,
    channel: Channel,
    answer: Vec<u8>,
    gateway_policies: Policies,
}

/// A confirmed channel with a gateway.
pub struct GatewayEstablished {
    /// SK_LT.
    pub channel: Channel,
    /// The gateway.
    pub gateway: VerifiedParty,
    /// The archive that this run leads to.
    pub archive: VerifiedParty,
    /// The gateway's policies of step 4, as accepted.
    pub policies: Policies,
    /// `h_LM` as the gateway confirmed it: the only channel that tokens of this session are for.
    pub binding: Digest,
}

/// Step 6 was sent to the archive.
pub struct AwaitArchiveAnswer {
    shared: Shared,
    archive: VerifiedParty,
}

/// A channel with the archive; the broker's first message on it confirms.
pub struct ArchiveEstablished {
    /// SK_TM.
    pub channel: Channel,
    /// The archive.
    pub archive: VerifiedParty,
    /// What the archive promised in step 7.
    pub policies: Policies,
}

/// Step 1 received. `hop_gateway` is who the TLS connection belongs to, `archives` the archives served.
pub fn on_hello(
    bytes: &[u8],
    party: &Party,
    peers: &Peers<'_>,
    hop_gateway: &Identity,
    hop: &HopExporter,
    archive: &Identity,
    load: &Load<'_>,
) -> Result<Greeted, ProtocolError> {
    let step = Step::Authentication(1);
    let fault = Fault::Gateway;
    let hello: Hello = from_bytes(bytes, HANDSHAKE_BYTES_MAX).at(step, fault)?;
    hello.header.check(party.exchange(), 1, SessionId::NONE).at(step, fault)?;
    hello.check_suite().at(step, fault)?;
    if let Load::High(jar) = load
        && !jar.accepts(hello.cookie.as_ref(), &hello.nonce, hop, peers.now)
    {
        let demand = CookieDemand {
            header: Header::new(party.exchange(), 1, SessionId::NONE),
            cookie: Blob(jar.bake(&hello.nonce, hop, peers.now)),
        };
        return Ok(Greeted::DemandCookie(to_bytes(&demand)));
    }
    let gateway = chain_from_wire(&hello.certificate)
        .and_then(|chain| Ok(peers.verify(&chain, Role::Gateway)?))
        .at(step, fault)?;
    if gateway.identity() != hop_gateway {
        let (expected, found) = (hop_gateway.to_string(), gateway.identity().to_string());
        return Err(ProtocolError::new(step, fault, ErrorKind::WrongParty { expected, found }));
    }
    if hello.archive != archive.to_string() {
        let (expected, found) = (archive.to_string(), hello.archive);
        return Err(ProtocolError::new(step, fault, ErrorKind::WrongParty { expected, found }));
    }
    let nonce = Nonce::random(&party.operations);
    let introduction = to_bytes(&Introduction {
        header: Header::new(party.exchange(), 2, SessionId::NONE),
        hello: Blob(bytes.to_vec()),
        nonce,
        certificate: chain_to_wire(&party.chain),
    });
    let state = AwaitAcceptance {
        gateway,
        gateway_nonce: hello.nonce,
        archive: archive.clone(),
        nonce,
        hello: bytes.to_vec(),
        introduction: introduction.clone(),
    };
    Ok(Greeted::Introduce(Box::new(state), introduction))
}

impl AwaitAcceptance {
    /// Step 3 received from the archive; gives step 3 for the gateway.
    pub fn on_acceptance(
        self,
        bytes: &[u8],
        party: &Party,
        peers: &Peers<'_>,
    ) -> Result<(AwaitShare, Vec<u8>), ProtocolError> {
        let step = Step::Authentication(3);
        let fault = Fault::Archive;
        let acceptance: Acceptance = from_bytes(bytes, HANDSHAKE_BYTES_MAX).at(step, fault)?;
        let archive = chain_from_wire(&acceptance.certificate)
            .and_then(|chain| Ok(peers.verify(&chain, Role::Archive)?))
            .at(step, fault)?;
        if archive.identity() != &self.archive {
            let (expected, found) = (self.archive.to_string(), archive.identity().to_string());
            return Err(ProtocolError::new(step, fault, ErrorKind::WrongParty { expected, found }));
        }
        let session = session_id(
            &[
                Named::peer(&self.gateway, self.gateway_nonce),
                Named::own(party, self.nonce),
                Named::peer(&archive, acceptance.nonce),
            ],
            &party.operations,
        );
        acceptance.header.check(party.exchange(), 3, session).at(step, fault)?;
        let presentation = to_bytes(&Presentation {
            header: Header::new(party.exchange(), 3, session),
            nonce: self.nonce,
            certificate: chain_to_wire(&party.chain),
            acceptance: Blob(bytes.to_vec()),
        });
        let state = AwaitShare {
            session,
            gateway: self.gateway,
            archive: archive.clone(),
            archive_opening: ArchiveOpening {
                session,
                archive,
                introduction: self.introduction,
                acceptance: bytes.to_vec(),
            },
            hello: self.hello,
            presentation: presentation.clone(),
        };
        Ok((state, presentation))
    }
}

impl AwaitShare {
    /// The session id.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// What steps 6 and 7 need, should there be no live session with the archive.
    pub fn archive_opening(&self) -> ArchiveOpening {
        self.archive_opening.clone()
    }

    /// Step 4 received: verifies it, matches the policies and prepares step 5.
    pub fn on_share(
        self,
        bytes: &[u8],
        party: &Party,
        hop: &HopExporter,
        now: UnixTime,
    ) -> Result<AwaitCompletion, ProtocolError> {
        let opening = Opening::new(GATEWAY_BROKER, self.session, &[hop, &self.hello, &self.presentation]);
        let received = receive_share(GATEWAY_BROKER, opening, bytes, &self.gateway, party)?;
        party.policies.admit(received.policies()).at(Step::Authentication(4), Fault::Gateway)?;
        let gateway_policies = received.policies().clone();
        let (channel, answer) = received.answer(party, now)?;
        Ok(AwaitCompletion {
            session: self.session,
            gateway: self.gateway,
            archive: self.archive,
            channel,
            answer,
            gateway_policies,
        })
    }
}

impl AwaitCompletion {
    /// The session id.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// The gateway's policies, to be repeated by the archive in step 8.
    pub fn gateway_policies(&self) -> &Policies {
        &self.gateway_policies
    }

    /// Steps 5 and 8 together, once the archive has sent step 8.
    pub fn answer_with(&self, archive_share: Vec<u8>) -> Vec<u8> {
        to_bytes(&BrokerAnswer { answer: Blob(self.answer.clone()), archive_share: Blob(archive_share) })
    }

    /// Step 9 received: the gateway confirms the key. Gives the channel, and step 9 for the archive.
    pub fn on_completion(self, bytes: &[u8], now: UnixTime) -> Result<(GatewayEstablished, Vec<u8>), ProtocolError> {
        let step = Step::Authentication(9);
        let fault = Fault::Gateway;
        let completion: Completion = from_bytes(bytes, 2 * HANDSHAKE_BYTES_MAX).at(step, fault)?;
        let opened = self.channel.open_request(completion.for_broker.as_ref(), now).map_err(|error| {
            // The first message under the new key is the confirmation.
            match error.kind {
                ErrorKind::Sealed => ProtocolError::new(step, fault, ErrorKind::Confirmation),
                _ => error,
            }
        })?;
        let confirm: Confirm = from_bytes(&opened.content, HANDSHAKE_BYTES_MAX).at(step, fault)?;
        let established = GatewayEstablished {
            channel: self.channel,
            gateway: self.gateway,
            archive: self.archive,
            policies: self.gateway_policies,
            binding: confirm.binding,
        };
        Ok((established, completion.for_archive.0))
    }
}

/// Step 6, for the archive, in the run that needs it.
pub fn start_archive(
    opening: ArchiveOpening,
    party: &Party,
    hop: &HopExporter,
) -> Result<(AwaitArchiveAnswer, Vec<u8>), ProtocolError> {
    let bound = Opening::new(BROKER_ARCHIVE, opening.session, &[hop, &opening.introduction, &opening.acceptance]);
    let (shared, message) = share(BROKER_ARCHIVE, bound, party, &party.policies)?;
    Ok((AwaitArchiveAnswer { shared, archive: opening.archive }, message))
}

impl AwaitArchiveAnswer {
    /// Step 7 received.
    pub fn on_answer(self, bytes: &[u8], party: &Party, now: UnixTime) -> Result<ArchiveEstablished, ProtocolError> {
        let (channel, policies) = self.shared.finish(bytes, &self.archive, party, now)?;
        Ok(ArchiveEstablished { channel, archive: self.archive, policies })
    }
}
