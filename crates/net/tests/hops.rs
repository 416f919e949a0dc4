//! The hops between parties over real sockets: who gets in, who does not and why, and what
//! happens to open connections.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::routing::{get, post};
use axum::{Extension, Router};
use bytes::Bytes;
use common::{PATIENCE, Running, World, copy, credentials, refused};
use http::Method;
use rustls::AlertDescription;
use rustls::crypto::aws_lc_rs::kx_group;
use sealwort_net::bound::Bound;
use sealwort_net::client::{Body, CloseReason, Connection, HopClient, HopError, Phase};
use sealwort_net::server::{Limits, Server};
use sealwort_net::tls::{self, ClientAuth, Credentials, ExpectedPeer, HopPeer, SharedTrust};
use sealwort_net::{Clock, Shutdown, TestClock, crl};
use sealwort_pki::enrolment::CrlResponse;
use sealwort_pki::testing::{TEST_NOW, TestExchange, TestParty};
use sealwort_pki::{CertificateError, Fingerprint, Role};
use sealwort_proto::SessionId;

/// Says who asked and with which exporter value.
async fn who(peer: Option<Extension<HopPeer>>) -> String {
    match peer {
        None => "nobody".to_owned(),
        Some(Extension(peer)) => {
            let exporter: Vec<String> = peer.exporter().iter().map(|b| format!("{b:02x}")).collect();
            format!("{} {} {}", peer.identity(), peer.connection(), exporter.concat())
        }
    }
}

fn router() -> Router {
    Router::new().route("/who", get(who)).route("/echo", post(|body: Bytes| async move { body }))
}

/// A broker that accepts gateways.
struct Broker {
    world: World,
    party: TestParty,
    running: Running,
}

impl Broker {
    async fn start() -> Self {
        let world = World::new();
        let party = world.party(Role::Broker, "b");
        let tls = world.server_tls(&party, &[Role::Gateway], ClientAuth::Required);
        let running = Running::start(Some(tls), router(), Limits::hop()).await;
        Self { world, party, running }
    }

    fn client(&self, party: &TestParty) -> HopClient {
        let expected = ExpectedPeer::any(Role::Broker);
        self.world.client(Some(&party.hop), expected)
    }

    async fn connect(&self, party: &TestParty) -> Connection {
        let endpoint = self.running.endpoint();
        self.client(party).connect(&endpoint).await.unwrap()
    }

    /// The error of a client that shows its certificate and is refused for it.
    async fn refusal(&self, client: &HopClient) -> HopError {
        refused(client, &self.running.endpoint()).await
    }
}

#[tokio::test]
async fn both_ends_know_each_other_and_the_connection() {
    let broker = Broker::start().await;
    let gateway = broker.world.party(Role::Gateway, "hospital-a");
    let first = broker.connect(&gateway).await;
    let second = broker.connect(&gateway).await;
    let mut seen = Vec::new();
    for connection in [&first, &first, &second] {
        let (status, text) = common::get(connection, "/who").await.unwrap();
        assert_eq!(status, 200);
        let peer = connection.require_peer().unwrap();
        assert_eq!(peer.identity(), &broker.party.identity);
        assert_eq!(peer.fingerprint(), broker.party.hop.chain.fingerprint());
        assert_eq!(peer.serial(), broker.party.hop.serial);
        let exporter: Vec<String> = peer.exporter().iter().map(|b| format!("{b:02x}")).collect();
        assert!(text.starts_with("sealwort://test/gateway/hospital-a "), "{text}");
        assert!(text.ends_with(&exporter.concat()), "exporters differ: {text}");
        seen.push(text);
    }
    assert_eq!(seen[0], seen[1], "one connection, one number and exporter");
    assert_ne!(seen[0], seen[2], "another connection, another number and exporter");
}

