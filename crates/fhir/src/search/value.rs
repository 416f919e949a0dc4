//! The values of a search, read by the type of their parameter (R4 search, 3.1.1.4.5 to 3.1.1.4.13).

use super::date;
use super::decimal::Asked;
use super::definition::{Kind, Parameter};
use super::error::{SearchError, shortened};
use super::form::LocalKey;
use super::packed::DateValue;
use super::text::Needle;
use crate::ResourceType;
use crate::identifier::{Token, TokenSystem};
use crate::reference::unversioned;

/// Longest value of a parameter, in bytes.
pub const VALUE_BYTES_MAX: usize = 16 * 1024;
/// Most values of one parameter, separated by commas.
pub const VALUES_MAX: usize = 500;

/// What a parameter's name has after the colon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Modifier {
    None,
    Missing,
    Exact,
    Contains,
    Text,
    Not,
    OfType,
    Identifier,
    Above,
    Below,
    Type(ResourceType),
}

impl Modifier {
    /// Reads a modifier for a kind of parameter. R4 demands that an unknown one is refused.
    pub(super) fn parse(text: Option<&str>, kind: Kind, name: &str) -> Result<Self, SearchError> {
        let Some(text) = text else { return Ok(Self::None) };
        Ok(match (kind, text) {
            (Kind::Composite, _) => {
                return Err(refused(name, "a composite has no modifier; put it on the parameters it is made of"));
            }
            (_, "missing") => Self::Missing,
            (Kind::String, "exact") => Self::Exact,
            (Kind::String, "contains") => Self::Contains,
            (Kind::Token, "text") => Self::Text,
            (Kind::Token, "not") => Self::Not,
            (Kind::Token, "of-type") => Self::OfType,
            (Kind::Reference, "identifier") => Self::Identifier,
            (Kind::Uri, "above") => Self::Above,
            (Kind::Uri, "below") => Self::Below,
            (Kind::Token, "in" | "not-in" | "above" | "below") => {
                return Err(refused(name, "no terminology is at hand; list the codes, separated by commas"));
            }
            (Kind::Reference, "above" | "below") => {
                return Err(refused(name, "hierarchies are not followed; name the resources, separated by commas"));
            }
            (Kind::Reference, name) if name.parse::<ResourceType>().is_ok() => {
                Self::Type(name.parse().map_err(|_| refused(name, "not a resource type"))?)
            }
            _ => return Err(refused(name, modifiers(kind))),
        })
    }
}

fn modifiers(kind: Kind) -> &'static str {
    match kind {
        Kind::String => "a string has the modifiers :exact, :contains and :missing",
        Kind::Token => "a token has the modifiers :not, :text, :of-type and :missing",
        Kind::Reference => "a reference has the modifiers :identifier, :missing and a resource type",
        Kind::Uri => "a URI has the modifiers :above, :below and :missing",
        _ => "it has the modifier :missing alone",
    }
}

fn refused(name: &str, instead: &'static str) -> SearchError {
    SearchError::NotSupported { parameter: shortened(name), instead }
}

pub(super) fn bad(name: &str, reason: &'static str) -> SearchError {
    SearchError::BadValue { parameter: shortened(name), reason }
}

/// The comparison that a number, date or quantity begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prefix {
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    StartsAfter,
    EndsBefore,
    Approximately,
}

impl Prefix {
    fn split(text: &str) -> (Self, &str) {
        let prefixes = [
            ("eq", Self::Equal),
            ("ne", Self::NotEqual),
            ("gt", Self::Greater),
            ("lt", Self::Less),
            ("ge", Self::GreaterOrEqual),
            ("le", Self::LessOrEqual),
            ("sa", Self::StartsAfter),
            ("eb", Self::EndsBefore),
            ("ap", Self::Approximately),
        ];
        let found = prefixes.iter().find_map(|(name, prefix)| Some((*prefix, text.strip_prefix(name)?)));
        found.unwrap_or((Self::Equal, text))
    }
}

