//! What is not FHIR: the gateway's status and the consent of its patients, for the hospital's own tools.

use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use sealwort_audit::{Detail, Event, EventKind};
use serde::{Deserialize, Serialize};

use super::pace::Pace;
use super::{Administrator, LetIn, LetInAbout, Shared, failed};
use crate::Gateway;
use crate::consent::explain::ExplainRequest;
use crate::consent::{ConsentChange, ConsentShown};
use crate::erase::ErasureRequest;
use crate::error::GatewayError;
use crate::trail::Trail;
use crate::user::Asking;

/// How the gateway stands.
#[derive(Debug, Serialize)]
struct Status {
    identity: String,
    /// Whether a session with broker and archive is live.
    connected: bool,
    /// The session's id, for the logs of the other parties.
    session: Option<String>,
    /// Last second of the certificates, Unix time.
    certificates_until: u64,
    /// Number of the revocation list in force.
    revocation_list: Option<u64>,
    /// Writes that wait in the outbox.
    waiting: u64,
    /// Writes that the exchange refused, with the reason.
    refused: Vec<String>,
    /// What came in and was refused, and is kept to be replayed or discarded.
    refused_feeds: u64,
    /// Patients held open.
    open_patients: usize,
    /// Bytes of JSON that they hold.
    open_bytes: usize,
    /// Parties whose audit log was rewritten, and what shows it.
    rewritten_logs: Vec<String>,
    version: &'static str,
}

pub(super) async fn status(State(gateway): Shared, _: LetIn) -> Response {
    let (waiting, refused) = match gateway.outbox.totals().await {
        Ok(totals) => totals,
        Err(error) => return failed(&error),
    };
    let refused_feeds = match gateway.roster.refused_count().await {
        Ok(count) => count,
        Err(error) => return failed(&error),
    };
    let live = gateway.sessions.live().await;
    let (open_patients, open_bytes) = gateway.patients.totals();
    Json(Status {
        identity: gateway.member.identity().to_string(),
        connected: live.is_some(),
        session: live.map(|s| s.established.with_broker.session().to_string()),
        certificates_until: gateway.member.membership().not_after().as_secs(),
        revocation_list: gateway.member.trust().current().crl_number(),
        waiting,
        refused,
        refused_feeds,
        open_patients,
        open_bytes,
        rewritten_logs: gateway.journal.doubts().iter().map(|d| format!("{}: {}", d.origin, d.reason)).collect(),
        version: env!("CARGO_PKG_VERSION"),
    })
    .into_response()
}

/// Which patient.
#[derive(Debug, Deserialize)]
pub(super) struct PatientQuery {
    patient: String,
}

pub(super) async fn consent(State(gateway): Shared, about: LetInAbout, Query(query): Query<PatientQuery>) -> Response {
    let outcome = async {
        about.check_decides_for(&gateway, &query.patient).await?;
        gateway.consent(&query.patient).await
    };
    shown(&gateway, gateway.entry(EventKind::ConsentRead, &about.0), &about.0, outcome.await).await
}

pub(super) async fn grant(State(gateway): Shared, about: LetInAbout, Json(change): Json<ConsentChange>) -> Response {
    let outcome = async {
        about.check_decides_for(&gateway, &change.patient).await?;
        gateway.grant(&change).await
    };
    let entry = gateway.entry(EventKind::ConsentChanged, &about.0).detail(Detail::Action, "grant");
    shown(&gateway, entry.detail(Detail::Recipient, &change.to), &about.0, outcome.await).await
}

pub(super) async fn withdraw(State(gateway): Shared, about: LetInAbout, Json(change): Json<ConsentChange>) -> Response {
    let outcome = async {
        about.check_decides_for(&gateway, &change.patient).await?;
        gateway.withdraw(&change).await
    };
    let entry = gateway.entry(EventKind::ConsentChanged, &about.0).detail(Detail::Action, "withdraw");
    shown(&gateway, entry.detail(Detail::Recipient, &change.to), &about.0, outcome.await).await
}

/// Who may see what, by which sentence, and what would change if.
pub(super) async fn explain(
    State(gateway): Shared,
    LetIn(asking): LetIn,
    Json(request): Json<ExplainRequest>,
) -> Response {
    let pace = Pace::begin(&asking.trail);
    let outcome = gateway.explain(request, &asking).await;
    pace.keep(&asking.trail).await;
    let entry = gateway.entry(EventKind::ConsentRead, &asking).detail(Detail::Action, "explain");
    if let Err(error) = gateway.keep_entry(entry, &asking.trail, outcome.as_ref().err()).await {
        return failed(&error);
    }
    outcome.map_or_else(|error| failed(&error), |shown| Json(shown).into_response())
}

pub(super) async fn erase(
    State(gateway): Shared,
    Administrator(asking): Administrator,
    Json(request): Json<ErasureRequest>,
) -> Response {
    let outcome = gateway.erase(&request).await;
    let entry = gateway.entry(EventKind::PatientErased, &asking);
    let trail = Trail::default();
    outcome.iter().flat_map(|shown| shown.patient.parse()).for_each(|patient| trail.touches(patient));
    if let Err(error) = gateway.keep_entry(entry, &trail, outcome.as_ref().err()).await {
        return failed(&error);
    }
    outcome.map_or_else(|error| failed(&error), |shown| Json(shown).into_response())
}

pub(super) async fn erasures(State(gateway): Shared, LetIn(asking): LetIn) -> Response {
    let listed = async {
        gateway.list_read("erasures", &asking).await?;
        gateway.erasures().await
    };
    listed.await.map_or_else(|error| failed(&error), |shown| Json(shown).into_response())
}

/// Answers when the entry is on disk.
async fn shown(
    gateway: &Gateway,
    mut entry: Event,
    asking: &Asking,
    outcome: Result<ConsentShown, GatewayError>,
) -> Response {
    if let Ok(consent) = &outcome {
        consent.patient.parse().into_iter().for_each(|patient| asking.trail.touches(patient));
        entry.note(Detail::Version, consent.version);
        entry.note(Detail::Epoch, consent.epoch);
    }
    if let Err(error) = gateway.keep_entry(entry, &asking.trail, outcome.as_ref().err()).await {
        return failed(&error);
    }
    match outcome {
        Ok(consent) => Json(consent).into_response(),
        Err(error) => failed(&error),
    }
}
