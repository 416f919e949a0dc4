//! Steps 5 and 6 of the transmission: the token, held against the session and against the patient's own
//! directive, answered by the archive's sub-halves.

use std::sync::Arc;
use std::time::Instant;

use sealwort_custody::{Access, Ward, permitted_tags};
use sealwort_pki::UnixTime;
use sealwort_proto::LabelTag;
use sealwort_proto::error::{Fault, Step};
use sealwort_proto::log::empty;
use sealwort_proto::message::{ArchiveGrant, FromArchive, Refusal};
use sealwort_proto::token::{Token, VerifiedToken};
use sealwort_proto::transmission::archive::on_present;

use crate::Archive;
use crate::authenticate::refusal;
use crate::relay::Reply;
use crate::sessions::{Authority, GatewaySession, lock};

impl Archive {
    /// Step 5 received; answers with step 6.
    pub(crate) async fn present(
        &self,
        session: &Arc<GatewaySession>,
        sealed: &[u8],
        possession: &[u8],
    ) -> Result<Reply, Refusal> {
        let begun = Instant::now();
        let now = self.member.trust().now();
        let verified: VerifiedToken = {
            let mut used = lock(&session.used);
            let broker = &session.broker.established.channel;
            on_present(sealed, possession, &session.established, broker, &session.party, &mut used, now)
                .map_err(|error| refusal(&error))?
        };
        let token = verified.token();
        let ward = self.ward(token.patient).await?;
        if ward.version() < token.directive_version {
            return Err(Refusal::new(
                Fault::Archive,
                "directive-behind",
                "the archive has not received the newest directive",
                "the consent authority's gateway sends it again by itself; try again in a moment",
            ));
        }
        if token.action == "write" && ward.epoch() != token.epoch {
            return Err(epoch_changed());
        }
        let tags = self.decide(&ward, session, token, &token.tags, now)?;
        let failed = |e: sealwort_custody::CustodyError| e.refusal(Fault::Archive);
        let author = session.established.gateway.identity().to_string();
        let sub_halves = self.custody.sub_halves(&ward, &token.action, &author, &tags).await.map_err(failed)?;
        let head = self.logs.head(token.patient).await.map_err(|e| failed(e.into()))?;
        let head = head.unwrap_or_else(|| empty(token.patient));
        let expires = UnixTime::from_secs(token.expires_at);
        let grant = FromArchive::Granted(Box::new(ArchiveGrant {
            authority: token.id,
            expires: token.expires_at,
            tags: tags.clone(),
            sub_halves,
            registration: ward.registration_bytes.clone().into(),
            sequence: head.sequence,
            head: head.head,
        }));
        let bytes = sealwort_proto::codec::to_bytes(&grant).len();
        let id = token.id;
        session.grant(id, Authority { token: verified, tags, expires }, now);
        self.report(
            Step::Transmission(6),
            "M → L",
            "authority, the archive's sub-halves",
            session.established.channel.session(),
            bytes,
            begun,
        );
        Ok(Reply::One(grant))
    }

    /// The archive's own decision by the newest directive: which of these labels are permitted now.
    pub(crate) fn decide(
        &self,
        ward: &Ward,
        session: &GatewaySession,
        token: &Token,
        tags: &[LabelTag],
        now: UnixTime,
    ) -> Result<Vec<LabelTag>, Refusal> {
        let party = session.established.gateway.identity().to_string();
        let access =
            Access { party: &party, role: &token.user_role, action: &token.action, tags, purpose: &token.purpose, now };
        let decision = self.custody.decide(ward, &access).map_err(|e| e.refusal(Fault::Archive))?;
        match decision.missing() {
            Some(missing) => Err(Refusal::new(
                Fault::Archive,
                missing.code(),
                missing.to_string(),
                "ask the patient's consent authority to grant it",
            )),
            None => Ok(permitted_tags(&decision)),
        }
    }

    /// A registered patient.
    pub(crate) async fn ward(&self, patient: sealwort_proto::Pseudonym) -> Result<Arc<Ward>, Refusal> {
        let ward = self.custody.ward_of(patient).await.map_err(|e| e.refusal(Fault::Archive))?;
        ward.ok_or_else(|| sealwort_custody::CustodyError::UnknownPatient.refusal(Fault::Archive))
    }
}

pub(crate) fn epoch_changed() -> Refusal {
    Refusal::new(
        Fault::Archive,
        "epoch-changed",
        "consent changed and a new epoch of keys began",
        "ask for a new token",
    )
}
