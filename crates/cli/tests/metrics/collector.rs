//! A collector of traces, as an operator runs one.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

/// Takes what is sent by OTLP.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    pub(crate) taken: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, taken) = (listener.local_addr().unwrap(), Arc::default());
        let taking = Arc::clone(&taken);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                take(&mut stream.unwrap(), &taking);
            }
        });
        Self { address, taken }
    }

    /// Spans with the party that sent them.
    pub(crate) fn spans(&self) -> Vec<(String, Span)> {
        let mut spans = Vec::new();
        for body in self.taken.lock().unwrap().iter() {
            let message = ExportTraceServiceRequest::decode(body.as_slice()).expect("a message of OTLP");
            for resource in message.resource_spans {
                let attributes = resource.resource.unwrap().attributes;
                let value = |key: &str| {
                    let found = attributes.iter().find(|one| one.key == key).unwrap_or_else(|| panic!("no {key}"));
                    words_of(found.value.as_ref().unwrap().value.as_ref().unwrap())
                };
                assert!(value("service.name").starts_with("sealwort-"));
                assert_eq!(value("service.version"), env!("CARGO_PKG_VERSION"));
                let party = value("service.instance.id");
                spans.extend(
                    resource.scope_spans.into_iter().flat_map(|scope| scope.spans).map(|span| (party.clone(), span)),
                );
            }
        }
        // What was sent again, because the answer came late, counts once.
        let mut seen = BTreeSet::new();
        spans.retain(|(_, span)| seen.insert(span.span_id.clone()));
        spans
    }
}

fn take(stream: &mut TcpStream, taken: &Mutex<Vec<Vec<u8>>>) {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    let (head, length) = loop {
        let read = stream.read(&mut piece).unwrap_or(0);
        if read == 0 {
            return;
        }
        request.extend_from_slice(&piece[..read]);
        if let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
            let length: usize =
                head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
            break (head, end + 4 + length);
        }
    };
    assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/x-protobuf"), "{head}");
    while request.len() < length {
        let read = stream.read(&mut piece).unwrap();
        assert!(read > 0, "a body that was cut off");
        request.extend_from_slice(&piece[..read]);
    }
    let body = request.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    taken.lock().unwrap().push(request[body..].to_vec());
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
}

/// The value of an attribute.
pub(crate) fn words_of(value: &Any) -> String {
    match value {
        Any::StringValue(words) => words.clone(),
        Any::IntValue(number) => number.to_string(),
        other => panic!("{other:?} is neither a word nor a number"),
    }
}
