//! How the value of an element becomes search values: one form for each pair of parameter type and datatype
//! (R4 search, 3.1.1.4.7 to 3.1.1.4.13). A value that is not of its datatype gives none.

use serde_json::Value;

use super::date;
use super::decimal::Decimal;
use super::inside::Inside;
use super::packed::{Block, DateValue, QuantityValue, ReferenceValue, Target, TokenValue};
use crate::ResourceType;
use crate::id::ID_BYTES_MAX;
use crate::reference::unversioned;

/// Longest literal of a number that is searched, in bytes.
const NUMBER_BYTES_MAX: usize = 256;
/// Longest single text that is kept for searching, in bytes: a longer one is found by its beginning.
const TEXT_BYTES_MAX: usize = 1024;
/// In the place of a system, where the element implies one (R4 search, "token": a `code` has the system of its
/// value set). No real system is empty.
pub(super) const IMPLIED: &[u8] = b"";
/// Before a part of a text that is found by itself and is not a value by itself. No sound text begins with it.
pub(super) const PART: u8 = 0;
/// The code system of currencies (R4 datatypes, `Money`).
const CURRENCIES: &str = "urn:iso:std:iso:4217";

/// How a value is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Code,
    Plain,
    Boolean,
    ExistsAndNotFalse,
    Coding,
    CodeableConcept,
    Identifier,
    ContactPoint,
    Date,
    Period,
    Timing,
    Text,
    FamilyName,
    HumanName,
    Address,
    Number,
    Range,
    Quantity,
    Money,
    Uri,
    Reference,
    Canonical,
    Resource,
}

impl Form {
    /// Writes the search values of one JSON value; none, where it holds none.
    pub(super) fn write<'t>(self, value: &'t Value, inside: &mut Inside<'t>, out: &mut Block) {
        // A value of the wrong shape gives nothing, so what each reader returns does not matter.
        let _ = match self {
            Self::Code => value.as_str().map(|code| coded_token(code, out)),
            Self::Plain => value.as_str().map(|text| plain_token(text, out)),
            Self::Boolean => boolean(value, out),
            Self::ExistsAndNotFalse => {
                coded_token(if *value == Value::Bool(false) { "false" } else { "true" }, out);
                Some(())
            }
            Self::Coding => coding(value, out),
            Self::CodeableConcept => concept(value, out),
            Self::Identifier => identifier(value, out),
            Self::ContactPoint => contact(value, out),
            Self::Date => value.as_str().and_then(date::parse).map(|span| out.date(span)),
            Self::Period => period(value).map(|span| out.date(span)),
            Self::Timing => timing(value).map(|span| out.date(span)),
            Self::Text => string(value, out),
            Self::FamilyName => family(value, out),
            Self::HumanName => {
                for name in list(value, "family") {
                    family(name, out);
                }
                parts(value, &["text", "given", "prefix", "suffix"], out)
            }
            Self::Address => parts(value, &["text", "line", "city", "district", "state", "postalCode", "country"], out),
            Self::Number => number(value, out),
            Self::Range => range(value, out),
            Self::Quantity => quantity(value, out),
            Self::Money => money(value, out),
            Self::Uri => value.as_str().map(|uri| out.text(Some(uri))),
            Self::Reference => reference(value, inside, out),
            Self::Canonical => canonical(value, inside, out),
            Self::Resource => resource(value, inside, out),
        };
    }
}

/// The value of a `_deceased`-like parameter where the element is absent.
pub(super) fn write_absent(out: &mut Block) {
    coded_token("false", out);
}

pub(super) fn member<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name)?.as_str()
}

pub(super) fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    match value.get(name) {
        Some(Value::Array(list)) => list,
        Some(one) => std::slice::from_ref(one),
        None => &[],
    }
}

/// The beginning of a text, at most [`TEXT_BYTES_MAX`].
fn beginning(text: &str) -> &[u8] {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().as_bytes()
}

fn plain_token(text: &str, out: &mut Block) {
    out.token(&TokenValue { system: None, code: Some(beginning(text)), text: None, kinds: None });
}

/// A code whose system the element implies.
fn coded_token(code: &str, out: &mut Block) {
    out.token(&TokenValue { system: Some(IMPLIED), code: Some(beginning(code)), text: None, kinds: None });
}

fn boolean(value: &Value, out: &mut Block) -> Option<()> {
    coded_token(if value.as_bool()? { "true" } else { "false" }, out);
    Some(())
}

fn coding(value: &Value, out: &mut Block) -> Option<()> {
    let text = member(value, "display").map(beginning);
    let (system, code) = (member(value, "system"), member(value, "code"));
    if system.is_none() && code.is_none() && text.is_none() {
        return None;
    }
    out.token(&TokenValue { system: system.map(str::as_bytes), code: code.map(str::as_bytes), text, kinds: None });
    Some(())
}

