//! Peers that are slow, silent, greedy or too many: each is ended within its timeout, and the
//! others are served. Raw sockets play the peers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use common::{PATIENCE, Running, World};
use futures::StreamExt as _;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use sealwort_net::config::TelemetryConfig;
use sealwort_net::health::{self, Readiness};
use sealwort_net::observe::Observation;
use sealwort_net::server::{self, Limits, Server};
use sealwort_net::tls::{ClientAuth, ExpectedPeer};
use sealwort_pki::Role;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};

/// Short limits, so that tests are quick; the order of magnitude between them and `PATIENCE`
/// keeps them steady on a loaded machine.
fn short() -> Limits {
    Limits {
        handshake_timeout: Duration::from_millis(400),
        header_timeout: Duration::from_millis(400),
        idle_timeout: Duration::from_secs(1),
        body_timeout: Duration::from_millis(400),
        request_timeout: Duration::from_millis(800),
        ping_every: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(300),
        body_bytes_max: 64 * 1024,
        drain_timeout: Duration::from_secs(5),
        ..Limits::default()
    }
}

fn routes() -> Router {
    Router::new()
        .route("/ok", get(async || "ok"))
        .route("/length", post(|body: Bytes| async move { body.len().to_string() }))
        .route("/ignore", post(async || "did not look"))
        .route(
            "/slow",
            get(async || {
                tokio::time::sleep(Duration::from_mins(1)).await;
                "late"
            }),
        )
        .route("/endless", get(async || endless()))
}

/// A body that never ends and is always ready.
fn endless() -> Response {
    let chunk = Bytes::from(vec![7; 64 * 1024]);
    let frames = std::iter::repeat_with(move || Ok::<_, std::io::Error>(http_body::Frame::data(chunk.clone())));
    let body = StreamBody::new(futures_iter(frames));
    Response::new(Body::new(body))
}

fn futures_iter<I: Iterator + Unpin>(items: I) -> impl futures::Stream<Item = I::Item> {
    futures::stream::iter(items)
}

async fn plain(limits: Limits) -> Running {
    Running::start(None, routes(), limits).await
}

/// Waits until the peer closes; says what it sent before and how long it took.
async fn until_closed(mut stream: TcpStream) -> (String, Duration) {
    let start = Instant::now();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "still open after {PATIENCE:?}");
    (String::from_utf8_lossy(&answer).into_owned(), start.elapsed())
}