#[tokio::test]
async fn the_key_exchange_is_the_hybrid_one() {
    let broker = Broker::start().await;
    let gateway = broker.world.party(Role::Gateway, "a");
    let connection = broker.connect(&gateway).await;
    assert_eq!(connection.key_exchange(), "X25519MLKEM768");
    // A client of another make: hybrid if it prefers it, else the classical half alone.
    for (groups, expected) in [
        (vec![kx_group::X25519MLKEM768, kx_group::X25519], rustls::NamedGroup::X25519MLKEM768),
        (vec![kx_group::X25519], rustls::NamedGroup::X25519),
    ] {
        let stream = plain_tls(&broker, &gateway, groups, &rustls::version::TLS13).await.unwrap();
        let session = stream.get_ref().1;
        assert_eq!(session.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
        let group = session.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(group, expected);
    }
    let only_p256 = vec![rustls::crypto::aws_lc_rs::kx_group::SECP256R1];
    assert!(plain_tls(&broker, &gateway, only_p256, &rustls::version::TLS13).await.is_err());
    let any = vec![rustls::crypto::aws_lc_rs::kx_group::X25519];
    assert!(plain_tls(&broker, &gateway, any, &rustls::version::TLS12).await.is_err());
}

/// Whoever is cut off, and whoever goes.
#[tokio::test]
async fn what_is_bound_to_a_connection_ends_with_it() {
    let world = World::new();
    let tls = world.server_tls(&world.party(Role::Broker, "b"), &[Role::Gateway], ClientAuth::Required);
    let table = Bound::<u8>::default();
    let (kept, held) = (table.clone(), table.clone());
    let add = get(move |Extension(peer): Extension<HopPeer>| async move {
        let added = kept.add(peer.connection(), SessionId::new([1; 32]), 1, 9, |_| false);
        added.map_or_else(|error| error.code(), |()| "kept")
    });
    let server = Server::new(Router::new().route("/add", add)).tls(tls).limits(Limits::hop());
    let running = Running::start_server(server.while_open(move |connection| held.open(connection))).await;
    let mut connections = Vec::new();
    for party in ["goes", "is-revoked", "stays"].map(|name| world.party(Role::Gateway, name)) {
        let client = world.client(Some(&party.hop), ExpectedPeer::any(Role::Broker));
        let connection = client.connect(&running.endpoint()).await.unwrap();
        assert_eq!(common::get(&connection, "/add").await.unwrap().1, "kept");
        connections.push((connection, party.hop.serial));
    }
    assert_eq!(table.count(), 3);
    let left = async |count: usize| {
        let begun = Instant::now();
        while table.count() != count {
            assert!(begun.elapsed() < PATIENCE, "{} are left, not {count}", table.count());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    connections[0].0.close();
    left(2).await;
    world.revoke(2, &[connections[1].1]);
    left(1).await;
    running.stop().await;
    left(0).await;
}

/// A handshake by rustls itself, believing any server.
async fn plain_tls(
    broker: &Broker,
    party: &TestParty,
    groups: Vec<&'static dyn rustls::crypto::SupportedKxGroup>,
    version: &'static rustls::SupportedProtocolVersion,
) -> std::io::Result<tokio_rustls::client::TlsStream<tokio::net::TcpStream>> {
    use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
    let provider =
        rustls::crypto::CryptoProvider { kx_groups: groups, ..rustls::crypto::aws_lc_rs::default_provider() };
    let chain = party.hop.chain.certificates().iter().cloned().map(CertificateDer::from).collect();
    let key = PrivatePkcs8KeyDer::from(party.hop.key.to_pkcs8().unwrap().to_vec());
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(BelieveAnybody))
        .with_client_auth_cert(chain, key.into())
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tcp = tokio::net::TcpStream::connect(broker.running.address).await?;
    let name = ServerName::try_from("x.invalid").unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}

#[derive(Debug)]
struct BelieveAnybody;

impl rustls::client::danger::ServerCertVerifier for BelieveAnybody {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        vec![rustls::SignatureScheme::ED25519]
    }
}

/// The server refuses the client: the client learns the alert that says most.
#[track_caller]
fn assert_alert(error: &HopError, expected: AlertDescription) {
    match error {
        HopError::RefusedByPeer { alert, .. } => assert_eq!(*alert, expected, "{error}"),
        other => panic!("not an alert: {other:?}"),
    }
    assert_eq!(error.phase(), Some(Phase::Tls));
}

#[tokio::test]
async fn a_client_of_the_wrong_role_is_refused() {
    let broker = Broker::start().await;
    for role in [Role::Archive, Role::Broker, Role::Ca] {
        let party = broker.world.party(role, "x");
        let error = broker.refusal(&broker.client(&party)).await;
        assert_alert(&error, AlertDescription::AccessDenied);
    }
}

#[tokio::test]
async fn a_revoked_client_is_refused() {
    let broker = Broker::start().await;
    let gateway = broker.world.party(Role::Gateway, "a");
    broker.world.revoke(2, &[gateway.hop.serial]);
    let error = broker.refusal(&broker.client(&gateway)).await;
    assert_alert(&error, AlertDescription::CertificateRevoked);
    assert!(error.to_string().contains("new invitation"), "{error}");
}

#[tokio::test]
async fn an_expired_client_is_refused() {
    let broker = Broker::start().await;
    let party = broker.world.exchange.party_with(Role::Gateway, "a", Duration::from_mins(1));
    broker.world.clock.advance(Duration::from_hours(1));
    let error = broker.refusal(&broker.client(&party)).await;
    assert_alert(&error, AlertDescription::CertificateExpired);
}

#[tokio::test]
async fn a_client_of_an_unknown_issuer_is_refused() {
    let broker = Broker::start().await;
    // Same names, another root.
    let other = TestExchange::new("test").party(Role::Gateway, "a");
    let error = broker.refusal(&broker.client(&other)).await;
    assert_alert(&error, AlertDescription::UnknownCA);
}

#[tokio::test]
async fn a_client_with_its_statement_key_is_refused() {
    let broker = Broker::start().await;
    let gateway = broker.world.party(Role::Gateway, "a");
    let client = broker.world.client(Some(&gateway.statement), ExpectedPeer::any(Role::Broker));
    let error = broker.refusal(&client).await;
    assert!(matches!(error, HopError::RefusedByPeer { .. }), "{error:?}");
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let broker = Broker::start().await;
    let client = broker.world.client(None, ExpectedPeer::any(Role::Broker));
    // The client is done with the handshake before the server judges; the refusal comes with
    // the connection's first use.
    let error = match client.connect(&broker.running.endpoint()).await {
        Err(error) => error,
        Ok(connection) => common::get(&connection, "/who").await.unwrap_err(),
    };
    assert_alert(&error, AlertDescription::CertificateRequired);
}

#[tokio::test]
async fn without_a_revocation_list_nobody_is_believed() {
    let broker = Broker::start().await;
    let gateway = broker.world.party(Role::Gateway, "a");
    broker.world.clock.advance(Duration::from_hours(24));
    let error = broker.refusal(&broker.client(&gateway)).await;
    assert_eq!(error.code(), "revocation-unknown");
    assert!(error.is_transient());
}

/// What a client finds wrong with a server, by the code of the certificate error.
#[tokio::test]
async fn a_client_refuses_the_wrong_server() {
    let broker = Broker::start().await;
    let gateway = broker.world.party(Role::Gateway, "a");
    let endpoint = broker.running.endpoint();
    for (expected, code) in [
        (ExpectedPeer::any(Role::Archive), "wrong-role"),
        (ExpectedPeer::named(Role::Broker, "other".parse().unwrap()), "wrong-name"),
    ] {
        let client = broker.world.client(Some(&gateway.hop), expected);
        let error = refused(&client, &endpoint).await;
        assert_eq!(error.code(), code, "{error}");
        assert!(matches!(error, HopError::PeerRefused { .. }));
    }
    let named = ExpectedPeer::named(Role::Broker, "b".parse().unwrap());
    let client = broker.world.client(Some(&gateway.hop), named);
    assert!(client.connect(&endpoint).await.is_ok());

    broker.world.revoke(2, &[broker.party.hop.serial]);
    let error = refused(&client, &endpoint).await;
    assert_eq!(error.code(), "certificate-revoked", "{error}");

    let elsewhere = World::new();
    let gateway = elsewhere.party(Role::Gateway, "a");
    let client = elsewhere.client(Some(&gateway.hop), ExpectedPeer::any(Role::Broker));
    let error = refused(&client, &endpoint).await;
    assert_eq!(error.code(), "unknown-issuer", "{error}");
}

#[tokio::test]
async fn an_open_connection_closes_when_the_client_is_revoked() {
    let broker = Broker::start().await;
    // The gateway has a trust of its own, so that only the broker knows of the revocation.
    let far = SharedTrust::new(broker.world.exchange.trust(), broker.world.clock());
    let gateway = broker.world.party(Role::Gateway, "a");
    let other = broker.world.party(Role::Gateway, "b");
    let expected = ExpectedPeer::any(Role::Broker);
    let tls = tls::client_config(Some(&credentials(&gateway.hop)), &far, expected).unwrap();
    let connection = HopClient::new(tls).connect(&broker.running.endpoint()).await.unwrap();
    let unharmed = broker.connect(&other).await;
    assert!(common::get(&connection, "/who").await.is_ok());

    let start = Instant::now();
    broker.world.revoke(2, &[gateway.hop.serial]);
    tokio::time::timeout(Duration::from_secs(1), connection.closed())
        .await
        .expect("the connection is open a second after the revocation");
    println!("closed after {:?}", start.elapsed());
    assert!(connection.is_closed());
    assert!(common::get(&connection, "/who").await.is_err());
    assert!(common::get(&unharmed, "/who").await.is_ok());
}

#[tokio::test]
async fn an_open_connection_closes_when_the_server_is_revoked() {
    let broker = Broker::start().await;
    let far = SharedTrust::new(broker.world.exchange.trust(), broker.world.clock());
    let gateway = broker.world.party(Role::Gateway, "a");
    let expected = ExpectedPeer::any(Role::Broker);
    let tls = tls::client_config(Some(&credentials(&gateway.hop)), &far, expected).unwrap();
    let connection = HopClient::new(tls).connect(&broker.running.endpoint()).await.unwrap();
    // Only the gateway learns of it.
    let crl = broker.world.exchange.crl(2, &[broker.party.hop.serial]);
    far.set_crl(&crl, broker.world.exchange.issuing.certificate()).unwrap();
    let reason = tokio::time::timeout(Duration::from_secs(1), connection.closed()).await.unwrap();
    assert!(matches!(reason, CloseReason::PeerRefused(CertificateError::Revoked { .. })), "{reason:?}");
    let error = common::get(&connection, "/who").await.unwrap_err();
    assert_eq!(error.code(), "certificate-revoked");
}

#[tokio::test]
async fn an_open_connection_closes_when_the_certificate_expires_or_the_list_ends() {
    for (lifetime, later) in [(60, 100), (48 * 3600, 24 * 3600 + 1)] {
        let broker = Broker::start().await;
        let gateway = broker.world.exchange.party_with(Role::Gateway, "a", Duration::from_secs(lifetime));
        let connection = broker.connect(&gateway).await;
        broker.world.clock.advance(Duration::from_secs(later));
        broker.world.trust.announce();
        tokio::time::timeout(Duration::from_secs(1), connection.closed()).await.unwrap();
    }
}

#[tokio::test]
async fn expiry_is_noticed_without_being_told() {
    let clock: Arc<dyn Clock> = Arc::new(sealwort_net::SystemClock);
    let exchange = TestExchange::with("test", sealwort_pki::KeyAlgorithm::EcdsaP256, clock.now());
    let trust = SharedTrust::new(exchange.trust(), clock);
    let broker = exchange.party(Role::Broker, "b");
    let gateway = exchange.party_with(Role::Gateway, "a", Duration::from_secs(2));
    let server = tls::server_config(&credentials(&broker.hop), &trust, &[Role::Gateway], ClientAuth::Required).unwrap();
    let running = Running::start(Some(server), router(), Limits::hop()).await;
    let far = SharedTrust::new(exchange.trust(), Arc::new(TestClock::at(exchange.now)));
    let tls = tls::client_config(Some(&credentials(&gateway.hop)), &far, ExpectedPeer::any(Role::Broker)).unwrap();
    let connection = HopClient::new(tls).connect(&running.endpoint()).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), connection.closed()).await.unwrap();
}

