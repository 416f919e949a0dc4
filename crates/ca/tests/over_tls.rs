//! The authority as parties meet it: over real sockets and TLS, from the
//! invitation file to the refusal of a revoked party on an open connection.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use sealwort_ca::{Authority, ExchangeFolder, Policy, Target, admin, create_exchange, router};
use sealwort_net::client::{Body, Endpoint, HopClient};
use sealwort_net::server::{Drained, Limits, serve};
use sealwort_net::tls::{Credentials, SharedTrust, authority_client_config, pinned_root_client_config};
use sealwort_net::{Clock, Shutdown, SystemClock};
use sealwort_pki::authority::RevocationReason;
use sealwort_pki::enrolment::{
    CRL_MESSAGE_BYTES_MAX, CRL_PATH, CrlResponse, ENROL_PATH, Invitation, JoinRequest, JoinResponse, Membership,
    RENEW_PATH, Refusal, RenewalRequest,
};
use sealwort_pki::{Fingerprint, KeyAlgorithm, Role};
use sealwort_store::DataFolder;
use sealwort_store::sqlite::SqliteStore;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(10);

struct Running {
    authority: Arc<Authority>,
    endpoint: Endpoint,
    server: JoinHandle<Drained>,
    trigger: sealwort_net::ShutdownTrigger,
    _place: tempfile::TempDir,
    _data: DataFolder,
}

async fn start() -> Running {
    let clock = Arc::new(SystemClock);
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("ca");
    create_exchange(&"demo".parse().unwrap(), &folder, &place.path().join("root"), KeyAlgorithm::Ed25519, clock.now())
        .unwrap();
    let mut data = DataFolder::open(&folder, "ca").unwrap();
    let store = SqliteStore::open(&mut data).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let authority =
        Authority::open(ExchangeFolder::open(&folder).unwrap(), Arc::new(store), Policy::new(url.clone()), clock)
            .await
            .unwrap();
    let authority = Arc::new(authority);
    let (trigger, shutdown) = Shutdown::channel();
    let (tls, _tasks) = authority.start(&shutdown).unwrap();
    let routes = router(Arc::clone(&authority));
    let server = tokio::spawn(serve(listener, Some(tls), routes, Limits::default(), shutdown));
    Running { authority, endpoint: url.parse().unwrap(), server, trigger, _place: place, _data: data }
}

impl Running {
    async fn call(&self, client: &HopClient, method: Method, path: &str, body: &str) -> Result<Vec<u8>, Refusal> {
        let connection = client.connect(&self.endpoint).await.unwrap();
        let body = Body::from(body.to_owned());
        let response = connection.request(method, path, body, PATIENCE).await.unwrap();
        let good = response.status.is_success();
        let body = response.read(CRL_MESSAGE_BYTES_MAX).await.unwrap().to_vec();
        if good { Ok(body) } else { Err(Refusal::from_json(&body).unwrap()) }
    }

    fn member_client(member: &Membership) -> HopClient {
        let trust = SharedTrust::new(member.trust.clone(), Arc::new(SystemClock));
        let credentials = Credentials::new(&member.hop.chain, Arc::clone(&member.hop.key)).unwrap();
        HopClient::new(authority_client_config(Some(&credentials), &trust).unwrap())
    }

    async fn join(&self, invitation: Invitation) -> Result<Membership, Refusal> {
        let clock = Arc::new(SystemClock);
        let client = HopClient::new(pinned_root_client_config(invitation.root, clock.clone()).unwrap());
        let request = JoinRequest::new(invitation, KeyAlgorithm::Ed25519, clock.now()).unwrap();
        let answer = self.call(&client, Method::POST, ENROL_PATH, &request.to_json()).await?;
        let response = JoinResponse::from_json(&answer).unwrap();
        Ok(request.accept(response, clock.now()).unwrap().membership)
    }

    async fn renew(&self, client: &HopClient, member: &Membership) -> Result<Membership, Refusal> {
        let request = RenewalRequest::new(member.identity.clone(), KeyAlgorithm::Ed25519).unwrap();
        let answer = self.call(client, Method::POST, RENEW_PATH, &request.to_json()).await?;
        let response = JoinResponse::from_json(&answer).unwrap();
        let key = member.directory_key.as_ref();
        let admission = request.accept(response, &member.trust, key, SystemClock.now());
        Ok(admission.unwrap().membership)
    }
}

#[tokio::test]
async fn from_the_invitation_to_the_revocation() {
    let running = start().await;
    // The operator speaks to the running service with the authority's own key.
    let own = running.authority.own().borrow().clone();
    let operator = Running::member_client(&own);
    let body = r#"{"role":"gateway","name":"st-mary","lifetime_seconds":600}"#;
    let answer = running.call(&operator, Method::POST, admin::INVITE_PATH, body).await;
    let invitation = Invitation::from_json(&answer.unwrap()).unwrap();
    assert_eq!(invitation.identity.role, Role::Gateway);

    let member = running.join(invitation.clone()).await.unwrap();
    let again = running.join(invitation.clone()).await.unwrap_err();
    assert_eq!(again.code, "invitation-used");

    let client = Running::member_client(&member);
    let member = running.renew(&client, &member).await.unwrap();
    let client = Running::member_client(&member);
    let refused = running.call(&client, Method::POST, admin::INVITE_PATH, body).await.unwrap_err();
    assert_eq!(refused.code, "not-operator");

    // Revoked: the open connection is closed, and a new one cannot renew.
    let connection = client.connect(&running.endpoint).await.unwrap();
    let target = Target::Party(member.identity.clone());
    let revoked = running.authority.revoke(&target, RevocationReason::PrivilegeWithdrawn).await.unwrap();
    assert_eq!(revoked.serials.len(), 4);
    tokio::time::timeout(PATIENCE, connection.closed()).await.unwrap();
    let request = RenewalRequest::new(member.identity.clone(), KeyAlgorithm::Ed25519).unwrap();
    let body = request.to_json().to_string();
    let renewed = match client.connect(&running.endpoint).await {
        Err(error) => Err(error),
        Ok(connection) => {
            let body = Body::from(body);
            connection.request(Method::POST, RENEW_PATH, body, PATIENCE).await
        }
    };
    assert!(renewed.is_err(), "a revoked party was served");

    // The list is there for everybody.
    let answer = running.call(&operator, Method::GET, CRL_PATH, "").await.unwrap();
    let list = CrlResponse::from_json(&answer).unwrap();
    let mut trust = member.trust.clone();
    let summary = trust.set_crl(&list.crl, &list.issuing, SystemClock.now()).unwrap();
    assert_eq!((summary.number, summary.revoked), (2, 4));
    assert!(trust.is_revoked(member.hop.serial));

    running.trigger.fire();
    assert_eq!(running.server.await.unwrap(), Drained { cut: 0 });
}

#[tokio::test]
async fn another_root_is_not_believed() {
    let (running, other) = (start().await, start().await);
    let name = "main".parse().unwrap();
    let hour = Duration::from_hours(1);
    let invitation = running.authority.invite(Role::Broker, name, hour).await.unwrap();
    let client = |root: Fingerprint| HopClient::new(pinned_root_client_config(root, Arc::new(SystemClock)).unwrap());
    assert!(client(invitation.root).connect(&other.endpoint).await.is_err());
    let connection = client(invitation.root).connect(&running.endpoint).await.unwrap();
    let found = connection.pinned_authority().unwrap();
    assert_eq!(found.exchange, *running.authority.folder().exchange());
}
