//! The HTTP face: paths, statuses, bodies and who may ask what.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::future::{Future as _, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use sealwort_net::tls::{ConnectionId, HopPeer};
use sealwort_pki::enrolment::{
    CRL_PATH, CrlResponse, ENROL_PATH, Invitation, JoinRequest, JoinResponse, MESSAGE_BYTES_MAX, Membership,
    RENEW_PATH, ROOT_PATH, Refusal, RenewalRequest, RootResponse,
};
use sealwort_pki::testing::TEST_NOW;
use sealwort_pki::{Expected, KeyAlgorithm, KeyUse, Role};
use serde_json::json;
use tower::ServiceExt;

use crate::admin::{INVITE_PATH, LIST_PATH, ListResponse, REVOKE_PATH, RevokeResponse};
use crate::router;
use crate::tests::Place;

async fn send(
    place: &Place,
    peer: Option<&Membership>,
    method: Method,
    path: &str,
    body: impl Into<Body>,
) -> (StatusCode, Vec<u8>) {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(member) = peer {
        let expected = Expected::anybody(KeyUse::Hop);
        let mut trust = member.trust.clone();
        let crl = place.authority.crl().borrow().clone();
        let _ = trust.set_crl(&crl.crl, &crl.issuing, TEST_NOW);
        let party = trust.verify(&member.hop.chain, &expected, TEST_NOW).unwrap();
        let peer = HopPeer::new(Arc::new(party), [0; 32], ConnectionId::next());
        request = request.extension(peer);
    }
    let request = request.body(body.into()).unwrap();
    let response = router(place.authority.clone()).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    assert_eq!(parts.headers["content-type"], "application/json");
    assert_eq!(parts.headers["cache-control"], "no-store");
    (parts.status, body.collect().await.unwrap().to_bytes().to_vec())
}

fn refused((status, body): (StatusCode, Vec<u8>)) -> (u16, String) {
    let refusal = Refusal::from_json(&body).unwrap();
    assert!(!refusal.message.is_empty() && !refusal.remedy.is_empty());
    (status.as_u16(), refusal.code)
}

#[tokio::test]
async fn a_party_joins_renews_and_fetches_the_list() {
    let place = Place::new().await;
    let invitation = place.invite(Role::Gateway, "st-mary").await;
    let request = JoinRequest::new(invitation, KeyAlgorithm::EcdsaP256, TEST_NOW).unwrap();
    let body = request.to_json().to_string();
    let (status, answer) = send(&place, None, Method::POST, ENROL_PATH, body.clone()).await;
    assert_eq!(status, StatusCode::OK);
    let response = JoinResponse::from_json(&answer).unwrap();
    let member = request.accept(response, TEST_NOW).unwrap().membership;
    let used = send(&place, None, Method::POST, ENROL_PATH, body).await;
    assert_eq!(refused(used), (410, "invitation-used".into()));

    let request = RenewalRequest::new(member.identity.clone(), KeyAlgorithm::Ed25519).unwrap();
    let body = request.to_json().to_string();
    let (status, answer) = send(&place, Some(&member), Method::POST, RENEW_PATH, body.clone()).await;
    assert_eq!(status, StatusCode::OK);
    let response = JoinResponse::from_json(&answer).unwrap();
    let key = member.directory_key.as_ref();
    request.accept(response, &member.trust, key, TEST_NOW).unwrap();
    let stranger = send(&place, None, Method::POST, RENEW_PATH, body).await;
    assert_eq!(refused(stranger), (401, "not-authenticated".into()));

    let (status, answer) = send(&place, None, Method::GET, CRL_PATH, "").await;
    assert_eq!(status, StatusCode::OK);
    let crl = CrlResponse::from_json(&answer).unwrap();
    let mut trust = member.trust.clone();
    assert_eq!(trust.set_crl(&crl.crl, &crl.issuing, TEST_NOW).unwrap().number, 1);
    let (status, answer) = send(&place, None, Method::GET, ROOT_PATH, "").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(RootResponse::from_json(&answer).unwrap().root, trust.root());
}

#[tokio::test]
async fn what_cannot_be_read_is_refused() {
    let place = Place::new().await;
    let long = " ".repeat(MESSAGE_BYTES_MAX + 1);
    let member = place.join(Role::Broker, "main").await;
    for path in [ENROL_PATH, RENEW_PATH] {
        for body in ["", "{", "{}", "[]", "{\"hop\":\"\"}", long.as_str(), "\u{0}"] {
            let answer = send(&place, Some(&member), Method::POST, path, body.to_owned()).await;
            assert_eq!(refused(answer), (400, "message-malformed".into()), "{path} {body}");
        }
    }
    for (method, path) in [
        (Method::GET, "/"),
        (Method::GET, ENROL_PATH),
        (Method::POST, CRL_PATH),
        (Method::GET, "/v1/crl/"),
        (Method::DELETE, REVOKE_PATH),
    ] {
        let answer = send(&place, None, method, path, "").await;
        assert_eq!(refused(answer), (404, "not-found".into()), "{path}");
    }
}

