//! Emergency accesses: each is on disk, with its begin, before the first token for it leaves. The hospital that
//! registered the patient is told, however long it was away, and an hour after the begin there are no tokens any more.

use sealwort_audit::{Detail, Event};
use sealwort_custody::Ward;
use sealwort_pki::UnixTime;
use sealwort_proto::EmergencyId;
use sealwort_proto::error::Fault;
use sealwort_proto::message::{AccessRequest, EMERGENCIES_PER_MESSAGE_MAX, EmergencyNotice, FromBroker, Refusal};
use sealwort_proto::transmission::EMERGENCY_SECONDS_MAX;
use sealwort_store::{KeptEmergency, NewEmergency};

use crate::Broker;
use crate::channel::told;
use crate::sessions::GatewaySession;

/// How long an access stays on disk after everybody was told, in seconds: longer than anybody could claim another begin.
const KEPT_SECONDS: u64 = 24 * EMERGENCY_SECONDS_MAX;

impl Broker {
    /// Keeps the emergency access that a permitted request goes by. Its begin; none where it goes by none.
    pub(crate) async fn keep_emergency(
        &self,
        hospital: &str,
        request: &AccessRequest,
        ward: &Ward,
        now: UnixTime,
    ) -> Result<Option<u64>, Refusal> {
        let Some(emergency) = &request.emergency else { return Ok(None) };
        let now = now.as_secs();
        // The hospital's word for when it began counts where it is the earlier one.
        let begun_at = emergency.begun_at.min(now);
        check_hour(begun_at, now)?;
        let registrant = ward.registration.registration().registered_by.clone();
        let tell = (registrant != hospital).then_some(registrant);
        let notice = EmergencyNotice {
            id: emergency.id,
            patient: request.patient,
            hospital: hospital.to_owned(),
            user: request.user.clone(),
            user_role: request.user_role.clone(),
            purpose: request.purpose.clone(),
            reason: emergency.reason.clone(),
            begun_at,
        };
        let (patient, user) = (notice.patient, notice.user.clone());
        let kept = self.emergencies.keep_emergency(NewEmergency { notice, tell: tell.clone() }).await;
        let (kept, how) = kept.map_err(|error| told(error.into()))?;
        if (kept.patient, kept.hospital.as_str(), &kept.user) != (patient, hospital, &user) {
            return Err(Refusal::new(
                Fault::Broker,
                "emergency-other",
                "the emergency access is of another patient, hospital or user",
                "open one of your own",
            ));
        }
        check_hour(kept.begun_at, now)?;
        if how == KeptEmergency::New {
            if let Some(registrant) = tell {
                self.notices.emergency(&registrant);
            }
            let before = now.saturating_sub(KEPT_SECONDS);
            self.emergencies.forget_emergencies(before).await.map_err(|error| told(error.into()))?;
        }
        Ok(Some(kept.begun_at))
    }

    /// What the hospital of a session is to be told of, without what it has on disk by now.
    pub(crate) async fn tell_emergencies(
        &self,
        session: &GatewaySession,
        done: &[EmergencyId],
        entry: &mut Event,
    ) -> Result<FromBroker, Refusal> {
        if done.len() > EMERGENCIES_PER_MESSAGE_MAX {
            return Err(Refusal::new(
                Fault::Broker,
                "emergencies-count",
                format!("at most {EMERGENCIES_PER_MESSAGE_MAX} emergency accesses are acknowledged at once"),
                "acknowledge them in parts",
            ));
        }
        let hospital = session.established.gateway.identity().to_string();
        if !done.is_empty() {
            self.emergencies.told_emergencies(&hospital, done).await.map_err(|error| told(error.into()))?;
        }
        let untold = self.emergencies.untold_emergencies(&hospital, EMERGENCIES_PER_MESSAGE_MAX).await;
        let untold = untold.map_err(|error| told(error.into()))?;
        entry.note(Detail::Count, untold.len() + done.len());
        Ok(FromBroker::Emergencies(untold))
    }
}

fn check_hour(begun_at: u64, now: u64) -> Result<(), Refusal> {
    if now < begun_at.saturating_add(EMERGENCY_SECONDS_MAX) {
        return Ok(());
    }
    Err(Refusal::new(
        Fault::Broker,
        "emergency-over",
        "an emergency access lasts an hour at most, and this one began earlier",
        "where the emergency goes on, open another one",
    ))
}