fn concept(value: &Value, out: &mut Block) -> Option<()> {
    let mut said = None;
    for one in list(value, "coding") {
        coding(one, out);
        said = said.or(member(one, "display"));
    }
    // The text often repeats the display.
    let text = member(value, "text").filter(|text| said != Some(*text))?;
    out.token(&TokenValue { system: None, code: None, text: Some(beginning(text)), kinds: None });
    Some(())
}

fn identifier(value: &Value, out: &mut Block) -> Option<()> {
    let (system, code) = (member(value, "system"), member(value, "value"));
    let kind = value.get("type");
    let text = kind.and_then(|kind| member(kind, "text")).map(beginning);
    if system.is_none() && code.is_none() && text.is_none() {
        return None;
    }
    let mut kinds = Block::default();
    for one in kind.map(|kind| list(kind, "coding")).unwrap_or_default() {
        kinds.text(member(one, "system"));
        kinds.text(member(one, "code"));
    }
    let kinds = Some(kinds.as_bytes()).filter(|kinds| !kinds.is_empty());
    out.token(&TokenValue { system: system.map(str::as_bytes), code: code.map(str::as_bytes), text, kinds });
    Some(())
}

/// R4 search, "token": a contact has no system in the sense of tokens, and its use is not one either.
fn contact(value: &Value, out: &mut Block) -> Option<()> {
    plain_token(member(value, "value")?, out);
    Some(())
}

fn period(value: &Value) -> Option<DateValue> {
    let start = member(value, "start").and_then(date::parse);
    let end = member(value, "end").and_then(date::parse);
    if start.is_none() && end.is_none() {
        return None;
    }
    Some(DateValue { low: start.map_or(date::FIRST, |span| span.low), high: end.map_or(date::LAST, |span| span.high) })
}

/// The outer limits alone count (R4 search, "date").
fn timing(value: &Value) -> Option<DateValue> {
    let events = list(value, "event").iter().filter_map(|event| date::parse(event.as_str()?));
    let bounds = value.get("repeat").and_then(|repeat| repeat.get("boundsPeriod")).and_then(period);
    events.chain(bounds).reduce(|one, other| DateValue { low: one.low.min(other.low), high: one.high.max(other.high) })
}

fn string(value: &Value, out: &mut Block) -> Option<()> {
    out.field(Some(beginning(value.as_str()?)));
    Some(())
}

/// The name, and its parts by themselves (R4 search, "string": either of "Carreno Quinones").
fn family(value: &Value, out: &mut Block) -> Option<()> {
    string(value, out)?;
    let name = std::str::from_utf8(beginning(value.as_str()?)).ok()?;
    let parts = name.split(|c: char| c.is_whitespace() || c == '-').filter(|part| !part.is_empty());
    parts.skip(1).for_each(|part| out.joined(PART, &[], part.as_bytes()));
    Some(())
}

fn parts(value: &Value, names: &[&str], out: &mut Block) -> Option<()> {
    value.as_object()?;
    for name in names {
        for part in list(value, name) {
            string(part, out);
        }
    }
    Some(())
}

/// The digits of a JSON number as they were sent.
fn literal(value: &Value) -> Option<&str> {
    let Value::Number(number) = value else { return None };
    let text = number.as_str();
    (text.len() <= NUMBER_BYTES_MAX && Decimal::parse(text.as_bytes()).is_some()).then_some(text)
}

fn bare<'v>(low: Option<&'v str>, high: Option<&'v str>) -> QuantityValue<'v> {
    let (low, high) = (low.map(str::as_bytes), high.map(str::as_bytes));
    QuantityValue { low, high, system: None, code: None, unit: None }
}

fn number(value: &Value, out: &mut Block) -> Option<()> {
    let text = Some(literal(value)?);
    out.quantity(&bare(text, text));
    Some(())
}

fn quantity(value: &Value, out: &mut Block) -> Option<()> {
    let text = Some(literal(value.get("value")?)?);
    // It modifies the value, which then is a range (R4 datatypes, `Quantity`). That `<` leaves out its end is not
    // kept: the end of such a range is the limit of an instrument, no exact number.
    let (low, high) = match member(value, "comparator") {
        Some("<" | "<=") => (None, text),
        Some(">" | ">=") => (text, None),
        _ => (text, text),
    };
    let part = |name| member(value, name).map(str::as_bytes);
    out.quantity(&QuantityValue { system: part("system"), code: part("code"), unit: part("unit"), ..bare(low, high) });
    Some(())
}

fn range(value: &Value, out: &mut Block) -> Option<()> {
    let (low, high) = (value.get("low"), value.get("high"));
    let end = |end: Option<&'_ Value>| end.and_then(|end| end.get("value")).and_then(literal).map(str::to_owned);
    let (low_text, high_text) = (end(low), end(high));
    let unit = low.or(high)?;
    if low_text.is_none() && high_text.is_none() {
        return None;
    }
    let part = |name| member(unit, name).map(str::as_bytes);
    out.quantity(&QuantityValue {
        system: part("system"),
        code: part("code"),
        unit: part("unit"),
        ..bare(low_text.as_deref(), high_text.as_deref())
    });
    Some(())
}