#[tokio::test]
async fn a_revocation_whose_operator_goes_away_is_done_all_the_same() {
    let place = Place::new().await;
    let own = place.authority.own().borrow().clone();
    let member = place.join(Role::Broker, "main").await;
    let body = json!({"target": {"party": member.identity.to_string()}, "reason": "key-compromise"}).to_string();
    let mut served = place.authority.crl();
    served.mark_unchanged();
    let mut asked = Box::pin(send(&place, Some(&own), Method::POST, REVOKE_PATH, body));
    let pending = poll_fn(|context| Poll::Ready(asked.as_mut().poll(context).is_pending())).await;
    assert!(pending, "there is no answer yet");
    drop(asked);
    tokio::time::timeout(Duration::from_secs(20), served.changed()).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_operator_alone_administers() {
    let place = Place::new().await;
    let own = place.authority.own().borrow().clone();
    let member = place.join(Role::Broker, "main").await;
    let invite = json!({"role": "lhc", "name": "st-mary", "lifetime_seconds": 60}).to_string();
    let revoke = |target: serde_json::Value| json!({"target": target, "reason": "key-compromise"}).to_string();
    let party = json!({"party": member.identity.to_string()});
    for (method, path, body) in [
        (Method::POST, INVITE_PATH, invite.clone()),
        (Method::POST, REVOKE_PATH, revoke(party.clone())),
        (Method::GET, LIST_PATH, String::new()),
    ] {
        let stranger = send(&place, None, method.clone(), path, body.clone()).await;
        assert_eq!(refused(stranger), (401, "not-authenticated".into()));
        let party = send(&place, Some(&member), method, path, body).await;
        assert_eq!(refused(party), (403, "not-operator".into()));
    }

    let (status, answer) = send(&place, Some(&own), Method::POST, INVITE_PATH, invite).await;
    assert_eq!(status, StatusCode::OK);
    let invitation = Invitation::from_json(&answer).unwrap();
    assert_eq!(invitation.identity.to_string(), "sealwort://demo/gateway/st-mary");

    let body = revoke(party);
    let (status, answer) = send(&place, Some(&own), Method::POST, REVOKE_PATH, body.clone()).await;
    assert_eq!(status, StatusCode::OK);
    let revoked: RevokeResponse = serde_json::from_slice(&answer).unwrap();
    assert_eq!((revoked.crl_number, revoked.serials.len(), revoked.entered), (2, 2, false), "without a log");
    let nothing = send(&place, Some(&own), Method::POST, REVOKE_PATH, body).await;
    assert_eq!(refused(nothing), (404, "nothing-to-revoke".into()));
    for wrong in [
        json!({"target": {"party": "main"}, "reason": "key-compromise"}),
        json!({"target": {"certificate": "00"}, "reason": "key-compromise"}),
        json!({"target": {"party": member.identity.to_string()}, "reason": "because"}),
        json!({"target": {"party": member.identity.to_string()}}),
    ] {
        let answer = send(&place, Some(&own), Method::POST, REVOKE_PATH, wrong.to_string()).await;
        assert_eq!(refused(answer), (400, "message-malformed".into()), "{wrong}");
    }

    let (status, answer) = send(&place, Some(&own), Method::GET, LIST_PATH, "").await;
    assert_eq!(status, StatusCode::OK);
    let list: ListResponse = serde_json::from_slice(&answer).unwrap();
    assert_eq!(list.certificates.len(), 4);
    let revoked = list.certificates.iter().filter(|listed| listed.status == "revoked");
    assert!(revoked.clone().all(|listed| listed.identity == member.identity));
    assert_eq!(revoked.count(), 2);
    let after = format!("{LIST_PATH}?after={}", list.certificates[2].serial);
    let (_, answer) = send(&place, Some(&own), Method::GET, &after, "").await;
    let rest: ListResponse = serde_json::from_slice(&answer).unwrap();
    assert_eq!(rest.certificates, list.certificates[3..]);
    let wrong = send(&place, Some(&own), Method::GET, &format!("{LIST_PATH}?from=1"), "").await;
    assert_eq!(refused(wrong), (400, "message-malformed".into()));
}
