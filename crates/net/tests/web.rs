//! The client for servers outside the exchange: where it goes, and how much it takes.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use sealwort_net::client::web::{Reach, WebClient, WebError, is_public};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

#[test]
fn special_addresses_are_not_public() {
    let public = ["8.8.8.8", "100.63.0.1", "100.128.0.1", "172.32.0.1", "198.20.0.1", "2a00:1450::1", "2606:4700::1"];
    let special = [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.9.9.9",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::a00:1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:a00:1::",
        "3fff::1",
        "fc00::1",
        "fd12::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ];
    for (addresses, wanted) in [(&public[..], true), (&special[..], false)] {
        for address in addresses {
            assert_eq!(is_public(address.parse().unwrap()), wanted, "{address}");
        }
    }
}

#[tokio::test]
async fn urls_are_https_with_a_host() {
    let client = WebClient::new(None, Reach::Public).unwrap();
    for wrong in ["http://a.example/", "/x", "https://user@a.example/", "ftp://a.example/", "https://", "x y"] {
        let error = client.get(wrong).await.unwrap_err();
        assert!(matches!(error, WebError::Url(_)), "{wrong}: {error}");
    }
}

/// A server that sends these bytes to whoever asks.
async fn serves(answer: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 1024];
            let _ = stream.read(&mut asked).await;
            let _ = stream.write_all(&answer).await;
        }
    });
    port
}

#[tokio::test]
async fn answers_are_bounded_and_addresses_inside_need_leave() {
    let client = |reach| WebClient::new(None, reach).unwrap().answer_bytes_max(16);
    let port =
        serves(b"HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/\r\nContent-Length: 2\r\n\r\nok".to_vec()).await;
    let answer = client(Reach::Inside).get(&format!("http://127.0.0.1:{port}/x")).await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.body()[..]), (302, &b"ok"[..]));

    let refused = client(Reach::Public).get(&format!("https://localhost:{port}/")).await.unwrap_err();
    assert!(matches!(refused, WebError::Address { .. }), "{refused}");
    let plain = client(Reach::Inside).get(&format!("https://127.0.0.1:{port}/")).await.unwrap_err();
    assert!(matches!(plain, WebError::Failed { .. }), "{plain}");

    for long in ["HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"] {
        let port = serves([long.as_bytes(), &[b'x'; 99]].concat()).await;
        let error = client(Reach::Inside).get(&format!("http://127.0.0.1:{port}/")).await.unwrap_err();
        assert!(matches!(error, WebError::TooLarge { limit: 16, .. }), "{error}");
    }
    let silent = serves(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_vec()).await;
    let patient = client(Reach::Inside).patience(Duration::from_millis(300));
    let error = patient.get(&format!("http://127.0.0.1:{silent}/")).await.unwrap_err();
    assert!(matches!(error, WebError::Timeout { .. } | WebError::Failed { .. }), "{error}");
}
