//! JSON Patch on a resource (RFC 6902; R4 http.html, "patch"). What the patch does not touch stays as
//! it was written, digits and order included, and no patch costs much more than its size and the
//! resource's. FHIRPath Patch and merging are not here.
//!
//! Why no library does it: the one for `serde_json` moves the last member into the place of a removed
//! one, writes `1E-22` as `1e-22`, compares numbers as text, lets copies double without a limit, and
//! panics when it cannot take back what it began (`/note` added to a text inside of it).
//! The tests compare with it where both should agree.

use std::borrow::Cow;

use crate::document::Node;
use crate::error::FhirError;
use crate::json::{self, JSON_DEPTH_MAX};
use crate::outcome::{Issue, IssueCode, Outcome, Severity};
use crate::{RESOURCE_BYTES_MAX, Resource};

/// Largest patch, in bytes.
pub const PATCH_BYTES_MAX: usize = 1024 * 1024;
/// Most operations of a patch.
pub const PATCH_OPERATIONS_MAX: usize = 1000;
/// Most bytes of memory that a patch may look through and move about.
const PATCH_WORK_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Why a patch was not applied. All are the sender's to mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatchError {
    /// The patch is too large.
    #[error("the patch has {bytes} bytes, more than the {limit} accepted; send the whole resource instead", limit = PATCH_BYTES_MAX)]
    TooLarge {
        /// Bytes received.
        bytes: usize,
    },
    /// The patch has too many operations.
    #[error("the patch has more than {limit} operations; send the whole resource instead", limit = PATCH_OPERATIONS_MAX)]
    TooManyOperations,
    /// The patch is not JSON with one reading.
    #[error("the patch cannot be read: {0}")]
    NotJson(FhirError),
    /// The patch is JSON, but no JSON Patch.
    #[error("{}: {reason}", operation.map_or_else(|| "the patch".to_owned(), |at| format!("operation {at} of the patch")))]
    Malformed {
        /// The operation, from 0; nothing for the patch as a whole.
        operation: Option<usize>,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A `test` found another value.
    #[error("operation {operation} of the patch tests '{path}', which has another value now; read the resource again")]
    TestFailed {
        /// The operation, from 0.
        operation: usize,
        /// The place, shortened.
        path: String,
    },
    /// The resource has nothing at a place that must be there.
    #[error("operation {operation} of the patch: the resource has no place '{path}'")]
    NoSuchPlace {
        /// The operation, from 0.
        operation: usize,
        /// The place, shortened.
        path: String,
    },
    /// A value would become part of itself.
    #[error("operation {operation} of the patch moves '{path}' into itself")]
    IntoItself {
        /// The operation, from 0.
        operation: usize,
        /// The place, shortened.
        path: String,
    },
    /// The result grows beyond what a resource may be, in bytes, levels, or work to get there.
    #[error("operation {operation} of the patch makes the resource too large, too deep or too costly to change")]
    TooMuch {
        /// The operation, from 0.
        operation: usize,
    },
    /// The patch changes what a resource is.
    #[error("the patch changes {element}, which stays the same for the life of a resource")]
    Identity {
        /// `resourceType` or `id`.
        element: &'static str,
    },
    /// The result is no resource.
    #[error("what the patch makes is no resource: {0}")]
    Result(FhirError),
}

