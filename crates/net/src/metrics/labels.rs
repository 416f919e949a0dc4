//! Every label that a metric can have, and every name of a span: closed sets of words of this program. A label is no text
//! that came from somewhere, so no name, identifier or pseudonym of a patient can become one.

use std::fmt;

use http::{Method, StatusCode};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelSetEncoder, LabelValueEncoder};
use sealwort_proto::Step;

use super::codes::CODES;

/// Makes a closed set of words.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $(#[doc = concat!("`", $word, "`")] $variant),+
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }

        impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), fmt::Error> {
                self.as_str().encode(encoder)
            }
        }
    };
}

words! {
    /// What a request is for, by its path.
    Route {
        Authentication = "authentication",
        Channel = "channel",
        Call = "call",
        Relay = "relay",
        Notices = "notices",
        Checkpoints = "checkpoints",
        Enrolment = "enrolment",
        RevocationList = "revocation-list",
        Administration = "administration",
        FhirBundle = "fhir-bundle",
        FhirRead = "fhir-read",
        FhirSearch = "fhir-search",
        FhirWrite = "fhir-write",
        FhirOperation = "fhir-operation",
        FhirDescription = "fhir-description",
        SignIn = "sign-in",
        Consent = "consent",
        Emergency = "emergency",
        Feed = "feed",
        Page = "page",
        Status = "status",
        Health = "health",
        Other = "other",
    }
}

words! {
    /// The class of an answer's status.
    Status { Informational = "1xx", Success = "2xx", Redirection = "3xx", Refused = "4xx", Failed = "5xx" }
}

words! {
    /// A method of HTTP.
    Verb {
        Get = "GET",
        Head = "HEAD",
        Post = "POST",
        Put = "PUT",
        Patch = "PATCH",
        Delete = "DELETE",
        Options = "OPTIONS",
        Other = "other",
    }
}

words! {
    /// A section of the paper.
    Phase { Authentication = "authentication", Transmission = "transmission" }
}

words! {
    /// What somebody waits for at a store.
    Work { Append = "append", Change = "change", Entry = "audit-entry" }
}

words! {
    /// Whom a session is with.
    Peer { Gateway = "gateway", Broker = "broker", Archive = "archive" }
}

words! {
    /// What became of one of the broker's notices.
    Notice { Heard = "heard", Told = "told" }
}

words! {
    /// What became of a span.
    Fate { Kept = "kept", Exported = "exported", Lost = "lost" }
}

impl Route {
    /// The route of a request. Identifiers in the path are looked past.
    pub fn of(method: &Method, path: &str) -> Self {
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        let first = parts.next().unwrap_or_default();
        let second = parts.next().unwrap_or_default();
        match (first, second) {
            ("livez" | "readyz" | "metrics", "") => Self::Health,
            ("v1", "authenticate") => Self::Authentication,
            ("v1", "channel") => Self::Channel,
            ("v1", "call") => Self::Call,
            ("v1", "relay") => Self::Relay,
            ("v1", "notices") => Self::Notices,
            ("v1", "log") => Self::Checkpoints,
            ("v1", "enrol" | "renew") => Self::Enrolment,
            ("v1", "crl" | "root") => Self::RevocationList,
            ("v1", _) => Self::Administration,
            ("fhir", second) => Self::of_fhir(method, second, parts),
            ("auth" | "sessions" | "lockouts" | "passkeys", _) => Self::SignIn,
            ("consent" | "erasure" | "delegates" | "labels", _) => Self::Consent,
            ("emergency", _) => Self::Emergency,
            ("devices" | "feeds" | "push", _) => Self::Feed,
            ("status", _) => Self::Status,
            ("" | "assets" | "fhir.css" | "portal" | "clinician", _) => Self::Page,
            _ => Self::Other,
        }
    }

    fn of_fhir<'p>(method: &Method, kind: &'p str, rest: impl Iterator<Item = &'p str>) -> Self {
        let rest: Vec<&str> = rest.collect();
        let last = rest.last().copied().unwrap_or(kind);
        match (kind, method) {
            _ if kind.starts_with('$') || rest.iter().any(|part| part.starts_with('$')) => Self::FhirOperation,
            ("metadata" | ".well-known", _) => Self::FhirDescription,
            ("", &Method::POST) => Self::FhirBundle,
            (_, &Method::GET | &Method::HEAD)
                if rest.is_empty() || matches!(rest.as_slice(), [_, kind] if !kind.starts_with('_')) =>
            {
                Self::FhirSearch
            }
            (_, &Method::GET | &Method::HEAD) => Self::FhirRead,
            (_, &Method::POST) if last == "_search" => Self::FhirSearch,
            (_, &Method::POST | &Method::PUT | &Method::PATCH | &Method::DELETE) => Self::FhirWrite,
            _ => Self::Other,
        }
    }
}