#[tokio::test]
async fn a_request_faster_than_the_closing_is_refused() {
    let broker = Broker::start().await;
    let gateway = broker.world.party(Role::Gateway, "a");
    let far = SharedTrust::new(broker.world.exchange.trust(), Arc::new(TestClock::at(TEST_NOW)));
    let expected = ExpectedPeer::any(Role::Broker);
    let tls = tls::client_config(Some(&credentials(&gateway.hop)), &far, expected).unwrap();
    let connection = HopClient::new(tls).connect(&broker.running.endpoint()).await.unwrap();
    assert_eq!(common::get(&connection, "/who").await.unwrap().0, 200);
    // The clock moves and nobody is told: only the check on entry can notice.
    broker.world.clock.advance(Duration::from_secs(24 * 3600 + 1));
    let (status, text) = common::get(&connection, "/who").await.unwrap();
    assert_eq!(status, 403);
    assert!(text.contains("revocation-unknown"), "{text}");
}

#[tokio::test]
async fn an_optional_certificate_is_verified_when_shown() {
    let world = World::new();
    let ca = world.party(Role::Ca, "ca");
    let tls = world.server_tls(&ca, &[], ClientAuth::Optional);
    let running = Running::start(Some(tls), router(), Limits::default()).await;
    let expected = ExpectedPeer::any(Role::Ca);
    let gateway = world.party(Role::Gateway, "a");

    let connection = world.client(None, expected.clone()).connect(&running.endpoint()).await.unwrap();
    assert_eq!(common::get(&connection, "/who").await.unwrap().1, "nobody");
    let known = world.client(Some(&gateway.hop), expected.clone());
    let connection = known.connect(&running.endpoint()).await.unwrap();
    assert!(common::get(&connection, "/who").await.unwrap().1.contains("gateway/a"));
    world.revoke(2, &[gateway.hop.serial]);
    let error = refused(&known, &running.endpoint()).await;
    assert_alert(&error, AlertDescription::CertificateRevoked);
}