impl PatchError {
    /// A stable code of the case, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "patch-too-large",
            Self::TooManyOperations => "patch-too-long",
            Self::NotJson(_) => "patch-not-json",
            Self::Malformed { .. } => "patch-malformed",
            Self::TestFailed { .. } => "patch-test-failed",
            Self::NoSuchPlace { .. } => "patch-no-such-place",
            Self::IntoItself { .. } => "patch-into-itself",
            Self::TooMuch { .. } => "patch-result-too-large",
            Self::Identity { .. } => "patch-identity",
            Self::Result(_) => "patch-result",
        }
    }

    /// The HTTP status to answer with: 400 for what is no patch, 413 for what is too large, 422 for a
    /// patch that cannot be applied to this resource.
    pub fn http_status(&self) -> u16 {
        match self {
            Self::TooLarge { .. } | Self::TooManyOperations | Self::TooMuch { .. } => 413,
            Self::NotJson(_) | Self::Malformed { .. } => 400,
            Self::TestFailed { .. }
            | Self::NoSuchPlace { .. }
            | Self::IntoItself { .. }
            | Self::Identity { .. }
            | Self::Result(_) => 422,
        }
    }

    /// The OperationOutcome to answer with.
    pub fn outcome(&self) -> Outcome {
        let code = match self {
            Self::TooLarge { .. } | Self::TooManyOperations | Self::TooMuch { .. } => IssueCode::TooLong,
            Self::NotJson(_) | Self::Malformed { .. } => IssueCode::Structure,
            Self::TestFailed { .. } => IssueCode::Conflict,
            Self::NoSuchPlace { .. } | Self::IntoItself { .. } => IssueCode::Processing,
            Self::Identity { .. } | Self::Result(_) => IssueCode::Invalid,
        };
        let places = match self {
            Self::NotJson(error) | Self::Result(error) => error.expressions(),
            _ => Vec::new(),
        };
        Outcome::from(Issue::new(Severity::Error, code, self.code(), self.to_string()).at_all(places))
    }
}

/// The resource with a patch applied, all of it or nothing.
///
/// # Errors
/// Any case of [`PatchError`].
pub fn apply(resource: &Resource, patch: &[u8]) -> Result<Resource, PatchError> {
    if patch.len() > PATCH_BYTES_MAX {
        return Err(PatchError::TooLarge { bytes: patch.len() });
    }
    let patch = json::utf8(patch).map_err(PatchError::NotJson)?;
    json::walk(patch, "Patch", JSON_DEPTH_MAX, &mut Anything).map_err(PatchError::NotJson)?;
    let text = json::utf8(resource.bytes()).map_err(PatchError::Result)?;
    let mut document = Document { root: Node::new(text), bytes: text.len(), work: 0 };
    for (at, operation) in operations(patch)?.iter().enumerate() {
        document.change(operation).map_err(|fault| fault.of(at, operation))?;
    }
    let mut out = String::with_capacity(document.bytes);
    document.root.write(&mut out);
    let changed = Resource::parse(out).map_err(PatchError::Result)?;
    if changed.resource_type() != resource.resource_type() {
        return Err(PatchError::Identity { element: "resourceType" });
    }
    if changed.id() != resource.id() {
        return Err(PatchError::Identity { element: "id" });
    }
    Ok(changed)
}

/// Any JSON with one reading will do.
struct Anything;

impl json::Sink<'_> for Anything {
    fn value(&mut self, _: &[json::Step<'_>], _: &json::Value<'_>) -> Result<(), FhirError> {
        Ok(())
    }
}

/// One operation (RFC 6902 section 4).
struct Operation<'t> {
    action: Action<'t>,
    path: Pointer,
}

enum Action<'t> {
    Add(Node<'t>),
    Remove,
    Replace(Node<'t>),
    Move(Pointer),
    Copy(Pointer),
    Test(Node<'t>),
}

fn operations(patch: &str) -> Result<Vec<Operation<'_>>, PatchError> {
    let malformed = |operation, reason| PatchError::Malformed { operation, reason };
    let mut root = Node::new(patch);
    let Node::Array(list) = root.open() else {
        return Err(malformed(None, "a JSON Patch is an array of operations"));
    };
    if list.len() > PATCH_OPERATIONS_MAX {
        return Err(PatchError::TooManyOperations);
    }
    // `root` ends here; what the operations keep are slices of the patch.
    let mut list = std::mem::take(list);
    list.iter_mut()
        .enumerate()
        .map(|(at, node)| operation(node).map_err(|reason| malformed(Some(at), reason)))
        .collect()
}

fn operation<'t>(node: &mut Node<'t>) -> Result<Operation<'t>, &'static str> {
    let Node::Object(members) = node.open() else { return Err("an operation is an object") };
    let member = |name: &str| members.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone());
    let pointer = |name: &str, absent| {
        let text = member(name).and_then(|value| value.string()).ok_or(absent)?;
        Pointer::parse(&text).ok_or(
            "'path' and 'from' are JSON Pointers: empty, or '/name/0' with '~' written '~0' and '/' written '~1'",
        )
    };
    let from = || pointer("from", "'from' is missing or no string");
    let value = || member("value").ok_or("'value' is missing");
    let path = pointer("path", "'path' is missing or no string")?;
    let action = match member("op").and_then(|value| value.string()).as_deref() {
        Some("add") => Action::Add(value()?),
        Some("remove") => Action::Remove,
        Some("replace") => Action::Replace(value()?),
        Some("move") => Action::Move(from()?),
        Some("copy") => Action::Copy(from()?),
        Some("test") => Action::Test(value()?),
        _ => return Err("'op' is add, remove, replace, move, copy or test"),
    };
    Ok(Operation { action, path })
}