async fn send(address: std::net::SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// One request over HTTP/1 on a connection of its own.
async fn http1(address: std::net::SocketAddr, request: &str) -> String {
    until_closed(send(address, request.as_bytes()).await).await.0
}

const GET_OK: &str = "GET /ok HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

/// The start of an HTTP/2 connection: preface and empty settings.
const HTTP2_START: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[tokio::test]
async fn silent_and_half_spoken_connections_are_closed() {
    let running = plain(short()).await;
    let mut half_headers = HTTP2_START.to_vec();
    // HEADERS on stream 1, five bytes long, without END_HEADERS, of which nothing follows.
    half_headers.extend_from_slice(b"\0\0\x05\x01\0\0\0\0\x01");
    let cases: &[(&str, &[u8])] = &[
        ("nothing at all", b""),
        ("half a request line", b"GET /o"),
        ("half the headers", b"GET /ok HTTP/1.1\r\nhost: x\r\nx-slow: "),
        ("half an HTTP/2 preface", b"PRI * HTTP/2.0\r\n"),
        ("an HTTP/2 preface and silence", HTTP2_START),
        ("half an HTTP/2 header block", &half_headers),
    ];
    for (name, bytes) in cases {
        let stream = send(running.address, bytes).await;
        let (_, took) = until_closed(stream).await;
        assert!(took < Duration::from_secs(3), "{name}: closed only after {took:?}");
        println!("{name}: closed after {took:?}");
    }
    assert!(http1(running.address, GET_OK).await.ends_with("ok"));
}

#[tokio::test]
async fn headers_that_trickle_are_closed_all_the_same() {
    let running = plain(short()).await;
    let stream = send(running.address, b"GET /ok HTTP/1.1\r\n").await;
    let (mut reader, mut writer) = stream.into_split();
    let start = Instant::now();
    let trickle = tokio::spawn(async move {
        while writer.write_all(b"x-a: b\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, reader.read_to_end(&mut rest)).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(3));
    trickle.await.unwrap();
}

#[tokio::test]
async fn an_idle_kept_alive_connection_is_closed() {
    let running = plain(short()).await;
    let stream = send(running.address, b"GET /ok HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let (answer, took) = until_closed(stream).await;
    assert!(answer.ends_with("ok"), "{answer}");
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test]
async fn half_open_handshakes_are_closed_and_do_not_block_others() {
    let world = World::new();
    let broker = world.party(Role::Broker, "b");
    let tls = world.server_tls(&broker, &[Role::Gateway], ClientAuth::Required);
    let running = Running::start(Some(tls), routes(), short()).await;
    // A TLS record header that promises 512 bytes of ClientHello.
    let half: &[u8] = &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01];
    let mut held = Vec::new();
    for bytes in [b"".as_slice(), half].repeat(20) {
        held.push(send(running.address, bytes).await);
    }
    let gateway = world.party(Role::Gateway, "a");
    let client = world.client(Some(&gateway.hop), ExpectedPeer::any(Role::Broker));
    let connection = client.connect(&running.endpoint()).await.unwrap();
    assert_eq!(common::get(&connection, "/ok").await.unwrap().0, 200);
    let start = Instant::now();
    for stream in held {
        until_closed(stream).await;
    }
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[tokio::test]
async fn beyond_the_limit_the_oldest_handshake_gives_way_to_the_newest() {
    let world = World::new();
    let broker = world.party(Role::Broker, "b");
    let tls = world.server_tls(&broker, &[Role::Gateway], ClientAuth::Required);
    let limits = Limits { handshakes_max: 2, handshake_timeout: Duration::from_mins(1), ..short() };
    let running = Running::start(Some(tls), routes(), limits).await;
    let first = send(running.address, b"\x16").await;
    let _second = send(running.address, b"\x16").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    // A party comes in although strangers hold every place.
    let gateway = world.party(Role::Gateway, "a");
    let client = world.client(Some(&gateway.hop), ExpectedPeer::any(Role::Broker));
    let connection = client.connect(&running.endpoint()).await.unwrap();
    assert_eq!(common::get(&connection, "/ok").await.unwrap().0, 200);
    until_closed(first).await;
}

#[tokio::test]
async fn a_silent_tls_client_is_closed() {
    let world = World::new();
    let ca = world.party(Role::Ca, "ca");
    let broker = world.party(Role::Broker, "b");
    for (party, auth) in [(ca, ClientAuth::Optional), (broker, ClientAuth::Required)] {
        let role = party.identity.role;
        let tls = world.server_tls(&party, &[], auth);
        let running = Running::start(Some(tls), routes(), short()).await;
        let gateway = world.party(Role::Gateway, "a");
        // The client sends its preface and no request.
        let client = world.client(Some(&gateway.hop), ExpectedPeer::any(role));
        let connection = client.connect(&running.endpoint()).await.unwrap();
        let start = Instant::now();
        tokio::time::timeout(PATIENCE, connection.closed()).await.unwrap();
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn a_slow_body_is_answered_with_408() {
    let running = plain(short()).await;
    let head = "POST /length HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n12345";
    let (answer, took) = until_closed(send(running.address, head.as_bytes()).await).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("body-timeout"), "{answer}");
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test]
async fn a_body_that_nobody_reads_does_not_hold_the_connection() {
    let running = plain(short()).await;
    let head = "POST /ignore HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n12345";
    let (answer, took) = until_closed(send(running.address, head.as_bytes()).await).await;
    assert!(answer.contains("did not look"), "{answer}");
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[tokio::test]
async fn an_oversize_body_is_answered_with_413() {
    let running = plain(short()).await;
    let limit = short().body_bytes_max;
    for (name, request) in [
        ("announced", format!("POST /length HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", limit + 1)),
        (
            "chunked",
            format!(
                "POST /length HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{}\r\n0\r\n\r\n",
                limit + 1,
                "y".repeat(usize::try_from(limit).unwrap() + 1)
            ),
        ),
    ] {
        let mut stream = send(running.address, request.as_bytes()).await;
        let mut answer = vec![0; 1000];
        let count = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap();
        let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
        assert!(answer.starts_with("HTTP/1.1 413"), "{name}: {answer}");
        assert!(answer.contains("body-too-large"), "{name}: {answer}");
    }
    let exact = format!(
        "POST /length HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {limit}\r\n\r\n{}",
        "y".repeat(usize::try_from(limit).unwrap())
    );
    assert!(http1(running.address, &exact).await.ends_with(&limit.to_string()));
}

#[tokio::test]
async fn oversize_headers_are_refused() {
    let running = plain(short()).await;
    let huge = format!("GET /ok HTTP/1.1\r\nhost: x\r\nx-huge: {}\r\n\r\n", "y".repeat(200_000));
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let _ = stream.write_all(huge.as_bytes()).await;
    let mut answer = vec![0; 100];
    let count = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap_or(0);
    let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
    assert!(count == 0 || answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn a_handler_that_takes_too_long_is_given_up() {
    let running = plain(short()).await;
    let request = "GET /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let start = Instant::now();
    let answer = http1(running.address, request).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("request-timeout"), "{answer}");
    assert!(start.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn a_peer_that_does_not_read_its_response_is_closed() {
    let running = plain(short()).await;
    let stream = send(running.address, b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await;
    // Reads nothing; the server must give up on its own, which it shows by finishing at once.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let start = Instant::now();
    let drained = running.stop().await;
    assert_eq!(drained.cut, 0);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    drop(stream);
}

#[tokio::test]
async fn over_http2_a_response_that_is_not_read_ends_and_the_others_go_on() {
    let world = World::new();
    let broker = world.party(Role::Broker, "b");
    let tls = world.server_tls(&broker, &[], ClientAuth::Required);
    let running = Running::start(Some(tls), routes(), short()).await;
    let gateway = world.party(Role::Gateway, "a");
    let client = world.client(Some(&gateway.hop), ExpectedPeer::any(Role::Broker));
    let connection = client.connect(&running.endpoint()).await.unwrap();
    let endless = async || connection.request(Method::GET, "/endless", Body::empty(), PATIENCE).await.unwrap();
    let unread = [endless().await, endless().await, endless().await];
    let mut read = endless().await;
    let start = Instant::now();
    let mut bytes = 0;
    while start.elapsed() < Duration::from_secs(2) {
        bytes += read.body.next_chunk().await.unwrap().unwrap().len();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(common::get(&connection, "/ok").await.unwrap().0, 200);
    }
    assert!(bytes > 4 * 1024 * 1024, "only {bytes} bytes went past the unread ones");
    for mut response in unread {
        let mut held = 0;
        let ended = loop {
            match response.body.next_chunk().await.unwrap() {
                Ok(chunk) => held += chunk.len(),
                Err(error) => break error,
            }
        };
        assert!(held <= 1024 * 1024, "{held} bytes after {ended}");
    }
    assert!(!connection.is_closed());
}

#[tokio::test]
async fn overload_is_shed_with_503_and_probes_still_answer() {
    let release = Arc::new(Notify::new());
    let entered = Arc::new(AtomicUsize::new(0));
    let (gate, count) = (Arc::clone(&release), Arc::clone(&entered));
    let router = Router::new()
        .route(
            "/hold",
            get(async move || {
                count.fetch_add(1, Ordering::SeqCst);
                gate.notified().await;
                "held"
            }),
        )
        .merge(health::router(Readiness::new()));
    let limits = Limits { requests_max: 2, request_timeout: Duration::from_mins(1), ..short() };
    let running = Running::start(None, router, limits).await;
    let hold = "GET /hold HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let address = running.address;
    let first = tokio::spawn(http1(address, hold));
    let second = tokio::spawn(http1(address, hold));
    while entered.load(Ordering::SeqCst) < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let shed = http1(address, hold).await;
    assert!(shed.starts_with("HTTP/1.1 503"), "{shed}");
    assert!(shed.contains("retry-after: 1"), "{shed}");
    assert!(shed.contains("overloaded"), "{shed}");
    for probe in ["/livez", "/readyz"] {
        let answer = http1(address, &format!("GET {probe} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    release.notify_waiters();
    assert!(first.await.unwrap().ends_with("held"));
    assert!(second.await.unwrap().ends_with("held"));
    release.notify_one();
    assert!(http1(address, hold).await.ends_with("held"), "places were not given back");
}

/// Answers that stream hold their places to the end: who looks at the metrics sees why others are refused.
#[tokio::test]
async fn a_request_is_in_flight_for_as_long_as_it_holds_a_place() {
    let folder = tempfile::tempdir().unwrap();
    let identity = "sealwort://test/broker/b".parse().unwrap();
    let observation = Observation::open(&identity, &TelemetryConfig::default(), folder.path()).unwrap();
    let endless = get(async || {
        let first = futures::stream::once(async { Ok::<_, Infallible>(Bytes::from_static(b"begun")) });
        Body::from_stream(first.chain(futures::stream::pending()))
    });
    let router = Router::new().route("/endless", endless).merge(health::router(Readiness::new()));
    let limits = Limits { requests_max: 2, ..Limits::default() };
    let running = Running::start_server(Server::new(router).limits(limits).observed_by(&observation)).await;
    let in_flight = async || {
        let counted = observation.scrape(&Readiness::new()).await;
        let level = counted.lines().find_map(|line| line.strip_prefix("sealwort_requests_in_flight{role=\"broker\"} "));
        level.unwrap().parse::<u64>().unwrap()
    };
    let mut streams = Vec::new();
    for count in 1..=2 {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"begun\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
        assert_eq!(in_flight().await, count);
        streams.push(stream);
    }
    for (path, status) in [("/endless", "503"), ("/livez", "200")] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = http1(running.address, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert_eq!(in_flight().await, 2, "neither has a place");
    }
    drop(streams);
    let begun = Instant::now();
    while in_flight().await > 0 {
        assert!(begun.elapsed() < PATIENCE, "places were not given back");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn refusals_speak_the_services_language() {
    let server = Server::new(routes())
        .limits(short())
        .refusals(|refusal| Response::new(Body::from(format!("<{}>", refusal.code()))));
    let running = Running::start_server(server).await;
    let request = "POST /length HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 9999999\r\n\r\n";
    let answer = http1(running.address, request).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.ends_with("<body-too-large>"), "{answer}");
}

#[tokio::test]
async fn connections_beyond_the_limits_are_closed_and_places_come_back() {
    for limits in [Limits { connections_max: 2, ..short() }, Limits { connections_per_address_max: Some(2), ..short() }]
    {
        let running = plain(limits).await;
        let first = send(running.address, b"").await;
        let second = send(running.address, b"").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let third = TcpStream::connect(running.address).await.unwrap();
        let (answer, took) = until_closed(third).await;
        assert!(answer.is_empty() && took < Duration::from_millis(300), "{answer:?} {took:?}");
        drop((first, second));
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(http1(running.address, GET_OK).await.ends_with("ok"));
    }
}

#[tokio::test]
async fn shutdown_lets_requests_finish_and_refuses_new_ones() {
    let router = Router::new().route(
        "/work",
        get(async || {
            tokio::time::sleep(Duration::from_millis(500)).await;
            "done"
        }),
    );
    let world = World::new();
    let broker = world.party(Role::Broker, "b");
    let tls = world.server_tls(&broker, &[], ClientAuth::Required);
    let running = Running::start(Some(tls), router, short()).await;
    let gateway = world.party(Role::Gateway, "a");
    let client = world.client(Some(&gateway.hop), ExpectedPeer::any(Role::Broker));
    let endpoint = running.endpoint();
    let connection = client.connect(&endpoint).await.unwrap();
    let busy = connection.clone();
    let work = tokio::spawn(async move { common::get(&busy, "/work").await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let start = Instant::now();
    let drained = running.stop().await;
    assert_eq!(drained.cut, 0);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert_eq!(work.await.unwrap().unwrap(), (200, "done".to_owned()));
    assert!(client.connect(&endpoint).await.is_err());
}

#[tokio::test]
async fn work_that_outlasts_the_drain_is_cut() {
    let limits =
        Limits { drain_timeout: Duration::from_millis(300), request_timeout: Duration::from_mins(1), ..short() };
    let running = plain(limits).await;
    let stream = send(running.address, b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let start = Instant::now();
    assert_eq!(running.stop().await.cut, 1);
    assert!(start.elapsed() < Duration::from_secs(2));
    drop(stream);
}

/// Pieces go through one by one in both directions, far beyond the request timeout, and far more
/// in all than any buffer holds.
#[tokio::test]
async fn streaming_routes_stream_in_both_directions() {
    async fn echo(body: Body) -> Response {
        Response::new(body)
    }
    let router = Router::new().route("/stream", post(echo)).route_layer(axum::middleware::from_fn(server::streams));
    let limits = Limits { request_timeout: Duration::from_millis(200), body_bytes_max: 64 * 1024 * 1024, ..short() };
    let world = World::new();
    let broker = world.party(Role::Broker, "b");
    let tls = world.server_tls(&broker, &[], ClientAuth::Required);
    let running = Running::start(Some(tls), router, limits).await;
    let gateway = world.party(Role::Gateway, "a");
    let client = world.client(Some(&gateway.hop), ExpectedPeer::any(Role::Broker));
    let connection = client.connect(&running.endpoint()).await.unwrap();

    let (sender, receiver) = mpsc::channel::<Bytes>(1);
    let pieces = futures::stream::unfold(receiver, |mut receiver| async {
        let piece = receiver.recv().await?;
        Some((Ok::<_, std::io::Error>(http_body::Frame::data(piece)), receiver))
    });
    let body = Body::new(StreamBody::new(Box::pin(pieces)).boxed_unsync());
    let mut response = connection.request(Method::POST, "/stream", body, PATIENCE).await.unwrap();
    assert_eq!(response.status, StatusCode::OK);
    // Each piece comes back before the next is sent, so nothing waits for the end.
    for number in 0..10u8 {
        sender.send(Bytes::from(vec![number; 1000])).await.unwrap();
        let mut back = Vec::new();
        while back.len() < 1000 {
            back.extend_from_slice(&response.body.next_chunk().await.unwrap().unwrap());
        }
        assert_eq!(back, vec![number; 1000]);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Much more than the flow-control windows, in step with the reader.
    let total = 20 * 1024 * 1024;
    let feeding = tokio::spawn(async move {
        for _ in 0..total / (64 * 1024) {
            sender.send(Bytes::from(vec![9; 64 * 1024])).await.unwrap();
        }
    });
    let mut count = 0;
    while let Some(chunk) = response.body.next_chunk().await {
        count += chunk.unwrap().len();
    }
    feeding.await.unwrap();
    assert_eq!(count, total);
}

/// A broker's relay: a response body goes on as another response's body.
#[tokio::test]
async fn a_response_body_can_be_handed_on() {
    let world = World::new();
    let archive = world.party(Role::Archive, "m");
    let broker = world.party(Role::Broker, "b");
    let tls = world.server_tls(&archive, &[Role::Broker], ClientAuth::Required);
    let behind = Router::new().route("/big", get(async || vec![1u8; 3_000_000]));
    let behind = Running::start(Some(tls), behind, short()).await;
    let client = world.client(Some(&broker.hop), ExpectedPeer::any(Role::Archive));
    let connection = client.connect(&behind.endpoint()).await.unwrap();
    let relay = Router::new().route(
        "/big",
        get(async move || {
            let response = connection.request(Method::GET, "/big", Body::empty(), PATIENCE).await.unwrap();
            Response::new(response.body.into_body())
        }),
    );
    let tls = world.server_tls(&broker, &[Role::Gateway], ClientAuth::Required);
    let front = Running::start(Some(tls), relay, short()).await;
    let gateway = world.party(Role::Gateway, "a");
    let client = world.client(Some(&gateway.hop), ExpectedPeer::any(Role::Broker));
    let connection = client.connect(&front.endpoint()).await.unwrap();
    let response = connection.request(Method::GET, "/big", Body::empty(), PATIENCE).await.unwrap();
    assert_eq!(response.read(4_000_000).await.unwrap(), vec![1u8; 3_000_000]);
}

/// Ten thousand streams opened and reset at once (CVE-2023-44487): the connection is closed.
#[tokio::test]
async fn rapid_reset_ends_the_connection() {
    let running = plain(Limits { body_timeout: PATIENCE, ..short() }).await;
    let mut stream = send(running.address, HTTP2_START).await;
    let (mut reader, mut writer) = stream.split();
    let attack = async {
        // GET / http x by static table indices and one literal authority.
        let block: &[u8] = &[0x82, 0x86, 0x84, 0x41, 0x01, b'x'];
        for number in 0..10_000u32 {
            let id = (number * 2 + 1).to_be_bytes();
            let mut frames = vec![0, 0, 6, 0x01, 0x05];
            frames.extend_from_slice(&id);
            frames.extend_from_slice(block);
            frames.extend_from_slice(&[0, 0, 4, 0x03, 0]);
            frames.extend_from_slice(&id);
            frames.extend_from_slice(&[0, 0, 0, 8]);
            if writer.write_all(&frames).await.is_err() {
                return;
            }
        }
    };
    let watch = async {
        let mut seen = Vec::new();
        let _ = reader.read_to_end(&mut seen).await;
        seen
    };
    let start = Instant::now();
    let (seen, ()) = tokio::time::timeout(PATIENCE, async { tokio::join!(watch, attack) }).await.unwrap();
    println!("closed after {:?}, {} bytes of answer", start.elapsed(), seen.len());
    assert_eq!(goaway_code(&seen), Some(ENHANCE_YOUR_CALM), "{seen:?}");
    assert!(http1(running.address, GET_OK).await.ends_with("ok"));
}

/// RFC 9113, 7.
const ENHANCE_YOUR_CALM: u32 = 0xb;

/// The error code of the last GOAWAY among these frames (RFC 9113, 6.8).
fn goaway_code(mut bytes: &[u8]) -> Option<u32> {
    let mut code = None;
    while bytes.len() >= 9 {
        let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
        let Some(payload) = bytes.get(9..9 + length) else {
            break;
        };
        if bytes[3] == 0x07 {
            code = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        bytes = &bytes[9 + length..];
    }
    code
}
