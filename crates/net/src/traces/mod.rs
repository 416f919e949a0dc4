//! Traces: what happened for one request, at every party. Parties hand the trace on in the header `traceparent` (W3C Trace
//! Context); each keeps its own spans, in a file of its data folder or with a collector. A span's name and attributes are
//! closed sets ([`record`]), so that a trace tells of the protocol and of times, and of nobody's record.

mod names;
mod otlp;
mod record;
mod sink;

use std::fmt;
use std::str::FromStr;

use sealwort_proto::crypto::random;

pub use names::Names;
pub(crate) use record::Record;
pub use record::{ATTRIBUTES, Attribute, Kept, Name};
pub use sink::{KEPT_FILE, OLDER_FILE};
pub(crate) use sink::{Owner, Sink};

/// The header in which a trace is handed on (W3C Trace Context).
pub const TRACEPARENT: &str = "traceparent";
/// The header in which a gateway tells the trace of an answer.
pub const TRACE_ID: &str = "x-trace-id";
/// The header in which whoever asks names a request.
pub const REQUEST_ID: &str = "x-request-id";

/// The trace and the span that work belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    pub(crate) trace: TraceId,
    pub(crate) span: SpanId,
}

/// A trace.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceId([u8; 16]);

/// A span of a trace.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SpanId([u8; 8]);

impl Context {
    /// The beginning of a new trace.
    pub(crate) fn new_trace() -> Self {
        Self { trace: TraceId(random()), span: SpanId(random()) }
    }

    /// A span within this one.
    pub(crate) fn child(self) -> Self {
        Self { trace: self.trace, span: SpanId(random()) }
    }

    /// The trace.
    pub fn trace(self) -> TraceId {
        self.trace
    }
}

impl fmt::Display for Context {
    /// As `traceparent` wants it. What is handed on is recorded.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-01", self.trace, self.span)
    }
}

impl FromStr for Context {
    type Err = ();

    /// Reads `traceparent`. Of a later version the fields of this one count (W3C Trace Context, section 4.1).
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut fields = text.split('-');
        let mut field = || fields.next().filter(|field| !field.bytes().any(|byte| byte.is_ascii_uppercase())).ok_or(());
        let (version, trace, span, flags) = (field()?, field()?, field()?, field()?);
        let version: [u8; 1] = hex_of(version)?;
        let _flags: [u8; 1] = hex_of(flags)?;
        if version == [0xff] || version == [0] && fields.next().is_some() {
            return Err(());
        }
        let (trace, span) = (hex_of(trace)?, hex_of(span)?);
        if trace == [0; 16] || span == [0; 8] {
            return Err(());
        }
        Ok(Self { trace: TraceId(trace), span: SpanId(span) })
    }
}

impl TraceId {
    pub(crate) const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl SpanId {
    pub(crate) const fn bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

macro_rules! shown {
    ($($name:ident),+) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )+};
}
shown!(TraceId, SpanId);

fn hex_of<const N: usize>(text: &str) -> Result<[u8; N], ()> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| ())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_trace_is_handed_on_as_it_came() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context: Context = text.parse().unwrap();
        assert_eq!(context.to_string(), text);
        let child = context.child();
        assert_eq!(child.trace, context.trace);
        assert_ne!(child.span, context.span);
        for later in [
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
        ] {
            assert_eq!(later.parse::<Context>(), Ok(context), "{later}");
        }
        for wrong in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-maria-00f067aa0ba902b7-01",
        ] {
            assert_eq!(wrong.parse::<Context>(), Err(()), "{wrong}");
        }
    }
}
