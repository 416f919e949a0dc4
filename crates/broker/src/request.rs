//! Steps 1 to 4 of the transmission: a signed request, the policies and a challenge, their acceptance, and the
//! token with the broker's sub-halves. The patient's directive decides.

use std::sync::Arc;
use std::time::Instant;

use sealwort_audit::{Detail, Event};
use sealwort_custody::{Access, permitted_tags};
use sealwort_proto::codec::from_bytes;
use sealwort_proto::error::{ErrorKind, Fault, ProtocolError, Step};
use sealwort_proto::log::empty;
use sealwort_proto::message::{FromBroker, PolicyAcceptance, Refusal, TokenGrant};
use sealwort_proto::statement::{self, Kind, STATEMENT_BYTES_MAX};
use sealwort_proto::token::Token;
use sealwort_proto::transmission::broker::{Permission, on_request};

use crate::channel::told;
use crate::sessions::GatewaySession;
use crate::{Broker, refusal};

impl Broker {
    /// Step 1 received; answers with step 2.
    pub(crate) fn on_request(&self, session: &Arc<GatewaySession>, request: &[u8]) -> Result<FromBroker, Refusal> {
        let begun = Instant::now();
        let now = self.member.trust().now();
        let (pending, challenge) =
            on_request(request, &session.established, &session.party, now).map_err(|e| refusal(&e))?;
        if !session.keep_pending(pending, now) {
            return Err(Refusal::new(
                Fault::Broker,
                "unavailable",
                "too many requests of this session await step 3",
                "finish or drop them, then try again",
            ));
        }
        let bytes = sealwort_proto::codec::to_bytes(&challenge).len();
        let id = session.established.channel.session();
        self.report(Step::Transmission(2), "T → L", "policies, time stamp, challenge", id, bytes, begun);
        Ok(FromBroker::Challenge(challenge))
    }

    /// Step 3 received; decides, and answers with step 4.
    pub(crate) async fn on_acceptance(
        &self,
        session: &Arc<GatewaySession>,
        acceptance: &PolicyAcceptance,
        entry: &mut Event,
    ) -> Result<FromBroker, Refusal> {
        let begun = Instant::now();
        let now = self.member.trust().now();
        let pending = session
            .take_pending(acceptance.challenge)
            .ok_or_else(|| refusal(&ProtocolError::new(Step::Transmission(3), Fault::Gateway, ErrorKind::Challenge)))?;
        let accepted =
            pending.on_acceptance(acceptance, &session.established, &session.party, now).map_err(|e| refusal(&e))?;
        let request = accepted.request();
        entry.request = Some(accepted.digest());
        entry.patient = Some(request.patient);
        entry.user = Some(request.user.as_str().into());
        entry.role = Some(request.user_role.as_str().into());
        entry.purpose = Some(request.purpose.as_str().into());
        entry.note(Detail::Action, &request.action);
        if let Some(emergency) = &request.emergency {
            entry.note(Detail::Subject, emergency.id);
            entry.note(Detail::Reason, &emergency.reason);
        }
        let ward = self.ward(request.patient).await?;
        let party = session.established.gateway.identity().to_string();
        let access = Access {
            party: &party,
            role: &request.user_role,
            action: &request.action,
            tags: &request.tags,
            purpose: &request.purpose,
            now,
        };
        let decision = self.custody.decide(&ward, &access).map_err(told)?;
        tracing::info!(
            gateway = party,
            action = request.action,
            purpose = request.purpose,
            role = request.user_role,
            permitted = decision.permitted().len(),
            withheld = decision.withheld().len(),
            "decided"
        );
        entry.note(Detail::Labels, format!("{} of {}", decision.permitted().len(), request.tags.len()));
        entry.note(Detail::Version, ward.version());
        entry.note(Detail::Epoch, ward.epoch());
        if let Some(missing) = decision.missing() {
            return Err(Refusal::new(
                Fault::Broker,
                missing.code(),
                missing.to_string(),
                "ask the patient's consent authority to grant it",
            ));
        }
        let tags = permitted_tags(&decision);
        let (patient, action) = (request.patient, request.action.clone());
        let begun_at = self.keep_emergency(&party, request, &ward, now).await?;
        let sub_halves = self.custody.sub_halves(&ward, &action, &party, &tags).await.map_err(told)?;
        let witness = self.witnesses.witness(patient).await.map_err(|e| told(e.into()))?;
        let permission = Permission { tags, directive_version: ward.version(), epoch: ward.epoch(), begun_at };
        let (token, sealed) = accepted
            .issue(
                permission,
                witness.unwrap_or_else(|| empty(patient)),
                &session.established,
                &session.archive.established.channel,
                &session.party,
                now,
            )
            .map_err(|e| refusal(&e))?;
        // The entries of archive and gateway about this access are under the same token.
        let issued = statement::parse(Kind::Token, token.as_ref()).map_err(|kind| refusal(&own(kind)))?;
        let issued: Token = from_bytes(issued.payload(), STATEMENT_BYTES_MAX).map_err(|e| refusal(&own(e.into())))?;
        entry.token = Some(issued.id);
        session.archive.count_token();
        session.note_patient(patient);
        let grant = TokenGrant { sealed, token, sub_halves, registration: ward.registration_bytes.clone().into() };
        let bytes = sealwort_proto::codec::to_bytes(&grant).len();
        let id = session.established.channel.session();
        self.report(
            Step::Transmission(4),
            "T → L",
            "token (sealed for the archive, and readable), the broker's sub-halves, witnessed head",
            id,
            bytes,
            begun,
        );
        Ok(FromBroker::Token(Box::new(grant)))
    }
}

/// A fault of the broker's own in step 4.
fn own(kind: ErrorKind) -> ProtocolError {
    ProtocolError::new(Step::Transmission(4), Fault::Own, kind)
}