#[tokio::test]
async fn joining_needs_nothing_but_the_roots_fingerprint() {
    let world = World::new();
    let root = world.exchange.root.certificate().to_vec();
    let ca = world.party(Role::Ca, "ca");
    let shown = Credentials::with_root(&ca.hop.chain, Arc::new(copy(&ca.hop.key)), &root).unwrap();
    let tls = tls::server_config(&shown, &world.trust, &[], ClientAuth::Optional).unwrap();
    let running = Running::start(Some(tls), router(), Limits::default()).await;
    let endpoint = running.endpoint();

    let pinned = |fingerprint| HopClient::new(tls::pinned_root_client_config(fingerprint, world.clock()).unwrap());
    let connection = pinned(Fingerprint::of(&root)).connect(&endpoint).await.unwrap();
    assert_eq!(common::get(&connection, "/who").await.unwrap().1, "nobody");
    let found = connection.pinned_authority().unwrap();
    assert_eq!(found.exchange.as_str(), "test");
    assert_eq!(found.root, root);
    assert_eq!(found.chain, ca.hop.chain);
    assert!(connection.peer().is_none());

    let wrong = TestExchange::new("test");
    let error = refused(&pinned(Fingerprint::of(wrong.root.certificate())), &endpoint).await;
    assert_eq!(error.code(), "unknown-issuer");

    // The same root, but not a CA behind it.
    let gateway = world.party(Role::Gateway, "a");
    let shown = Credentials::with_root(&gateway.hop.chain, Arc::new(copy(&gateway.hop.key)), &root).unwrap();
    let tls = tls::server_config(&shown, &world.trust, &[], ClientAuth::Optional).unwrap();
    let running = Running::start(Some(tls), router(), Limits::default()).await;
    let error = refused(&pinned(Fingerprint::of(&root)), &running.endpoint()).await;
    assert_eq!(error.code(), "wrong-role");

    // The right root appended to a chain of another exchange.
    let stranger = wrong.party(Role::Ca, "ca");
    let shown = Credentials::with_root(&stranger.hop.chain, Arc::new(copy(&stranger.hop.key)), &root).unwrap();
    let tls = tls::server_config(&shown, &world.trust, &[], ClientAuth::Optional).unwrap();
    let running = Running::start(Some(tls), router(), Limits::default()).await;
    let error = refused(&pinned(Fingerprint::of(&root)), &running.endpoint()).await;
    assert_eq!(error.code(), "unknown-issuer");
}

