//! The smallest HTTP/1.1 client that a test needs: one request, one answer, one connection. It is blocking and
//! shares nothing with the code under test.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Somebody who sends requests to one hospital's gateway.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    token: Option<String>,
}

impl Client {
    /// Without a token nothing is said about who asks.
    pub(crate) fn new(address: SocketAddr, token: Option<String>) -> Self {
        Self { address, token }
    }

    /// Any request. An error means that no whole answer came.
    pub(crate) fn request(&self, method: &str, path: &str, body: &[u8]) -> io::Result<Answer> {
        self.try_send(method, path, &[], body)
    }

    /// Gets a path such as `/fhir/Patient/1`.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "")
    }

    /// A request with header fields, which count before those that every request has.
    pub(crate) fn send(&self, method: &str, path: &str, fields: &[(&str, &str)], body: impl AsRef<[u8]>) -> Answer {
        self.try_send(method, path, fields, body.as_ref()).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Follows a link that an answer gave. It must lead to this gateway.
    pub(crate) fn follow(&self, link: &str) -> Answer {
        let base = format!("http://{}", self.address);
        self.get(link.strip_prefix(&base).unwrap_or_else(|| panic!("{link} does not begin with {base}")))
    }

    fn try_send(&self, method: &str, path: &str, fields: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
        let kind = if path.starts_with("/fhir") { "application/fhir+json" } else { "application/json" };
        let bearer = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let host = self.address.to_string();
        let usual = [("Host", Some(host.as_str())), ("Authorization", bearer.as_deref()), ("Content-Type", Some(kind))];
        let usual = usual.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let usual = usual.filter(|(name, _)| !fields.iter().any(|(given, _)| given.eq_ignore_ascii_case(name)));
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        for (name, value) in usual.chain(fields.iter().copied()) {
            // An empty value takes a usual field away.
            if !value.is_empty() {
                let _ = write!(head, "{name}: {value}\r\n");
            }
        }
        let _ = write!(head, "Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        let mut stream = TcpStream::connect_timeout(&self.address, CONNECT_PATIENCE)?;
        stream.set_read_timeout(Some(ANSWER_PATIENCE))?;
        stream.set_nodelay(true)?;
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        parse(&answer, method == "HEAD").ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Header fields, with their names in lower case.
    fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// A header field, by its name in lower case.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// All header fields of a name in lower case.
    pub(crate) fn fields<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// All header fields.
    pub(crate) fn all_fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text()))
    }

    /// Whether the request was done: written, read, granted.
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The answer, if the request was done; else the test fails with what it says.
    #[track_caller]
    pub(crate) fn done(self) -> Self {
        assert!(self.is_success(), "{}: {}", self.status, self.text());
        self
    }

    /// The answer, if it has this status; else the test fails with what it says.
    #[track_caller]
    pub(crate) fn with(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// The stable code of an OperationOutcome.
    pub(crate) fn code(&self) -> String {
        self.json()["issue"][0]["details"]["coding"][0]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// What an OperationOutcome says first: status, stable code and place. A refusal without a sentence for people
    /// fails the test.
    #[track_caller]
    pub(crate) fn refusal(&self) -> (u16, String, String) {
        let outcome = self.json();
        assert_eq!(outcome["resourceType"], "OperationOutcome", "{outcome}");
        let issue = &outcome["issue"][0];
        assert!(issue["details"]["text"].as_str().is_some_and(|text| text.contains(' ')), "{outcome}");
        (self.status, self.code(), issue["expression"][0].as_str().unwrap_or_default().to_owned())
    }

    /// The logical id of a resource.
    pub(crate) fn id(&self) -> String {
        self.json()["id"].as_str().unwrap().to_owned()
    }

    /// The entries of a Bundle.
    pub(crate) fn entries(&self) -> Vec<Value> {
        self.json()["entry"].as_array().cloned().unwrap_or_default()
    }

    /// `Type/id` of each resource of a Bundle, without what only tells about the search.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = self.entries();
        let resources = entries.iter().filter(|entry| entry["search"]["mode"] != "outcome").map(|e| &e["resource"]);
        resources.map(name_of).collect()
    }

    /// The same without order. Each may stand there once.
    #[track_caller]
    pub(crate) fn name_set(&self) -> BTreeSet<String> {
        let names = self.names();
        let set: BTreeSet<String> = names.iter().cloned().collect();
        assert_eq!(set.len(), names.len(), "something is there twice: {names:?}");
        set
    }

    /// A link of a Bundle.
    pub(crate) fn link(&self, relation: &str) -> Option<String> {
        let links = self.json()["link"].as_array().cloned().unwrap_or_default();
        links.iter().find(|link| link["relation"] == relation).map(|link| link["url"].as_str().unwrap().to_owned())
    }
}

/// What a listener without TLS says, if it answers.
pub(crate) fn asked(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let answer = Client::new(address, None).request("GET", path, &[]).ok()?;
    Some((answer.status, answer.text()))
}

/// `Type/id` of a resource.
pub(crate) fn name_of(resource: &Value) -> String {
    let part = |name: &str| resource[name].as_str().unwrap_or_else(|| panic!("no {name}: {resource}"));
    format!("{}/{}", part("resourceType"), part("id"))
}

/// A text as it may stand in a query or a form.
pub(crate) fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

fn parse(answer: &[u8], has_no_body: bool) -> Option<Answer> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let rest = &answer[end + 4..];
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let fields = lines.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    let mut parsed = Answer { status, fields, body: Vec::new() };
    if has_no_body {
        return rest.is_empty().then_some(parsed);
    }
    parsed.body = if let Some(length) = parsed.field("content-length") {
        // A body that was cut off is no answer.
        rest.get(..length.parse().ok()?)?.to_vec()
    } else if parsed.field("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        chunks(rest)?
    } else {
        rest.to_vec()
    };
    Some(parsed)
}

fn chunks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?.trim(), 16).ok()?;
        if length == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(end + 2..end + 2 + length)?);
        rest = rest.get(end + 2 + length + 2..)?;
    }
}

const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
const ANSWER_PATIENCE: Duration = Duration::from_mins(2);
