//! The gateway's side (LHC) of the nine steps.
//!
//! `start` → [`AwaitPresentation`] → [`AwaitAnswer`] → [`AwaitConfirmation`] → [`Established`].

use sealwort_pki::{Identity, Role, UnixTime, VerifiedParty};

use super::agreement::{GATEWAY_ARCHIVE, GATEWAY_BROKER, Opening, Shared, receive_share, share};
use super::{HopExporter, Named, Party, session_id};
use crate::SUITE;
use crate::channel::Channel;
use crate::codec::{Blob, from_bytes, to_bytes};
use crate::error::{At, ErrorKind, Fault, ProtocolError, Step};
use crate::id::{Nonce, SessionId};
use crate::message::{
    Acceptance, BrokerAnswer, Completion, Confirm, CookieDemand, HANDSHAKE_BYTES_MAX, Header, Hello, Presentation,
};
use crate::peers::{Peers, chain_from_wire, chain_to_wire};
use crate::policy::Policies;

/// Step 1 was sent.
pub struct AwaitPresentation {
    nonce: Nonce,
    archive: Identity,
    hop: HopExporter,
    hop_broker: Identity,
    hello: Vec<u8>,
}

/// Step 4 was sent.
pub struct AwaitAnswer {
    session: SessionId,
    broker: VerifiedParty,
    archive: VerifiedParty,
    shared: Shared,
}

/// Step 9 was sent.
pub struct AwaitConfirmation {
    with_broker: Channel,
    with_archive: Channel,
    broker: VerifiedParty,
    archive: VerifiedParty,
    broker_policies: Policies,
}

/// The broker's answer to step 1.
pub enum Presented {
    /// Go on with step 4.
    Continue(Box<AwaitAnswer>, Vec<u8>),
    /// The broker is under load: step 1 again, with its cookie.
    Again(AwaitPresentation, Vec<u8>),
}

/// Two confirmed channels.
pub struct Established {
    /// SK_LT.
    pub with_broker: Channel,
    /// SK_LM.
    pub with_archive: Channel,
    /// The broker.
    pub broker: VerifiedParty,
    /// The archive.
    pub archive: VerifiedParty,
    /// What the broker promised in step 5.
    pub broker_policies: Policies,
}

/// Step 1. `hop_broker` is who the TLS connection was made to, `archive` whom the gateway wants.
pub fn start(
    party: &Party,
    archive: &Identity,
    hop_broker: &Identity,
    hop: HopExporter,
) -> (AwaitPresentation, Vec<u8>) {
    let nonce = Nonce::random(&party.operations);
    hello(party, nonce, archive.clone(), hop_broker.clone(), hop, Blob::default())
}

fn hello(
    party: &Party,
    nonce: Nonce,
    archive: Identity,
    hop_broker: Identity,
    hop: HopExporter,
    cookie: Blob,
) -> (AwaitPresentation, Vec<u8>) {
    let hello = to_bytes(&Hello {
        header: Header::new(party.exchange(), 1, SessionId::NONE),
        suite: SUITE,
        nonce,
        certificate: chain_to_wire(&party.chain),
        archive: archive.to_string(),
        cookie,
    });
    (AwaitPresentation { nonce, archive, hop, hop_broker, hello: hello.clone() }, hello)
}