/// A JSON Pointer (RFC 6901), its tokens unescaped.
#[derive(PartialEq, Eq)]
struct Pointer(Vec<String>);

impl Pointer {
    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self(Vec::new()));
        }
        let tokens = text.strip_prefix('/')?.split('/');
        tokens
            .map(|token| {
                let sound = token.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
                sound.then(|| token.replace("~1", "/").replace("~0", "~"))
            })
            .collect::<Option<_>>()
            .map(Self)
    }

    /// As it is written, shortened: names come from the peer.
    fn shown(&self) -> String {
        let whole: String =
            self.0.iter().flat_map(|t| ["/".to_owned(), t.replace('~', "~0").replace('/', "~1")]).collect();
        whole.chars().take(200).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
    }
}

/// What stopped an operation.
enum Fault {
    NoPlace,
    NoSource,
    Test,
    IntoItself,
    TooMuch,
}

impl Fault {
    fn of(self, at: usize, operation: &Operation<'_>) -> PatchError {
        let path = operation.path.shown();
        let from = || match &operation.action {
            Action::Move(from) | Action::Copy(from) => from.shown(),
            _ => String::new(),
        };
        match self {
            Self::NoPlace => PatchError::NoSuchPlace { operation: at, path },
            Self::NoSource => PatchError::NoSuchPlace { operation: at, path: from() },
            Self::Test => PatchError::TestFailed { operation: at, path },
            Self::IntoItself => PatchError::IntoItself { operation: at, path: from() },
            Self::TooMuch => PatchError::TooMuch { operation: at },
        }
    }
}

struct Document<'t> {
    root: Node<'t>,
    /// Bytes of the text as it is now, or a few more.
    bytes: usize,
    /// Bytes of memory looked through and moved so far.
    work: usize,
}

impl<'t> Document<'t> {
    fn change(&mut self, operation: &Operation<'t>) -> Result<(), Fault> {
        // One operation costs no more than the document is large.
        if self.work > PATCH_WORK_BYTES_MAX {
            return Err(Fault::TooMuch);
        }
        let path = operation.path.0.as_slice();
        match &operation.action {
            Action::Add(value) => self.add(path, value.clone()),
            Action::Remove => self.remove(path, Fault::NoPlace).map(drop),
            Action::Replace(value) => {
                self.find(path).ok_or(Fault::NoPlace)?;
                self.set(path, value.clone())
            }
            Action::Move(Pointer(from)) => {
                if path.len() > from.len() && path.starts_with(from) {
                    return Err(Fault::IntoItself);
                }
                if path == from {
                    return self.find(from).map(drop).ok_or(Fault::NoSource);
                }
                let value = self.remove(from, Fault::NoSource)?;
                self.add(path, value)
            }
            Action::Copy(Pointer(from)) => {
                let value = self.find(from).ok_or(Fault::NoSource)?.clone();
                self.add(path, value)
            }
            Action::Test(expected) => {
                let found = self.find(path).ok_or(Fault::NoPlace)?.clone();
                self.work += found.size() + expected.size();
                if found.equals(expected.clone()) { Ok(()) } else { Err(Fault::Test) }
            }
        }
    }