impl Status {
    /// The class of a status.
    pub fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            ..=199 => Self::Informational,
            200..=299 => Self::Success,
            300..=399 => Self::Redirection,
            400..=499 => Self::Refused,
            _ => Self::Failed,
        }
    }
}

impl Verb {
    /// The method of a request.
    pub fn of(method: &Method) -> Self {
        Self::ALL.iter().copied().find(|verb| verb.as_str() == method.as_str()).unwrap_or(Self::Other)
    }
}

/// A stable code with which something is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code(&'static str);

impl Code {
    /// The code of this name; `other` for one that is not in the list.
    pub fn of(name: &str) -> Self {
        let known = CODES.binary_search(&name).ok().and_then(|at| CODES.get(at));
        Self(known.copied().unwrap_or("other"))
    }

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl EncodeLabelValue for Code {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), fmt::Error> {
        self.0.encode(encoder)
    }
}

/// One of the paper's sixteen steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StepName {
    phase: Phase,
    step: u32,
}

impl StepName {
    /// The step, if it is one of the sixteen.
    pub fn of(step: Step) -> Option<Self> {
        match step {
            Step::Authentication(number @ 1..=9) => {
                Some(Self { phase: Phase::Authentication, step: u32::from(number) })
            }
            Step::Transmission(number @ 1..=7) => Some(Self { phase: Phase::Transmission, step: u32::from(number) }),
            _ => None,
        }
    }

    /// The section of the paper.
    pub const fn phase(self) -> Phase {
        self.phase
    }

    /// Its number there.
    pub const fn number(self) -> u32 {
        self.step
    }
}

/// A part of a service's readiness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Part(pub(crate) &'static str);

impl EncodeLabelValue for Part {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), fmt::Error> {
        self.0.encode(encoder)
    }
}

/// Labels of a request that was answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Answered {
    pub(super) route: Route,
    pub(super) status: Status,
}

/// The label `route`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OnRoute {
    pub(super) route: Route,
}

/// The label `code`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct WithCode {
    pub(super) code: Code,
}

/// The label `work`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfWork {
    pub(super) work: Work,
}

/// The label `peer`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct WithPeer {
    pub(super) peer: Peer,
}

/// The label `part`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfPart {
    pub(super) part: Part,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct WithNotice {
    pub(super) notice: Notice,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct WithFate {
    pub(super) fate: Fate,
}

/// The label of the build.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfBuild {
    pub(super) version: &'static str,
}

/// No label: of a metric that is absent until it is set.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Alone;

impl EncodeLabelSet for Alone {
    fn encode(&self, _: &mut LabelSetEncoder) -> Result<(), fmt::Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_in_a_path_never_show() {
        for (method, path, route) in [
            (Method::GET, "/fhir/Patient/maria-muster", Route::FhirRead),
            (Method::GET, "/fhir/Patient/p1/_history/2", Route::FhirRead),
            (Method::GET, "/fhir/Patient/p1/Observation", Route::FhirSearch),
            (Method::GET, "/fhir/Patient", Route::FhirSearch),
            (Method::POST, "/fhir/Patient/_search", Route::FhirSearch),
            (Method::GET, "/fhir/Patient/p1/$everything", Route::FhirOperation),
            (Method::POST, "/fhir", Route::FhirBundle),
            (Method::POST, "/fhir/Observation", Route::FhirWrite),
            (Method::PUT, "/fhir/Patient/p1", Route::FhirWrite),
            (Method::GET, "/fhir/metadata", Route::FhirDescription),
            (Method::POST, "/v1/authenticate/4/00", Route::Authentication),
            (Method::POST, "/v1/relay/00", Route::Relay),
            (Method::GET, "/maria", Route::Other),
            (Method::GET, "/metrics", Route::Health),
        ] {
            assert_eq!(Route::of(&method, path), route, "{method} {path}");
        }
        assert_eq!(Verb::of(&Method::PUT), Verb::Put);
        assert_eq!(Code::of("consent-ended").as_str(), "consent-ended");
        assert_eq!(Code::of("Maria Muster").as_str(), "other");
    }

    #[test]
    fn there_are_sixteen_steps() {
        let all = (0..=20).flat_map(|number| [Step::Authentication(number), Step::Transmission(number)]);
        assert_eq!(all.filter_map(StepName::of).count(), 16);
        assert_eq!(StepName::of(Step::Channel), None);
    }
}
