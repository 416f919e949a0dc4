//! Business identifiers of patients and the token form in which a search names them. An identifier
//! is personal data: it has no `Debug` that shows it and belongs in no log.

use std::fmt;

use crate::Resource;

/// Longest search value taken in, in bytes.
pub const TOKEN_BYTES_MAX: usize = 1024;
/// Most values, separated by commas, in one search parameter.
pub const TOKEN_VALUES_MAX: usize = 100;
/// Before these a backslash stands (R4 search, "escaping").
const ESCAPED: [char; 4] = ['\\', '|', ',', '$'];

/// An `Identifier`: the part that tells one patient from another.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identifier {
    /// The namespace, a URI.
    pub system: Option<String>,
    /// The value, unique in its namespace. Never empty.
    pub value: String,
}

impl Identifier {
    /// As a search names it, [`parse_token`] the other way round: what separates there is escaped.
    pub fn token(&self) -> String {
        let escaped = |part: &str| {
            let mut text = String::with_capacity(part.len());
            for letter in part.chars() {
                if ESCAPED.contains(&letter) {
                    text.push('\\');
                }
                text.push(letter);
            }
            text
        };
        format!("{}|{}", escaped(self.system.as_deref().unwrap_or_default()), escaped(&self.value))
    }
}

/// `system|value`, for deriving a locator; not for logs.
impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{}", self.system.as_deref().unwrap_or_default(), self.value)
    }
}

impl fmt::Debug for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identifier([redacted])")
    }
}

/// The identifiers of a Patient (or of any resource with `identifier`), in the order of the
/// document, those without a value left out.
pub fn patient_identifiers(patient: &Resource) -> Vec<Identifier> {
    let Ok(value) = patient.json() else {
        return Vec::new();
    };
    let list = match value.get("identifier") {
        Some(serde_json::Value::Array(list)) => list.as_slice(),
        Some(one @ serde_json::Value::Object(_)) => std::slice::from_ref(one),
        _ => &[],
    };
    let text = |identifier: &serde_json::Value, member: &str| {
        identifier.get(member).and_then(|v| v.as_str()).filter(|v| !v.trim().is_empty()).map(str::to_owned)
    };
    list.iter()
        .filter_map(|identifier| {
            Some(Identifier { system: text(identifier, "system"), value: text(identifier, "value")? })
        })
        .collect()
}

/// What a token search says about the system (R4 search, "token").
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum TokenSystem {
    /// `value`: any system or none.
    Any,
    /// `|value`: no system.
    Absent,
    /// `system|value`: this system.
    Is(String),
}

/// One value of a token search.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Token {
    /// What is asked of the system.
    pub system: TokenSystem,
    /// The value asked for; nothing for `system|`, which takes every value of the system.
    pub value: Option<String>,
}

impl Token {
    /// Whether an identifier is what the token asks for.
    pub fn matches(&self, identifier: &Identifier) -> bool {
        let system = match &self.system {
            TokenSystem::Any => true,
            TokenSystem::Absent => identifier.system.is_none(),
            TokenSystem::Is(system) => identifier.system.as_deref() == Some(system),
        };
        system && self.value.as_ref().is_none_or(|value| *value == identifier.value)
    }