#[tokio::test]
async fn a_ca_is_reached_without_a_list_and_the_list_opens_the_rest() {
    let world = World::new();
    let ca = world.party(Role::Ca, "ca");
    let answer =
        CrlResponse { crl: world.exchange.crl(7, &[]), issuing: world.exchange.issuing.certificate().to_vec() };
    let json = answer.to_json();
    let served = json.clone();
    let routes = Router::new().route("/v1/crl", get(async move || served.clone()));
    let tls = world.server_tls(&ca, &[], ClientAuth::Optional);
    let running = Running::start(Some(tls), routes, Limits::default()).await;

    let trust = SharedTrust::new(world.exchange.trust_without_crl(), world.clock());
    let tls = tls::client_config(None, &trust, ExpectedPeer::any(Role::Ca)).unwrap();
    let error = refused(&HopClient::new(tls), &running.endpoint()).await;
    assert_eq!(error.code(), "revocation-unknown");

    let client = HopClient::new(tls::authority_client_config(None, &trust).unwrap());
    let (kept_sender, mut kept) = tokio::sync::mpsc::unbounded_channel();
    let (trigger, shutdown) = Shutdown::channel();
    let endpoint = running.endpoint();
    let mut changes = trust.changes();
    let task = crl::spawn_crl_refresh(
        trust.clone(),
        move || {
            let (client, endpoint) = (client.clone(), endpoint.clone());
            async move { crl::fetch_crl(&client, &endpoint).await }
        },
        move |answer| {
            let sent = kept_sender.send(answer);
            async move { sent.map_err(|_| "closed") }
        },
        Duration::from_millis(50),
        shutdown,
    );
    tokio::time::timeout(PATIENCE, changes.changed()).await.unwrap().unwrap();
    assert_eq!(trust.current().crl_number(), Some(7));
    let answer = tokio::time::timeout(PATIENCE, kept.recv()).await.unwrap().unwrap();
    assert_eq!(answer, json.as_bytes());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(kept.try_recv().is_err(), "kept again without a change");
    trigger.fire();
    task.await.unwrap();

    // After a restart, without the CA.
    let restarted = SharedTrust::new(world.exchange.trust_without_crl(), world.clock());
    assert_eq!(crl::take(&restarted, &answer).unwrap().number, 7);
    // An older list does not replace it.
    assert!(crl::take(&restarted, b"{}").is_err());
    let older = CrlResponse { crl: world.exchange.crl(6, &[]), issuing: world.exchange.issuing.certificate().to_vec() };
    assert!(crl::take(&restarted, older.to_json().as_bytes()).is_err());
    assert_eq!(restarted.current().crl_number(), Some(7));
}

