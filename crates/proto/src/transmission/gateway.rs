//! The gateway's side (LHC) of the seven steps.
//!
//! `request` → [`AwaitChallenge`] → [`AwaitToken`] → [`AwaitGrant`] → [`Authority`].

use sealwort_pki::UnixTime;

use crate::codec::{Blob, to_bytes};
use crate::error::{At, ErrorKind, Fault, ProtocolError, Step};
use crate::halves::{KeyRing, SubHalf};
use crate::handshake::Party;
use crate::handshake::gateway::Established;
use crate::id::{Digest, LabelTag, Pseudonym, TokenId};
use crate::message::{
    AccessRequest, ArchiveGrant, Emergency, Header, PolicyAcceptance, PolicyChallenge, ToArchive, ToBroker, TokenGrant,
};
use crate::peers::Peers;
use crate::policy::Policies;
use crate::receipt::Witness;
use crate::registration::{self, Moment, VerifiedRegistration};
use crate::statement::{self, Kind};
use crate::token::{self, TokenUse, VerifiedToken};

/// What a user wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sought {
    /// The patient.
    pub patient: Pseudonym,
    /// `read`, `write` or `emergency`.
    pub action: String,
    /// Labels wanted, as tags.
    pub tags: Vec<LabelTag>,
    /// Purpose of use, a v3-PurposeOfUse code.
    pub purpose: String,
    /// The emergency access by which it is sought, with the action *emergency*.
    pub emergency: Option<Emergency>,
    /// The user, as the hospital names them.
    pub user: String,
    /// The user's role.
    pub user_role: String,
}

/// Step 1 was sent.
pub struct AwaitChallenge {
    sought: Sought,
    request: Digest,
}

/// Step 3 was sent.
pub struct AwaitToken {
    sought: Sought,
    request: Digest,
    policies: Policies,
}

/// Step 5 was sent.
pub struct AwaitGrant {
    token: VerifiedToken,
    sub_halves: Vec<SubHalf>,
    registration: VerifiedRegistration,
    skew_seconds: u32,
}

/// What step 6 granted.
pub struct Authority {
    /// Its name in step 7.
    pub id: TokenId,
    /// The hash of the signed request that led to it.
    pub request: Digest,
    /// The patient.
    pub patient: Pseudonym,
    /// Labels granted, as tags. Sorted.
    pub tags: Vec<LabelTag>,
    /// End, Unix seconds.
    pub expires: UnixTime,
    /// Both sides' sub-halves.
    pub keys: KeyRing,
    /// The epoch to write in.
    pub epoch: u64,
    /// The registration, the same at broker and archive.
    pub registration: VerifiedRegistration,
    /// The head that the broker has witnessed.
    pub witness: Witness,
    /// The head as the archive states it.
    pub head: Witness,
}

/// Step 1: the signed request.
pub fn request(
    session: &Established,
    party: &Party,
    mut sought: Sought,
) -> Result<(AwaitChallenge, ToBroker), ProtocolError> {
    sought.tags.sort_unstable();
    sought.tags.dedup();
    let message = AccessRequest {
        header: Header::new(party.exchange(), 1, session.with_broker.session()),
        patient: sought.patient,
        action: sought.action.clone(),
        tags: sought.tags.clone(),
        purpose: sought.purpose.clone(),
        emergency: sought.emergency.clone(),
        user: sought.user.clone(),
        user_role: sought.user_role.clone(),
    };
    let signed = statement::sign(Kind::Request, &to_bytes(&message), &party.key, &party.operations)
        .at(Step::Transmission(1), Fault::Own)?;
    let request = statement::digest(&signed);
    Ok((AwaitChallenge { sought, request }, ToBroker::Request(Blob(signed))))
}

impl AwaitChallenge {
    /// Step 2 received; gives step 3.
    pub fn on_challenge(
        self,
        challenge: &PolicyChallenge,
        session: &Established,
        party: &Party,
        now: UnixTime,
    ) -> Result<(AwaitToken, ToBroker), ProtocolError> {
        let step = Step::Transmission(2);
        if challenge.policies != session.broker_policies {
            return Err(ProtocolError::new(step, Fault::Broker, ErrorKind::PolicyChanged));
        }
        let (seconds, limit) =
            (challenge.time_stamp.abs_diff(now.as_secs()), u64::from(party.policies.clock_skew_seconds));
        if seconds > limit {
            return Err(ProtocolError::new(step, Fault::Broker, ErrorKind::Clock { seconds, limit }));
        }
        let acceptance = PolicyAcceptance {
            time_stamp: challenge.time_stamp + 1,
            challenge: challenge.challenge,
            policies: challenge.policies.digest(),
            binding: session.with_archive.binding(),
        };
        let state = AwaitToken { sought: self.sought, request: self.request, policies: challenge.policies.clone() };
        Ok((state, ToBroker::Accept(acceptance)))
    }
}

