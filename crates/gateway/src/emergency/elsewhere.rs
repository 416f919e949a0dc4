//! Emergency accesses at other hospitals to patients whom this one registered. The broker keeps each until it is on this
//! gateway's disk, as notices to the patient and the security officer; so nothing is lost while this gateway is away.

use std::sync::Arc;
use std::time::Duration;

use sealwort_net::Shutdown;
use sealwort_proto::error::Fault;
use sealwort_proto::message::{EMERGENCIES_PER_MESSAGE_MAX, EmergencyNotice, FromBroker, ToBroker};

use super::tell::{Event, Recipient, Tell};
use super::{lock, not_officers};
use crate::Gateway;
use crate::error::GatewayError;
use crate::open::unexpected;
use crate::user::Asking;

/// How often the broker is asked without being told: well within the minute in which people are told.
const ASK_EVERY: Duration = Duration::from_secs(20);

/// Asks until `shutdown`: when the broker says that there is something, and all the time, which also has a session begin
/// where nobody else needs one.
pub(super) async fn ask_forever(gateway: Arc<Gateway>, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(ASK_EVERY) => {}
            () = gateway.emergencies.to_ask.notified() => {}
            () = shutdown.wait() => return,
        }
        match gateway.learn_of_emergencies().await {
            Ok(()) => {}
            Err(error) if error.is_away() || error.is_session_lost() => {
                tracing::debug!(%error, "emergency accesses elsewhere are asked for when the exchange is back");
            }
            Err(error) => tracing::error!(%error, "emergency accesses elsewhere could not be learnt of"),
        }
    }
}

impl Gateway {
    /// Asks until there is nothing new; each notice is on disk before the broker is told so.
    async fn learn_of_emergencies(&self) -> Result<(), GatewayError> {
        let mut kept = Vec::new();
        loop {
            let answer = self.ask_broker(&ToBroker::Emergencies(std::mem::take(&mut kept))).await?;
            let FromBroker::Emergencies(notices) = answer else { return Err(unexpected(Fault::Broker)) };
            if notices.is_empty() || notices.len() > EMERGENCIES_PER_MESSAGE_MAX {
                return Ok(());
            }
            for notice in notices {
                self.keep_elsewhere(&notice).await?;
                kept.push(notice.id);
            }
        }
    }

    async fn keep_elsewhere(&self, notice: &EmergencyNotice) -> Result<(), GatewayError> {
        tracing::info!(
            event = "elsewhere",
            id = %notice.id,
            patient = %notice.patient,
            hospital = notice.hospital,
            user = notice.user,
            role = notice.user_role,
            reason = notice.reason,
            "emergency access"
        );
        let id = notice.id.to_string();
        let event = Event {
            about: &id,
            name: "elsewhere",
            patient: notice.patient,
            hospital: notice.hospital.clone(),
            user: &notice.user,
            role: &notice.user_role,
            purpose: &notice.purpose,
            reason: Some(&notice.reason),
            at: notice.begun_at,
            until: None,
        };
        self.keep_tells(&event, &[Recipient::SecurityOfficer, Recipient::Patient]).await
    }

    /// What security officers see of emergency accesses elsewhere, the newest first.
    pub(crate) fn emergencies_elsewhere(&self, asking: &Asking) -> Result<Vec<Tell>, GatewayError> {
        if !self.emergencies.is_officer(asking) {
            return Err(not_officers());
        }
        let mut told: Vec<_> =
            lock(&self.emergencies.tells).values().filter(|tell| tell.event == "elsewhere").cloned().collect();
        told.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
        Ok(told)
    }
}