#[tokio::test]
async fn renewed_credentials_are_shown_from_the_next_connection_on() {
    let world = World::new();
    let before = world.party(Role::Broker, "b");
    let after = world.party(Role::Broker, "b");
    let shown = credentials(&before.hop);
    let tls = tls::server_config(&shown, &world.trust, &[Role::Gateway], ClientAuth::Required).unwrap();
    let running = Running::start(Some(tls), router(), Limits::hop()).await;
    let gateway = world.party(Role::Gateway, "a");
    let client = world.client(Some(&gateway.hop), ExpectedPeer::any(Role::Broker));
    let first = client.connect(&running.endpoint()).await.unwrap();
    shown.renew(&after.hop.chain, Arc::new(copy(&after.hop.key))).unwrap();
    let second = client.connect(&running.endpoint()).await.unwrap();
    assert_eq!(first.peer().unwrap().serial(), before.hop.serial);
    assert_eq!(second.peer().unwrap().serial(), after.hop.serial);
    assert!(common::get(&first, "/who").await.is_ok());
    let mixed = shown.renew(&before.hop.chain, Arc::new(copy(&after.hop.key)));
    assert!(mixed.is_err(), "a key of another certificate was taken");
}

#[tokio::test]
async fn requests_share_a_connection_and_closing_ends_them_all() {
    let broker = Broker::start().await;
    let gateway = broker.world.party(Role::Gateway, "a");
    let connection = broker.connect(&gateway).await;
    let requests = (0..50).map(|number| {
        let connection = connection.clone();
        tokio::spawn(async move {
            let body = format!("number {number}");
            let response = connection.request(Method::POST, "/echo", body.clone(), PATIENCE).await.unwrap();
            assert_eq!(response.read(100).await.unwrap(), body.as_bytes());
        })
    });
    for request in requests.collect::<Vec<_>>() {
        request.await.unwrap();
    }
    let error =
        connection.request(Method::POST, "/echo", vec![0; 1000], PATIENCE).await.unwrap().read(999).await.unwrap_err();
    assert!(matches!(error, HopError::BodyTooLarge { limit: 999, .. }), "{error:?}");
    let clone = connection.clone();
    clone.close();
    assert!(matches!(connection.closed().await, CloseReason::ByUs));
    let error = connection.request(Method::GET, "/who", Body::empty(), PATIENCE).await.unwrap_err();
    assert!(matches!(error, HopError::Closed { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_goes_away_is_noticed() {
    let broker = Broker::start().await;
    let gateway = broker.world.party(Role::Gateway, "a");
    let connection = broker.connect(&gateway).await;
    let client = broker.client(&gateway);
    let endpoint = broker.running.endpoint();
    assert_eq!(broker.running.stop().await.cut, 0);
    tokio::time::timeout(PATIENCE, connection.closed()).await.unwrap();
    let error = refused(&client, &endpoint).await;
    assert!(matches!(error, HopError::Connect { .. }), "{error:?}");
    assert!(error.is_transient());
    let nowhere = "https://does-not-exist.invalid:1".parse().unwrap();
    let error = refused(&client, &nowhere).await;
    assert_eq!(error.phase(), Some(Phase::Resolve), "{error:?}");
}