fn money(value: &Value, out: &mut Block) -> Option<()> {
    let text = Some(literal(value.get("value")?)?);
    let code = member(value, "currency").map(str::as_bytes);
    let system = code.map(|_| CURRENCIES.as_bytes());
    out.quantity(&QuantityValue { system, code, ..bare(text, text) });
    Some(())
}

fn reference(value: &Value, inside: &mut Inside<'_>, out: &mut Block) -> Option<()> {
    let text = member(value, "reference");
    let identifier = value.get("identifier");
    let part = |name| identifier.and_then(|identifier| member(identifier, name)).map(str::as_bytes);
    if text.is_none() && identifier.is_none() {
        return None;
    }
    let mut key = LocalKey::default();
    let target = text.map_or(Target::Nowhere, |text| target(text, inside, &mut key));
    out.reference(&ReferenceValue { target, identifier_system: part("system"), identifier: part("value") });
    Some(())
}

fn canonical(value: &Value, inside: &mut Inside<'_>, out: &mut Block) -> Option<()> {
    let text = value.as_str()?;
    let mut key = LocalKey::default();
    let target = match target(text, inside, &mut key) {
        here @ (Target::Local(_) | Target::Inside { .. }) => here,
        _ => Target::Canonical(text.as_bytes()),
    };
    out.reference(&ReferenceValue { target, identifier_system: None, identifier: None });
    Some(())
}

/// A resource that stands in the place of a reference (`Bundle.entry.resource`).
fn resource<'t>(value: &'t Value, inside: &mut Inside<'t>, out: &mut Block) -> Option<()> {
    let resource_type = member(value, "resourceType")?.parse().ok()?;
    let key = member(value, "id").and_then(|id| LocalKey::of(resource_type, id)).unwrap_or_default();
    let target = Target::Inside { place: inside.nest(resource_type, value)?, key: key.as_bytes() };
    out.reference(&ReferenceValue { target, identifier_system: None, identifier: None });
    Some(())
}

/// What a reference string points at; `key` is room for a local one.
fn target<'v>(text: &'v str, inside: &mut Inside<'_>, key: &'v mut LocalKey) -> Target<'v> {
    if let Some(id) = text.strip_prefix('#') {
        return inside.place_of(id).map_or(Target::Nowhere, |place| Target::Inside { place, key: &[] });
    }
    if text.starts_with("urn:") {
        return Target::Nowhere;
    }
    let text = unversioned(text);
    if text.contains("://") {
        return Target::Url(text.as_bytes());
    }
    match key.read(text) {
        Some(()) => Target::Local(key.as_bytes()),
        None => Target::Nowhere,
    }
}

/// A `Type/id` of this server: the type's number and the id.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct LocalKey {
    bytes: [u8; ID_BYTES_MAX + 1],
    length: usize,
}

impl Default for LocalKey {
    fn default() -> Self {
        Self { bytes: [0; ID_BYTES_MAX + 1], length: 0 }
    }
}

impl LocalKey {
    /// The key of a `Type/id`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut key = Self::default();
        key.read(text)?;
        Some(key)
    }

    /// The key of a resource.
    pub(super) fn of(resource_type: ResourceType, id: &str) -> Option<Self> {
        let mut key = Self::default();
        key.set(resource_type, id)?;
        Some(key)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Whether it is of a type.
    pub(super) fn is_of(&self, resource_type: ResourceType) -> bool {
        self.as_bytes().first() == Some(&resource_type.number())
    }

    fn read(&mut self, text: &str) -> Option<()> {
        let (name, id) = text.split_once('/')?;
        self.set(name.parse().ok()?, id)
    }

    fn set(&mut self, resource_type: ResourceType, id: &str) -> Option<()> {
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        if id.is_empty() || !id.bytes().all(sound) {
            return None;
        }
        let (first, rest) = self.bytes.split_first_mut()?;
        *first = resource_type.number();
        rest.get_mut(..id.len())?.copy_from_slice(id.as_bytes());
        self.length = id.len() + 1;
        Some(())
    }
}

/// The type that a reference is to, by what it says itself or by the contained resource it points at.
pub(super) fn reference_type<'v>(value: &'v Value, inside: &mut Inside<'_>) -> Option<&'v str> {
    let text = member(value, "reference").unwrap_or_default();
    let by_text = if let Some(id) = text.strip_prefix('#') {
        inside.type_of(id).map(ResourceType::as_str)
    } else {
        let mut parts = unversioned(text).rsplit('/');
        parts.next().and(parts.next()).filter(|name| name.parse::<ResourceType>().is_ok())
    };
    by_text.or_else(|| member(value, "type"))
}