    fn find(&mut self, path: &[String]) -> Option<&mut Node<'t>> {
        let mut node = &mut self.root;
        for token in path {
            node = match node.open() {
                Node::Object(members) => {
                    self.work += size_of_val(members.as_slice());
                    members.iter_mut().find(|(name, _)| name == token).map(|(_, value)| value)?
                }
                Node::Array(elements) => {
                    let at = index(token)?;
                    elements.get_mut(at)?
                }
                Node::Text(_) => return None,
            };
        }
        Some(node)
    }

    /// Counts a value that is about to stand at `path`.
    fn grow(&mut self, value: &Node<'t>, path: &[String]) -> Result<(), Fault> {
        let size = value.size();
        self.work += size;
        self.bytes += size + path.last().map_or(0, |name| name.len() + 4);
        if self.bytes > RESOURCE_BYTES_MAX || path.len() + value.levels() > JSON_DEPTH_MAX {
            return Err(Fault::TooMuch);
        }
        Ok(())
    }

    /// Puts a value where another one is.
    fn set(&mut self, path: &[String], value: Node<'t>) -> Result<(), Fault> {
        let old = self.find(path).ok_or(Fault::NoPlace)?.size();
        self.bytes = self.bytes.saturating_sub(old);
        self.grow(&value, path)?;
        *self.find(path).ok_or(Fault::NoPlace)? = value;
        Ok(())
    }

    fn add(&mut self, path: &[String], value: Node<'t>) -> Result<(), Fault> {
        let Some((name, parents)) = path.split_last() else { return self.set(path, value) };
        let parent = self.find(parents).ok_or(Fault::NoPlace)?;
        let (at, length) = match parent.open() {
            Node::Object(members) if members.iter().any(|(found, _)| found == name) => return self.set(path, value),
            Node::Object(members) => (members.len(), members.len()),
            Node::Array(elements) if name == "-" => (elements.len(), elements.len()),
            Node::Array(elements) => (index(name).ok_or(Fault::NoPlace)?, elements.len()),
            Node::Text(_) => return Err(Fault::NoPlace),
        };
        if at > length {
            return Err(Fault::NoPlace);
        }
        self.work += length * size_of::<Node<'_>>();
        self.grow(&value, path)?;
        match self.find(parents).ok_or(Fault::NoPlace)? {
            Node::Object(members) => members.push((Cow::Owned(name.clone()), value)),
            Node::Array(elements) => elements.insert(at, value),
            Node::Text(_) => {}
        }
        Ok(())
    }

    fn remove(&mut self, path: &[String], missing: Fault) -> Result<Node<'t>, Fault> {
        let Some((name, parents)) = path.split_last() else { return Err(missing) };
        let Some(parent) = self.find(parents) else { return Err(missing) };
        let (removed, length) = match parent.open() {
            Node::Object(members) => {
                let at = members.iter().position(|(found, _)| found == name);
                (at.map(|at| members.remove(at).1), members.len())
            }
            Node::Array(elements) => {
                let at = index(name).filter(|at| *at < elements.len());
                (at.map(|at| elements.remove(at)), elements.len())
            }
            Node::Text(_) => (None, 0),
        };
        let removed = removed.ok_or(missing)?;
        let size = removed.size();
        self.work += size + length * size_of::<(String, Node<'_>)>();
        self.bytes = self.bytes.saturating_sub(size);
        Ok(removed)
    }
}

