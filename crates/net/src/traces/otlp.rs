//! Spans as a collector takes them: OTLP over HTTP, in protobuf (OpenTelemetry Protocol 1.x).

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span::SpanKind, status};
use prost::Message as _;

use super::record::{Name, Record, Value};

/// Below the endpoint, where traces go.
pub(super) const PATH: &str = "/v1/traces";
/// Media type of the message.
pub(super) const PROTOBUF: &str = "application/x-protobuf";

/// The message for these spans of one party.
pub(super) fn message<'r>(records: impl Iterator<Item = &'r Record>, role: &str, party: &str) -> Vec<u8> {
    let resource = Resource {
        attributes: vec![
            pair("service.name", format!("sealwort-{role}")),
            pair("service.instance.id", party.to_owned()),
            pair("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ],
        ..Resource::default()
    };
    let scope = InstrumentationScope { name: "sealwort".to_owned(), ..InstrumentationScope::default() };
    let spans = records.map(span).collect();
    let spans = ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() };
    let spans = ResourceSpans { resource: Some(resource), scope_spans: vec![spans], ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![spans] }.encode_to_vec()
}

fn span(record: &Record) -> Span {
    let kind = match record.name {
        Name::Request(_) => SpanKind::Server,
        Name::Session | Name::Outbox | Name::Step(_) | Name::Store(_) => SpanKind::Internal,
    };
    let attributes = record.attributes.iter().map(|attribute| {
        let value = match attribute.value() {
            Value::Word(word) => any_value::Value::StringValue(word.to_owned()),
            Value::Number(number) => any_value::Value::IntValue(number),
        };
        key_value(attribute.key(), value)
    });
    let (code, message) = match record.refused {
        Some(code) => (status::StatusCode::Error, code.as_str()),
        None => (status::StatusCode::Unset, ""),
    };
    Span {
        trace_id: record.context.trace.bytes().to_vec(),
        span_id: record.context.span.bytes().to_vec(),
        parent_span_id: record.parent.map(|parent| parent.bytes().to_vec()).unwrap_or_default(),
        name: record.name.to_string(),
        kind: kind.into(),
        start_time_unix_nano: record.start_nanos(),
        end_time_unix_nano: record.end_nanos(),
        attributes: attributes.collect(),
        status: Some(Status { code: code.into(), message: message.to_owned() }),
        ..Span::default()
    }
}

fn pair(key: &str, value: String) -> KeyValue {
    key_value(key, any_value::Value::StringValue(value))
}

fn key_value(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
