//! The pattern of all three pairs (steps 4–5, 6–7, 8–9): SIGMA with a KEM in place of Diffie-Hellman. One side
//! signs a fresh X-Wing key with its policies; the other answers with an encapsulation, signs the transcript
//! and confirms the key. Nothing secret travels under a long-term key.

use std::sync::Arc;

use sealwort_pki::{UnixTime, VerifiedParty};

use super::Party;
use crate::channel::{Channel, End, Pair};
use crate::codec::{Blob, from_bytes, to_bytes};
use crate::crypto::{KemKey, Prk, Transcript, encapsulate, extract, hash, mac, mac_matches};
use crate::error::{At, ErrorKind, Fault, ProtocolError, Step};
use crate::id::{Digest, SessionId};
use crate::message::{Answer, HANDSHAKE_BYTES_MAX, Header, Share, SignedAnswer, SignedShare};
use crate::operations::Operations;
use crate::policy::Policies;

/// Which pair, with its step numbers and whom to blame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Roles {
    pub(crate) pair: Pair,
    pub(crate) share_step: u8,
    pub(crate) answer_step: u8,
    pub(crate) sharer: Fault,
    pub(crate) answerer: Fault,
}

/// Steps 4 and 5.
pub(crate) const GATEWAY_BROKER: Roles =
    Roles { pair: Pair::GatewayBroker, share_step: 4, answer_step: 5, sharer: Fault::Gateway, answerer: Fault::Broker };
/// Steps 6 and 7.
pub(crate) const BROKER_ARCHIVE: Roles =
    Roles { pair: Pair::BrokerArchive, share_step: 6, answer_step: 7, sharer: Fault::Broker, answerer: Fault::Archive };
/// Steps 8 and 9.
pub(crate) const GATEWAY_ARCHIVE: Roles = Roles {
    pair: Pair::GatewayArchive,
    share_step: 8,
    answer_step: 9,
    sharer: Fault::Archive,
    answerer: Fault::Gateway,
};

/// Everything that both sides know before the share: session id, the hop's exporter, earlier messages.
#[derive(Clone)]
pub(crate) struct Opening {
    session: SessionId,
    transcript: Transcript,
}

impl Opening {
    pub(crate) fn new(roles: Roles, session: SessionId, parts: &[&[u8]]) -> Self {
        let mut transcript = Transcript::new("sealwort agreement v1");
        transcript.add(roles.pair.as_str().as_bytes()).add(session.as_bytes());
        for part in parts {
            transcript.add(part);
        }
        Self { session, transcript }
    }
}

/// The sharer, waiting for the answer.
pub(crate) struct Shared {
    roles: Roles,
    opening: Opening,
    kem: KemKey,
    policies: Digest,
}

/// Makes the share.
pub(crate) fn share(
    roles: Roles,
    mut opening: Opening,
    party: &Party,
    policies: &Policies,
) -> Result<(Shared, Vec<u8>), ProtocolError> {
    let step = Step::Authentication(roles.share_step);
    let kem = KemKey::generate().at(step, Fault::Own)?;
    let share = to_bytes(&Share {
        header: Header::new(party.exchange(), roles.share_step, opening.session),
        key: Blob(kem.public().to_vec()),
        policies: policies.clone(),
    });
    opening.transcript.add(&share);
    let signature = sign(party, roles.share_step, &opening.transcript).at(step, Fault::Own)?;
    opening.transcript.add(&signature);
    let message = to_bytes(&SignedShare { share: Blob(share), signature: Blob(signature) });
    Ok((Shared { roles, opening, kem, policies: policies.digest() }, message))
}

/// The answerer, who has verified the share.
pub(crate) struct ShareReceived {
    roles: Roles,
    opening: Opening,
    share: Share,
}

/// Verifies a share.
pub(crate) fn receive_share(
    roles: Roles,
    mut opening: Opening,
    bytes: &[u8],
    peer: &VerifiedParty,
    party: &Party,
) -> Result<ShareReceived, ProtocolError> {
    let step = Step::Authentication(roles.share_step);
    let fault = roles.sharer;
    let signed: SignedShare = from_bytes(bytes, HANDSHAKE_BYTES_MAX).at(step, fault)?;
    let share: Share = from_bytes(signed.share.as_ref(), HANDSHAKE_BYTES_MAX).at(step, fault)?;
    share.header.check(party.exchange(), roles.share_step, opening.session).at(step, fault)?;
    opening.transcript.add(signed.share.as_ref());
    check(peer, roles.share_step, &opening.transcript, signed.signature.as_ref(), &party.operations).at(step, fault)?;
    opening.transcript.add(signed.signature.as_ref());
    Ok(ShareReceived { roles, opening, share })
}

impl ShareReceived {
    /// The sharer's policies.
    pub(crate) fn policies(&self) -> &Policies {
        &self.share.policies
    }