/// Whether codes compare with their case. R4 has servers ignore it where they do not know the code system
/// (R4 search, "token"); the query of an access right must not let through more than it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    Ignored,
    Kept,
}

/// One value asked for.
#[derive(Clone, Debug)]
pub(super) enum Test {
    Token { token: Token, case: Case },
    TokenText(Needle),
    OfType { system: String, code: String, value: String },
    Begins(Needle),
    Contains(Needle),
    Exact(Needle),
    Date(Prefix, DateValue),
    Number(Prefix, Box<Asked>, Unit),
    Uri(String),
    UriBelow(String),
    UriAbove(String),
    Reference(Wanted),
    ReferenceIdentifier { token: Token, case: Case },
}

/// The unit asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Any,
    /// This code of this system.
    Coded(String, String),
    /// This text, as code or as unit.
    Named(String),
}

/// What a reference must point at.
#[derive(Clone)]
pub(super) enum Wanted {
    /// An id, whatever the type.
    Id(String),
    /// A resource of this server.
    Local(LocalKey),
    /// A URL, and what it would be if it is of this server.
    Url(String),
}

/// Ids identify people.
impl std::fmt::Debug for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wanted([redacted])")
    }
}

/// The values of a parameter, still escaped.
pub(super) fn values<'t>(name: &str, text: &'t str) -> Result<Vec<&'t str>, SearchError> {
    if text.len() > VALUE_BYTES_MAX {
        return Err(SearchError::TooMuch { parameter: shortened(name), reason: "a value has 16384 bytes at most" });
    }
    let values: Vec<&str> = split(text, ',').collect();
    if values.len() > VALUES_MAX {
        return Err(SearchError::TooMuch { parameter: shortened(name), reason: "it may list 500 values at most" });
    }
    Ok(values)
}

/// Reads one value.
pub(super) fn parse_one(
    name: &str,
    parameter: &Parameter,
    modifier: Modifier,
    value: &str,
    case: Case,
) -> Result<Test, SearchError> {
    if value.is_empty() {
        return Err(bad(name, "it is empty"));
    }
    match parameter.kind {
        Kind::Token if modifier == Modifier::Text => Ok(Test::TokenText(needle(name, value)?)),
        Kind::Token if modifier == Modifier::OfType => of_type(name, value),
        Kind::Token => Ok(Test::Token { token: token(name, value)?, case }),
        Kind::String => {
            let needle = needle(name, value)?;
            Ok(match modifier {
                Modifier::Exact => Test::Exact(needle),
                Modifier::Contains => Test::Contains(needle),
                _ => Test::Begins(needle),
            })
        }
        Kind::Date => {
            let (prefix, text) = Prefix::split(value);
            let span = date::parse(text);
            span.map(|span| Test::Date(prefix, span)).ok_or_else(|| {
                bad(name, "a date is YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss+zz:zz, after a prefix")
            })
        }
        Kind::Number => {
            let (prefix, text) = Prefix::split(value);
            Ok(Test::Number(prefix, number(name, text)?, Unit::Any))
        }
        Kind::Quantity => quantity(name, value),
        Kind::Uri => {
            let uri = unescape(name, value)?;
            Ok(match modifier {
                Modifier::Below => Test::UriBelow(uri),
                Modifier::Above => Test::UriAbove(uri),
                _ => Test::Uri(uri),
            })
        }
        Kind::Reference if modifier == Modifier::Identifier => {
            Ok(Test::ReferenceIdentifier { token: token(name, value)?, case })
        }
        Kind::Reference => reference(name, modifier, value),
        Kind::Composite | Kind::Special => Err(refused(name, "this kind of parameter has no single value")),
    }
}

/// The parts of a text between separators that no backslash stands before. Escapes stay.
pub(super) fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    text.split(move |c: char| {
        let splits = c == separator && !escaped;
        escaped = c == '\\' && !escaped;
        splits
    })
}