impl AwaitPresentation {
    /// Step 3 received; gives step 4.
    pub fn on_presentation(self, bytes: &[u8], party: &Party, peers: &Peers<'_>) -> Result<Presented, ProtocolError> {
        let step = Step::Authentication(3);
        if let Ok(demand) = from_bytes::<CookieDemand>(bytes, HANDSHAKE_BYTES_MAX) {
            demand.header.check(party.exchange(), 1, SessionId::NONE).at(step, Fault::Broker)?;
            // The nonce stays: the cookie is bound to it.
            let (state, hello) = hello(party, self.nonce, self.archive, self.hop_broker, self.hop, demand.cookie);
            return Ok(Presented::Again(state, hello));
        }
        let presentation: Presentation = from_bytes(bytes, HANDSHAKE_BYTES_MAX).at(step, Fault::Broker)?;
        let acceptance: Acceptance =
            from_bytes(presentation.acceptance.as_ref(), HANDSHAKE_BYTES_MAX).at(step, Fault::Archive)?;

        let broker = chain_from_wire(&presentation.certificate)
            .and_then(|chain| Ok(peers.verify(&chain, Role::Broker)?))
            .at(step, Fault::Broker)?;
        let archive = chain_from_wire(&acceptance.certificate)
            .and_then(|chain| Ok(peers.verify(&chain, Role::Archive)?))
            .at(step, Fault::Archive)?;
        expect_party(&broker, &self.hop_broker).at(step, Fault::Broker)?;
        expect_party(&archive, &self.archive).at(step, Fault::Broker)?;

        let session = session_id(
            &[
                Named::own(party, self.nonce),
                Named::peer(&broker, presentation.nonce),
                Named::peer(&archive, acceptance.nonce),
            ],
            &party.operations,
        );
        presentation.header.check(party.exchange(), 3, session).at(step, Fault::Broker)?;
        acceptance.header.check(party.exchange(), 3, session).at(step, Fault::Archive)?;

        let opening = Opening::new(GATEWAY_BROKER, session, &[&self.hop, &self.hello, bytes]);
        let (shared, message) = share(GATEWAY_BROKER, opening, party, &party.policies)?;
        Ok(Presented::Continue(Box::new(AwaitAnswer { session, broker, archive, shared }), message))
    }
}

impl AwaitAnswer {
    /// The session id.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Steps 5 and 8 received; gives step 9.
    pub fn on_answer(
        self,
        bytes: &[u8],
        party: &Party,
        now: UnixTime,
    ) -> Result<(AwaitConfirmation, Vec<u8>), ProtocolError> {
        let both: BrokerAnswer =
            from_bytes(bytes, 2 * HANDSHAKE_BYTES_MAX).at(Step::Authentication(5), Fault::Broker)?;
        let (with_broker, broker_policies) = self.shared.finish(both.answer.as_ref(), &self.broker, party, now)?;

        let step = Step::Authentication(8);
        let opening = Opening::new(GATEWAY_ARCHIVE, self.session, &[]);
        let received = receive_share(GATEWAY_ARCHIVE, opening, both.archive_share.as_ref(), &self.archive, party)?;
        if received.policies() != &party.policies {
            return Err(ProtocolError::new(step, Fault::Broker, ErrorKind::PolicyChanged));
        }
        let (with_archive, for_archive) = received.answer(party, now)?;
        let confirm = to_bytes(&Confirm { binding: with_archive.binding() });
        let (_, for_broker) = with_broker.request(&confirm, now)?;
        let message = to_bytes(&Completion { for_archive: Blob(for_archive), for_broker: Blob(for_broker) });
        let state = AwaitConfirmation {
            with_broker,
            with_archive,
            broker: self.broker,
            archive: self.archive,
            broker_policies,
        };
        Ok((state, message))
    }
}

impl AwaitConfirmation {
    /// The archive's confirmation received, the first message under SK_LM.
    pub fn on_confirmation(self, bytes: &[u8], now: UnixTime) -> Result<Established, ProtocolError> {
        let step = Step::Authentication(9);
        let opened = self.with_archive.open_request(bytes, now)?;
        let confirm: Confirm = from_bytes(&opened.content, HANDSHAKE_BYTES_MAX).at(step, Fault::Archive)?;
        if confirm.binding != self.with_archive.binding() {
            return Err(ProtocolError::new(step, Fault::Archive, ErrorKind::Confirmation));
        }
        Ok(Established {
            with_broker: self.with_broker,
            with_archive: self.with_archive,
            broker: self.broker,
            archive: self.archive,
            broker_policies: self.broker_policies,
        })
    }
}

fn expect_party(found: &VerifiedParty, expected: &Identity) -> Result<(), ErrorKind> {
    if found.identity() == expected {
        return Ok(());
    }
    Err(ErrorKind::WrongParty { expected: expected.to_string(), found: found.identity().to_string() })
}