/// An index as RFC 6901 writes it: without sign and leading zeros.
fn index(token: &str) -> Option<usize> {
    let sound = token == "0" || !token.starts_with(['0', '+']);
    if sound { token.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    const BEFORE: &str = r#"{"resourceType":"Observation","id":"o","status":"final","valueQuantity" : { "value":1.10, "unit":"kg" },"note":[{"text":"a"},{"text":"b"}],"x":1E-22,"a/b":{"~":0}}"#;

    fn run(patch: &str) -> Result<Resource, PatchError> {
        apply(&Resource::parse(BEFORE).unwrap(), patch.as_bytes())
    }

    fn check(patch: &str, from: &str, to: &str) {
        let changed = run(patch).unwrap_or_else(|e| panic!("{patch}: {e}"));
        assert!(BEFORE.contains(from), "{from}");
        // What the patch does not touch stays byte for byte; the top level is written anew without spaces.
        let expected = BEFORE.replacen(from, to, 1).replace("\"valueQuantity\" : ", "\"valueQuantity\":");
        assert_eq!(std::str::from_utf8(changed.bytes()).unwrap(), expected, "{patch}");
    }

    #[test]
    fn operations_change_one_place() {
        for (patch, from, to) in [
            (
                r#"[{"op":"replace","path":"/status","value":"amended"}]"#,
                r#""status":"final""#,
                r#""status":"amended""#,
            ),
            (r#"[{"op":"add","path":"/status","value":"amended"}]"#, r#""status":"final""#, r#""status":"amended""#),
            (r#"[{"op":"remove","path":"/status"}]"#, r#""status":"final","#, ""),
            (
                r#" [ { "value" : {"n":2.50}, "op":"add", "path":"/new" , "x":1} ] "#,
                r#""~":0}}"#,
                r#""~":0},"new":{"n":2.50}}"#,
            ),
            (r#"[{"op":"add","path":"/note/0","value":1e5}]"#, r#"[{"text":"a"}"#, r#"[1e5,{"text":"a"}"#),
            (r#"[{"op":"add","path":"/note/2","value":null}]"#, r#"{"text":"b"}]"#, r#"{"text":"b"},null]"#),
            (r#"[{"op":"add","path":"/note/-","value":[]}]"#, r#"{"text":"b"}]"#, r#"{"text":"b"},[]]"#),
            (r#"[{"op":"remove","path":"/note/0"}]"#, r#"{"text":"a"},"#, ""),
            (r#"[{"op":"replace","path":"/note/1/text","value":"\u00e9"}]"#, r#""text":"b""#, r#""text":"\u00e9""#),
            (r#"[{"op":"replace","path":"/a~1b/~0","value":1}]"#, r#""~":0"#, r#""~":1"#),
            (
                r#"[{"op":"move","from":"/note/0","path":"/note/1"}]"#,
                r#"{"text":"a"},{"text":"b"}"#,
                r#"{"text":"b"},{"text":"a"}"#,
            ),
            (r#"[{"op":"move","from":"/note/0","path":"/note/0"}]"#, "", ""),
            (
                r#"[{"op":"move","from":"/x","path":"/y"}]"#,
                r#","x":1E-22,"a/b":{"~":0}}"#,
                r#","a/b":{"~":0},"y":1E-22}"#,
            ),
            (r#"[{"op":"copy","from":"/x","path":"/note/0"}]"#, r#"[{"text":"a"}"#, r#"[1E-22,{"text":"a"}"#),
            (
                r#"[{"op":"test","path":"/valueQuantity","value":{"unit":"\u006bg","value":1.1}},{"op":"test","path":"/x","value":0.1e-21},{"op":"test","path":"/status","value":"final"},{"op":"remove","path":"/x"}]"#,
                r#""x":1E-22,"#,
                "",
            ),
            ("[]", "", ""),
        ] {
            if to.is_empty() && from.is_empty() {
                let same = run(patch).unwrap();
                assert!(crate::same_content(same.bytes(), BEFORE.as_bytes()), "{patch}");
            } else {
                check(patch, from, to);
            }
        }
    }

    #[test]
    fn refusals() {
        let many =
            format!("[{}]", vec![r#"{"op":"test","path":"/id","value":"o"}"#; PATCH_OPERATIONS_MAX + 1].join(","));
        let large = format!("[{}]", " ".repeat(PATCH_BYTES_MAX));
        for (patch, code, text) in [
            ("", "patch-not-json", "line 1"),
            ("[", "patch-not-json", "Patch[0]"),
            (r#"[{"op":"remove","op":"add","path":"/x","value":1}]"#, "patch-not-json", "Patch[0].op occurs twice"),
            (r#"[{"op":"add","path":"/x","value":{"a":1,"a":2}}]"#, "patch-not-json", "Patch[0].value.a occurs twice"),
            (r#"{"op":"remove","path":"/x"}"#, "patch-malformed", "the patch: "),
            ("[7]", "patch-malformed", "operation 0"),
            (r#"[{"op":"test","path":"/id","value":"o"},{"op":"remove"}]"#, "patch-malformed", "operation 1"),
            (r#"[{"path":"/x"}]"#, "patch-malformed", "'op'"),
            (r#"[{"op":"Remove","path":"/x"}]"#, "patch-malformed", "'op'"),
            (r#"[{"op":"remove","path":"x"}]"#, "patch-malformed", "JSON Pointers"),
            (r#"[{"op":"remove","path":"/~2"}]"#, "patch-malformed", "JSON Pointers"),
            (r#"[{"op":"remove","path":"/~"}]"#, "patch-malformed", "JSON Pointers"),
            (r#"[{"op":"remove","path":7}]"#, "patch-malformed", "'path'"),
            (r#"[{"op":"add","path":"/y"}]"#, "patch-malformed", "'value'"),
            (r#"[{"op":"move","path":"/y"}]"#, "patch-malformed", "'from'"),
            (
                r#"[{"op":"remove","path":"/y"}]"#,
                "patch-no-such-place",
                "operation 0 of the patch: the resource has no place '/y'",
            ),
            (r#"[{"op":"replace","path":"/y","value":1}]"#, "patch-no-such-place", "'/y'"),
            (r#"[{"op":"remove","path":""}]"#, "patch-no-such-place", "''"),
            (r#"[{"op":"add","path":"/y/z","value":1}]"#, "patch-no-such-place", "'/y/z'"),
            (r#"[{"op":"add","path":"/status/z","value":1}]"#, "patch-no-such-place", "'/status/z'"),
            (r#"[{"op":"add","path":"/note/3","value":1}]"#, "patch-no-such-place", "'/note/3'"),
            (r#"[{"op":"add","path":"/note/01","value":1}]"#, "patch-no-such-place", "'/note/01'"),
            (r#"[{"op":"add","path":"/note/+1","value":1}]"#, "patch-no-such-place", "'/note/+1'"),
            (r#"[{"op":"remove","path":"/note/-"}]"#, "patch-no-such-place", "'/note/-'"),
            (r#"[{"op":"remove","path":"/note/2"}]"#, "patch-no-such-place", "'/note/2'"),
            (r#"[{"op":"test","path":"/y","value":null}]"#, "patch-no-such-place", "'/y'"),
            (r#"[{"op":"copy","from":"/y","path":"/z"}]"#, "patch-no-such-place", "'/y'"),
            (r#"[{"op":"move","from":"/y","path":"/y"}]"#, "patch-no-such-place", "'/y'"),
            (r#"[{"op":"move","from":"/a~1b","path":"/a~1b/c"}]"#, "patch-into-itself", "'/a~1b'"),
            (
                r#"[{"op":"remove","path":"/x"},{"op":"test","path":"/status","value":"amended"}]"#,
                "patch-test-failed",
                "operation 1 of the patch tests '/status'",
            ),
            (r#"[{"op":"test","path":"/x","value":"1E-22"}]"#, "patch-test-failed", "'/x'"),
            (r#"[{"op":"replace","path":"/id","value":"p"}]"#, "patch-identity", "id"),
            (r#"[{"op":"remove","path":"/id"}]"#, "patch-identity", "id"),
            (r#"[{"op":"replace","path":"/resourceType","value":"Basic"}]"#, "patch-identity", "resourceType"),
            (r#"[{"op":"remove","path":"/resourceType"}]"#, "patch-result", "no resourceType"),
            (r#"[{"op":"add","path":"","value":[]}]"#, "patch-result", "JSON object"),
            (r#"[{"op":"add","path":"/$serde_json::private::Number","value":"1"}]"#, "patch-result", "reserved"),
            (&many, "patch-too-long", "1000"),
            (&large, "patch-too-large", "1048576"),
        ] {
            let error = run(patch).unwrap_err();
            assert_eq!(error.code(), code, "{patch}: {error}");
            assert!(error.to_string().contains(text), "{patch}: {error}");
            let status = error.http_status();
            assert!(matches!(status, 400 | 413 | 422), "{patch}");
            assert_eq!(
                status == 422,
                matches!(
                    code,
                    "patch-test-failed"
                        | "patch-no-such-place"
                        | "patch-into-itself"
                        | "patch-identity"
                        | "patch-result"
                ),
                "{patch}"
            );
            assert_eq!(error.outcome().issues().count(), 1);
        }
    }

    /// Patches that grow: each is refused early, not when memory is full.
    #[test]
    fn bombs_are_refused() {
        let copies = |from: &str, to: &str| {
            format!("[{}]", vec![format!(r#"{{"op":"copy","from":"{from}","path":"{to}"}}"#); 900].join(","))
        };
        let shift = format!(
            "[{{\"op\":\"add\",\"path\":\"/y\",\"value\":[{}0]}},{}]",
            "0,".repeat(200_000),
            vec![r#"{"op":"add","path":"/y/0","value":0},{"op":"remove","path":"/y/0"}"#; 450].join(",")
        );
        let tests = format!(
            "[{{\"op\":\"add\",\"path\":\"/y\",\"value\":\"{}\"}},{}]",
            "a".repeat(500_000),
            vec![r#"{"op":"test","path":"","value":{}}"#; 900].join(",")
        );
        let deep = format!(
            "[{{\"op\":\"add\",\"path\":\"/y\",\"value\":{}{}}},{{\"op\":\"copy\",\"from\":\"\",\"path\":\"/y{}/0\"}}]",
            "[".repeat(60),
            "]".repeat(60),
            "/0".repeat(59)
        );
        for (name, patch, code) in [
            ("doubling", copies("", "/y"), "patch-result-too-large"),
            ("doubling in a list", copies("/note", "/note/-"), "patch-result-too-large"),
            ("many copies of one", copies("", "/note/0"), "patch-result-too-large"),
            ("shifting a long list", shift, "patch-result-too-large"),
            ("tests of a long text", tests, "patch-test-failed"),
            ("nesting", deep, "patch-result"),
        ] {
            let error = run(&patch).unwrap_err();
            assert_eq!(error.code(), code, "{name}: {error}");
        }
    }

    /// The library for `serde_json` agrees wherever it has no opinion of its own on order and numbers.
    #[test]
    fn random_patches_agree_with_the_library() {
        let mut state = 11_u64;
        let mut next = move |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below
        };
        let places = [
            "/note",
            "/note/0",
            "/note/1",
            "/note/-",
            "/note/1/text",
            "/status",
            "/valueQuantity",
            "/valueQuantity/unit",
            "/a~1b",
            "/a~1b/~0",
            "/y",
            "/y/0",
            "/y/z",
            "/note/0/text/0",
        ];
        let values = ["1", "\"v\"", "[]", "{}", "{\"z\":[1,2]}", "[{\"z\":\"w\"}]", "null", "\"final\""];
        let (mut applied, mut refused) = (0, 0);
        for _ in 0..5000 {
            let list: Vec<_> = (0..=next(5))
                .map(|_| {
                    let (path, from, value) =
                        (places[next(places.len())], places[next(places.len())], values[next(values.len())]);
                    match next(6) {
                        0 | 1 => format!(r#"{{"op":"add","path":"{path}","value":{value}}}"#),
                        2 => format!(r#"{{"op":"remove","path":"{path}"}}"#),
                        3 => format!(r#"{{"op":"replace","path":"{path}","value":{value}}}"#),
                        4 => format!(r#"{{"op":"move","from":"{from}","path":"{path}"}}"#),
                        _ => format!(r#"{{"op":"copy","from":"{from}","path":"{path}"}}"#),
                    }
                })
                .collect();
            let patch = format!("[{}]", list.join(","));
            let ours = run(&patch);
            let mut theirs: serde_json::Value = serde_json::from_str(BEFORE).unwrap();
            let operations: json_patch::Patch = serde_json::from_str(&patch).unwrap();
            let result = json_patch::patch_unsafe(&mut theirs, &operations);
            match (ours, result) {
                (Ok(ours), Ok(())) => {
                    assert_eq!(ours.json().unwrap(), theirs, "{patch}");
                    applied += 1;
                }
                (
                    Err(PatchError::NoSuchPlace { operation, .. } | PatchError::IntoItself { operation, .. }),
                    Err(theirs),
                ) => {
                    assert_eq!(operation, theirs.operation, "{patch}");
                    refused += 1;
                }
                (ours, theirs) => panic!("{patch}: {ours:?} {theirs:?}"),
            }
        }
        println!("{applied} patches applied, {refused} refused, alike");
        assert!(applied > 1000 && refused > 1000);
    }
}