/// The text without its escapes (R4 search, "escaping").
pub(super) fn unescape(name: &str, text: &str) -> Result<String, SearchError> {
    if !text.contains('\\') {
        return Ok(text.to_owned());
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        out.push(match c {
            '\\' => rest
                .next()
                .filter(|next| matches!(next, '\\' | '|' | ',' | '$'))
                .ok_or_else(|| bad(name, "a backslash stands before '\\', '|', ',' or '$' only"))?,
            _ => c,
        });
    }
    Ok(out)
}

fn needle(name: &str, value: &str) -> Result<Needle, SearchError> {
    Ok(Needle::new(unescape(name, value)?))
}

/// Reads `code`, `system|code`, `|code` or `system|`.
pub(super) fn token(name: &str, value: &str) -> Result<Token, SearchError> {
    let mut parts = split(value, '|').map(|part| unescape(name, part));
    let first = parts.next().unwrap_or_else(|| Ok(String::new()))?;
    let second = parts.next().transpose()?;
    if parts.next().is_some() {
        return Err(bad(name, "it has two bars; escape a bar in the value as '\\|'"));
    }
    let full = |text: String| Some(text).filter(|text| !text.is_empty());
    let token = match second {
        None => Token { system: TokenSystem::Any, value: full(first) },
        Some(code) if first.is_empty() => Token { system: TokenSystem::Absent, value: full(code) },
        Some(code) => return Ok(Token { system: TokenSystem::Is(first), value: full(code) }),
    };
    if token.value.is_none() { Err(bad(name, "it is empty; write system|code")) } else { Ok(token) }
}

fn of_type(name: &str, value: &str) -> Result<Test, SearchError> {
    let parts: Vec<String> = split(value, '|').map(|part| unescape(name, part)).collect::<Result<_, _>>()?;
    match <[String; 3]>::try_from(parts) {
        Ok([system, code, value]) if !code.is_empty() && !value.is_empty() => Ok(Test::OfType { system, code, value }),
        _ => Err(bad(name, "write type system|type code|value")),
    }
}

fn number(name: &str, text: &str) -> Result<Box<Asked>, SearchError> {
    Asked::parse(text)
        .map(Box::new)
        .ok_or_else(|| bad(name, "a number is like 5.4 or 1e3, after a prefix, with 34 digits at most"))
}

fn quantity(name: &str, value: &str) -> Result<Test, SearchError> {
    let parts: Vec<String> = split(value, '|').map(|part| unescape(name, part)).collect::<Result<_, _>>()?;
    let mut parts = parts.into_iter();
    let first = parts.next().unwrap_or_default();
    let (prefix, text) = Prefix::split(&first);
    let unit = match (parts.next(), parts.next(), parts.next()) {
        (None, ..) => Unit::Any,
        (Some(system), Some(code), None) => match (system.is_empty(), code.is_empty()) {
            (true, true) => Unit::Any,
            (true, false) => Unit::Named(code),
            (false, false) => Unit::Coded(system, code),
            (false, true) => return Err(bad(name, "write number|system|code or number||code")),
        },
        _ => return Err(bad(name, "write number, number|system|code or number||code")),
    };
    Ok(Test::Number(prefix, number(name, text)?, unit))
}

fn reference(name: &str, modifier: Modifier, value: &str) -> Result<Test, SearchError> {
    let text = unescape(name, value)?;
    if let Modifier::Type(resource_type) = modifier
        && let Some(key) = LocalKey::of(resource_type, &text)
    {
        return Ok(Test::Reference(Wanted::Local(key)));
    }
    let wanted = if text.contains(':') {
        Wanted::Url(text)
    } else if let Some(key) = LocalKey::parse(unversioned(&text)) {
        Wanted::Local(key)
    } else if text.parse::<crate::ResourceId>().is_ok() {
        Wanted::Id(text)
    } else {
        return Err(bad(name, "a reference is an id, Type/id or a URL"));
    };
    match (modifier, &wanted) {
        (Modifier::Type(resource_type), Wanted::Local(key)) if !key.is_of(resource_type) => {
            Err(bad(name, "the type in the value is not the type in the name"))
        }
        _ => Ok(Test::Reference(wanted)),
    }
}