    /// Answers: encapsulates, signs, confirms. Gives the channel and the message.
    pub(crate) fn answer(mut self, party: &Party, now: UnixTime) -> Result<(Channel, Vec<u8>), ProtocolError> {
        let roles = self.roles;
        let step = Step::Authentication(roles.answer_step);
        let (ciphertext, secret) = encapsulate(self.share.key.as_ref(), &party.operations).at(step, roles.sharer)?;
        let answer = to_bytes(&Answer {
            header: Header::new(party.exchange(), roles.answer_step, self.opening.session),
            encapsulation: Blob(ciphertext),
            accepted: self.share.policies.digest(),
            policies: party.policies.clone(),
        });
        self.opening.transcript.add(&answer);
        let signature = sign(party, roles.answer_step, &self.opening.transcript).at(step, Fault::Own)?;
        self.opening.transcript.add(&signature);
        let keys = Keys::derive(roles, &self.opening, secret.expose(), &party.operations);
        let message = to_bytes(&SignedAnswer {
            answer: Blob(answer),
            signature: Blob(signature),
            confirmation: Blob(keys.confirmation.to_vec()),
        });
        let channel = keys.channel(roles, End::Answerer, &self.opening, now, party);
        Ok((channel, message))
    }
}

impl Shared {
    /// Verifies the answer. Gives the channel and the answerer's policies.
    pub(crate) fn finish(
        mut self,
        bytes: &[u8],
        peer: &VerifiedParty,
        party: &Party,
        now: UnixTime,
    ) -> Result<(Channel, Policies), ProtocolError> {
        let roles = self.roles;
        let step = Step::Authentication(roles.answer_step);
        let fault = roles.answerer;
        let signed: SignedAnswer = from_bytes(bytes, HANDSHAKE_BYTES_MAX).at(step, fault)?;
        let answer: Answer = from_bytes(signed.answer.as_ref(), HANDSHAKE_BYTES_MAX).at(step, fault)?;
        answer.header.check(party.exchange(), roles.answer_step, self.opening.session).at(step, fault)?;
        if answer.accepted != self.policies {
            return Err(ProtocolError::new(step, fault, ErrorKind::PolicyChanged));
        }
        answer.policies.check_form().at(step, fault)?;
        self.opening.transcript.add(signed.answer.as_ref());
        check(peer, roles.answer_step, &self.opening.transcript, signed.signature.as_ref(), &party.operations)
            .at(step, fault)?;
        self.opening.transcript.add(signed.signature.as_ref());
        let secret = self.kem.decapsulate(answer.encapsulation.as_ref(), &party.operations).at(step, fault)?;
        let keys = Keys::derive(roles, &self.opening, secret.expose(), &party.operations);
        if !mac_matches(&keys.confirmation, signed.confirmation.as_ref()) {
            return Err(ProtocolError::new(step, fault, ErrorKind::Confirmation));
        }
        Ok((keys.channel(roles, End::Sharer, &self.opening, now, party), answer.policies))
    }
}

struct Keys {
    key: Prk,
    binding: Digest,
    confirmation: [u8; 32],
}

impl Keys {
    fn derive(roles: Roles, opening: &Opening, secret: &[u8; 32], operations: &Operations) -> Self {
        let transcript = opening.transcript.digest(operations);
        let key = extract(transcript.as_bytes(), secret);
        let pair = roles.pair.as_str().as_bytes();
        let confirmation = mac(
            &key.expand("sealwort confirmation v1", &[pair]),
            "sealwort answerer confirms v1",
            &[transcript.as_bytes()],
        );
        Self { key, binding: hash("sealwort binding v1", transcript.as_bytes()), confirmation }
    }

    fn channel(&self, roles: Roles, end: End, opening: &Opening, now: UnixTime, party: &Party) -> Channel {
        let peer_fault = match end {
            End::Sharer => roles.answerer,
            End::Answerer => roles.sharer,
        };
        Channel::new(
            roles.pair,
            end,
            opening.session,
            &self.key,
            self.binding,
            peer_fault,
            now,
            Arc::clone(&party.operations),
        )
    }
}

fn signed_bytes(step: u8, transcript: &Transcript, operations: &Operations) -> Vec<u8> {
    let mut message = b"sealwort authentication v1 step ".to_vec();
    message.push(step);
    message.extend_from_slice(transcript.digest(operations).as_bytes());
    message
}

fn sign(party: &Party, step: u8, transcript: &Transcript) -> Result<Vec<u8>, ErrorKind> {
    crate::operations::count(&party.operations.sign);
    party.key.sign(&signed_bytes(step, transcript, &party.operations)).map_err(|_| ErrorKind::Crypto("signing"))
}

fn check(
    peer: &VerifiedParty,
    step: u8,
    transcript: &Transcript,
    signature: &[u8],
    operations: &Operations,
) -> Result<(), ErrorKind> {
    crate::operations::count(&operations.verify);
    peer.public_key().verify(&signed_bytes(step, transcript, operations), signature).map_err(|_| ErrorKind::Signature)
}