impl AwaitToken {
    /// Step 4 received: verifies the readable token; gives step 5.
    pub fn on_token(
        self,
        grant: TokenGrant,
        session: &Established,
        party: &Party,
        peers: &Peers<'_>,
    ) -> Result<(AwaitGrant, ToArchive), ProtocolError> {
        let step = Step::Transmission(4);
        let usage = TokenUse {
            exchange: party.exchange(),
            issuer: &session.broker.identity().to_string(),
            issuer_key: session.broker.public_key(),
            holder: &party.identity.to_string(),
            holder_key: party.key.public_key(),
            audience: &session.archive.identity().to_string(),
            binding: session.with_archive.binding(),
            lifetime_seconds: party.policies.token_lifetime_seconds,
            skew_seconds: party.policies.clock_skew_seconds,
            now: peers.now,
        };
        let verified = token::verify(grant.token.as_ref(), &usage, &party.operations).at(step, Fault::Broker)?;
        let token = verified.token();
        let sought = &self.sought;
        let fits = token.patient == sought.patient
            && token.action == sought.action
            && token.purpose == sought.purpose
            && token.emergency.map(|emergency| emergency.id) == sought.emergency.as_ref().map(|emergency| emergency.id)
            && token.user == sought.user
            && token.user_role == sought.user_role
            && token.request == self.request
            && token.policies == self.policies.digest()
            && token.tags.iter().all(|tag| sought.tags.contains(tag));
        if !fits {
            let error = ErrorKind::Token("it grants something else than was asked for");
            return Err(ProtocolError::new(step, Fault::Broker, error));
        }
        let registration = registration::verify(
            grant.registration.as_ref(),
            party.exchange(),
            Moment::Reading,
            peers,
            &party.operations,
        )
        .at(step, Fault::Broker)?;
        if registration.patient() != sought.patient {
            let error = ErrorKind::Statement("the registration is another patient's");
            return Err(ProtocolError::new(step, Fault::Broker, error));
        }
        let possession =
            token::prove_possession(&verified, &party.key, &party.operations).at(Step::Transmission(5), Fault::Own)?;
        let message = ToArchive::Present { sealed: grant.sealed, possession: Blob(possession) };
        let state = AwaitGrant {
            token: verified,
            sub_halves: grant.sub_halves,
            registration,
            skew_seconds: party.policies.clock_skew_seconds,
        };
        Ok((state, message))
    }
}

impl AwaitGrant {
    /// Step 6 received: the authority, after it was held against the token, the registration and the witness.
    pub fn on_grant(self, grant: ArchiveGrant) -> Result<Authority, ProtocolError> {
        let step = Step::Transmission(6);
        let error = |kind| Err(ProtocolError::new(step, Fault::Archive, kind));
        let token = self.token.token();
        if grant.authority != token.id
            || !grant.tags.is_sorted_by(|a, b| a < b)
            || grant.tags.iter().any(|tag| !token.tags.contains(tag))
            || grant.expires > token.expires_at + u64::from(self.skew_seconds)
        {
            return error(ErrorKind::Token("the archive granted something else than the token allows"));
        }
        if statement::digest(grant.registration.as_ref()) != self.registration.digest() {
            return error(ErrorKind::Statement("broker and archive hold different registrations of this patient"));
        }
        let (witness, head) = (token.witness(), Witness { sequence: grant.sequence, head: grant.head });
        if head.sequence < witness.sequence {
            return error(ErrorKind::Rollback("the log ends before the head that the broker has witnessed"));
        }
        if head.sequence == witness.sequence && head.head != witness.head {
            return error(ErrorKind::Rollback("the log differs from the head that the broker has witnessed"));
        }
        Ok(Authority {
            id: grant.authority,
            request: token.request,
            patient: token.patient,
            tags: grant.tags,
            expires: UnixTime::from_secs(grant.expires),
            keys: KeyRing::new(token.patient, self.sub_halves, grant.sub_halves),
            epoch: token.epoch,
            registration: self.registration,
            witness,
            head,
        })
    }
}
