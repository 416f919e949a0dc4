//! A server outside that gateways tell: a subscriber's own, or the push service of a patient's browser.

use std::io::{BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::PrivateKeyDer;
use sealwort_proto::web_push::Browser;
use serde_json::{Value, json};

use super::until;

/// A header field that it wants to be told with.
pub(crate) const FORM: (&str, &str) = ("X-Key", "a key of the app");

#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) head: String,
    pub(crate) key: String,
    pub(crate) body: String,
    pub(crate) raw: Vec<u8>,
}

/// An https server that takes what comes and answers as it was told to.
pub(crate) struct Receiver {
    pub(crate) url: String,
    pub(crate) taken: Arc<Mutex<Vec<Told>>>,
    status: Arc<AtomicU16>,
}

impl Receiver {
    /// Starts it; its certificate is written to a file.
    pub(crate) fn start(authority: &Path) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        std::fs::write(authority, made.cert.pem()).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let tls = Arc::new(tls);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}/hook", listener.local_addr().unwrap());
        let (taken, status) = (Arc::<Mutex<Vec<Told>>>::default(), Arc::new(AtomicU16::new(200)));
        let (to, how) = (Arc::clone(&taken), Arc::clone(&status));
        std::thread::spawn(move || {
            for tcp in listener.incoming() {
                let session = rustls::ServerConnection::new(Arc::clone(&tls)).unwrap();
                let mut stream = BufReader::new(rustls::StreamOwned::new(session, tcp.unwrap()));
                let Some(told) = receive(&mut stream) else { continue };
                to.lock().unwrap().push(told);
                let answer = format!(
                    "HTTP/1.1 {} X\r\nLocation: /elsewhere\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                    how.load(Ordering::SeqCst)
                );
                let _ = stream.get_mut().write_all(answer.as_bytes());
                stream.get_mut().conn.send_close_notify();
                let _ = stream.get_mut().flush();
            }
        });
        Self { url, taken, status }
    }

    /// A browser whose push service this is, and its `PushSubscription`.
    pub(crate) fn browser(&self, name: &str) -> (Browser, Value) {
        let browser = Browser::generate().unwrap();
        let (public, secret) = browser.keys();
        let keys = json!({"p256dh": URL_SAFE_NO_PAD.encode(public), "auth": URL_SAFE_NO_PAD.encode(secret)});
        let endpoint = self.url.replace("/hook", &format!("/push/{name}"));
        (browser, json!({"endpoint": endpoint, "keys": keys}))
    }

    /// What a browser was told so far.
    pub(crate) fn told(&self, browser: &Browser, name: &str) -> Vec<Value> {
        let taken = self.taken.lock().unwrap();
        let of_browser = taken.iter().filter(|told| told.head.starts_with(&format!("POST /push/{name} ")));
        of_browser.map(|told| serde_json::from_slice(&browser.decrypt(&told.raw).unwrap()).unwrap()).collect()
    }

    pub(crate) fn answers(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    pub(crate) fn count(&self) -> usize {
        self.taken.lock().unwrap().len()
    }

    pub(crate) fn all(&self) -> String {
        format!("{:?}", self.taken.lock().unwrap())
    }

    /// The newest notice, once all of these were told, in one or in several.
    pub(crate) fn wait(&self, names: &[&str]) -> Told {
        self.wait_after(0, names)
    }

    pub(crate) fn wait_after(&self, before: usize, names: &[&str]) -> Told {
        until(|| {
            let taken = self.taken.lock().unwrap();
            let all: String = taken.iter().skip(before).map(|told| told.body.as_str()).collect();
            names.iter().all(|name| all.contains(name)).then(|| taken.last().unwrap().clone())
        })
    }
}

fn receive(stream: &mut impl std::io::BufRead) -> Option<Told> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let field = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(':'));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned()).next()
    };
    let mut body = vec![0; field("content-length").map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).ok()?;
    let text = String::from_utf8_lossy(&body).into_owned();
    Some(Told { key: field(FORM.0).unwrap_or_default(), body: text, raw: body, head })
}