    /// The identifier, when the token names exactly one: system and value, or value without system.
    pub fn identifier(&self) -> Option<Identifier> {
        let value = self.value.clone()?;
        match &self.system {
            TokenSystem::Any => None,
            TokenSystem::Absent => Some(Identifier { system: None, value }),
            TokenSystem::Is(system) => Some(Identifier { system: Some(system.clone()), value }),
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token([redacted])")
    }
}

/// Reads one token: `value`, `system|value`, `|value` or `system|`, percent-decoded already. A
/// backslash escapes `\`, `|`, `,` and `$` (R4 search, "escaping").
///
/// # Errors
/// [`crate::FhirError::BadToken`] when it is empty, too long, holds several values or bars, or ends in a
/// backslash.
pub fn parse_token(text: &str) -> Result<Token, crate::FhirError> {
    let mut tokens = parse_token_list(text)?;
    match (tokens.pop(), tokens.is_empty()) {
        (Some(token), true) => Ok(token),
        _ => Err(wrong("one value is expected here; escape a comma as '\\,'")),
    }
}

/// Reads a list of tokens separated by commas: an identifier matches the list when it matches one.
///
/// # Errors
/// As [`parse_token`].
pub fn parse_token_list(text: &str) -> Result<Vec<Token>, crate::FhirError> {
    if text.len() > TOKEN_BYTES_MAX {
        return Err(wrong("it is longer than 1024 bytes"));
    }
    let mut tokens = Vec::new();
    let (mut system, mut part) = (None, String::new());
    let mut rest = text.chars();
    loop {
        match rest.next() {
            Some('\\') => match rest.next() {
                Some(c) if ESCAPED.contains(&c) => part.push(c),
                _ => {
                    return Err(wrong("a backslash stands before '\\', '|', ',' or '$' only"));
                }
            },
            Some('|') if system.is_none() => system = Some(std::mem::take(&mut part)),
            Some('|') => return Err(wrong("it has two bars; escape a bar in the value as '\\|'")),
            end @ (Some(',') | None) => {
                tokens.push(token(system.take(), std::mem::take(&mut part))?);
                if tokens.len() > TOKEN_VALUES_MAX {
                    return Err(wrong("it lists more than 100 values"));
                }
                if end.is_none() {
                    return Ok(tokens);
                }
            }
            Some(c) => part.push(c),
        }
    }
}

fn token(system: Option<String>, value: String) -> Result<Token, crate::FhirError> {
    let value = Some(value).filter(|value| !value.is_empty());
    let system = match system {
        None => TokenSystem::Any,
        Some(system) if system.is_empty() => TokenSystem::Absent,
        Some(system) => TokenSystem::Is(system),
    };
    if value.is_none() && !matches!(system, TokenSystem::Is(_)) {
        return Err(wrong("it is empty; write system|value"));
    }
    Ok(Token { system, value })
}

fn wrong(reason: &'static str) -> crate::FhirError {
    crate::FhirError::BadToken { reason }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    fn identifier(system: Option<&str>, value: &str) -> Identifier {
        Identifier { system: system.map(str::to_owned), value: value.to_owned() }
    }

    #[test]
    fn identifiers_of_a_patient() {
        for (body, expected) in [
            (
                r#""identifier":[{"system":"s","value":"1"},{"value":"2","use":"old"},{"system":"t"},{"value":" "},{"value":7},"x"]"#,
                vec![identifier(Some("s"), "1"), identifier(None, "2")],
            ),
            (r#""identifier":{"system":"s","value":"1"}"#, vec![identifier(Some("s"), "1")]),
            (r#""identifier":"1""#, vec![]),
            (r#""active":true"#, vec![]),
        ] {
            let text = format!("{{\"resourceType\":\"Patient\",{body}}}");
            let patient = Resource::parse(text.into_bytes()).unwrap();
            assert!(patient_identifiers(&patient) == expected, "{body}");
        }
    }

    #[test]
    fn token_forms() {
        let is = |system: &str, value: Option<&str>| Token {
            system: TokenSystem::Is(system.to_owned()),
            value: value.map(str::to_owned),
        };
        let value = |system, value: &str| Token { system, value: Some(value.to_owned()) };
        for (text, expected) in [
            ("https://h.example/mrn|7", is("https://h.example/mrn", Some("7"))),
            ("7", value(TokenSystem::Any, "7")),
            ("|7", value(TokenSystem::Absent, "7")),
            ("s|", is("s", None)),
            (r"s|a\|b\,c\$d\\e", is("s", Some(r"a|b,c$d\e"))),
        ] {
            assert!(parse_token(text).unwrap() == expected, "{text}");
        }
        for text in ["", "|", "a|b|c", "a\\", "a\\b", "a,b", "a,", &"a".repeat(TOKEN_BYTES_MAX + 1)] {
            assert_eq!(parse_token(text).unwrap_err().code(), "bad-token", "{text}");
        }
        for (system, value) in [(Some("urn:x"), r"a|b,c$d\e"), (Some("a|b"), "7"), (None, ",")] {
            let identifier = Identifier { system: system.map(str::to_owned), value: value.to_owned() };
            assert!(parse_token(&identifier.token()).unwrap().identifier() == Some(identifier), "{value}");
        }
        assert_eq!(parse_token_list("s|1,2,|3").unwrap().len(), 3);
        assert!(parse_token_list(&"1,".repeat(TOKEN_VALUES_MAX + 1)).is_err());
    }

    #[test]
    fn token_matching() {
        for (token, with, without, other) in [
            ("s|1", true, false, false),
            ("1", true, true, true),
            ("|1", false, true, false),
            ("s|", true, false, false),
            ("s|2", false, false, false),
        ] {
            let token = parse_token(token).unwrap();
            assert_eq!(token.matches(&identifier(Some("s"), "1")), with);
            assert_eq!(token.matches(&identifier(None, "1")), without);
            assert_eq!(token.matches(&identifier(Some("t"), "1")), other);
        }
    }

    #[test]
    fn logs_show_no_identifier() {
        let shown = format!("{:?} {:?}", identifier(Some("s"), "12345"), parse_token("s|12345").unwrap());
        assert!(!shown.contains("12345"));
    }
}
