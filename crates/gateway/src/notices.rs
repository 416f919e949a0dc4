//! The broker's notices: while they are heard, what is held open may be shown without asking again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sealwort_net::metrics::labels::Notice as Heard;
use sealwort_net::observe;
use sealwort_proto::codec::from_bytes;
use sealwort_proto::frame::FrameDecoder;
use sealwort_proto::message::{HANDSHAKE_BYTES_MAX, NOTICE_EVERY_SECONDS, Notice};

use crate::Gateway;
use crate::session::Session;

/// Silence after which the notices count as lost.
const SILENCE_MAX: Duration = Duration::from_secs(3 * NOTICE_EVERY_SECONDS);

/// Listens until the session ends or the notices fall silent.
pub(crate) async fn listen(gateway: Arc<Gateway>, session: Arc<Session>) {
    let heard = hear(&gateway, &session).await;
    session.hears_notices.send_replace(false);
    session.notices_lost.fetch_add(1, Ordering::AcqRel);
    session.notices_started.store(false, Ordering::Release);
    // Looking at what is subscribed to begins a new session, if nobody else does.
    gateway.subscriptions.all_changed();
    tracing::debug!(session = %session.established.with_broker.session(), heard, "the broker's notices ended");
}

async fn hear(gateway: &Gateway, session: &Arc<Session>) -> u64 {
    let mut heard = 0;
    let Ok(mut body) = gateway.sessions.notices(session).await else { return heard };
    // What happened before they were heard is not told any more.
    gateway.subscriptions.all_changed();
    let mut frames = FrameDecoder::default();
    loop {
        let chunk = tokio::select! {
            chunk = tokio::time::timeout(SILENCE_MAX, body.next_chunk()) => chunk,
            () = gateway.shutdown.wait() => return heard,
            () = session.is_left() => return heard,
        };
        let Ok(Some(Ok(chunk))) = chunk else { return heard };
        frames.push(&chunk);
        loop {
            let frame = match frames.next() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(_) => return heard,
            };
            let now = gateway.sessions.now();
            let Ok(opened) = session.established.with_broker.open_request(&frame.message, now) else {
                return heard;
            };
            session.party.operations.count_notice();
            observe::notice(Heard::Heard);
            match from_bytes(&opened.content, HANDSHAKE_BYTES_MAX) {
                Ok(Notice::Alive) => {}
                Ok(Notice::ConsentChanged(patient)) => {
                    gateway.patients.consent_changed(patient);
                    gateway.subscriptions.changed(patient);
                    if let Err(error) = gateway.roster.doubt_merges(Some(patient)).await {
                        tracing::error!(%error, "a merge of two identities could not be looked up");
                    }
                    if let Err(error) = gateway.consent_changed(patient).await {
                        tracing::error!(%error, "a patient whose consent changed could not be forgotten");
                    }
                }
                Ok(Notice::HeadMoved(patient)) => {
                    gateway.patients.changed(patient);
                    gateway.subscriptions.changed(patient);
                }
                Ok(Notice::Emergency) => gateway.emergencies.told_to_ask(),
                Ok(Notice::LookAnew) => {
                    if let Err(error) = gateway.roster.doubt_merges(None).await {
                        tracing::error!(%error, "merges of identities could not be looked up");
                    }
                    gateway.patients.all_changed();
                    gateway.subscriptions.all_changed();
                    gateway.emergencies.told_to_ask();
                }
                Err(_) => return heard,
            }
            heard += 1;
            session.hears_notices.send_if_modified(|hears| !std::mem::replace(hears, true));
        }
    }
}
