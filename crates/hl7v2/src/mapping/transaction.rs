//! The transaction being built (R4 `Bundle`, http "transaction"): every entry is conditional on a business
//! identifier, so that a message sent twice changes nothing the second time. It knows nothing of HL7 v2.

use std::collections::HashMap;
use std::fmt::Write;

use serde_json::{Value, json};

use super::element::Element;
use crate::refused::Refused;

/// Most entries of a transaction.
pub const ENTRIES_MAX: usize = 20_000;

/// Longest part of a key that is taken as it is, in bytes; longer ones are shortened to a digest.
const KEY_PART_BYTES_MAX: usize = 64;

/// The identifier that a request is conditional on.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// The namespace, a URI.
    pub(crate) system: String,
    /// The value in it.
    pub(crate) value: String,
}

impl Key {
    /// A key made of several parts.
    pub(crate) fn of(system: String, parts: &[&str]) -> Self {
        let part = |part: &&str| match part {
            part if part.len() <= KEY_PART_BYTES_MAX => part.replace('/', "_"),
            part => format!("{:032x}", fnv_128(part.as_bytes())),
        };
        Self { system, value: parts.iter().map(part).collect::<Vec<_>>().join("/") }
    }

    /// The key as a part of another one.
    pub(crate) fn joined(&self) -> String {
        format!("{}~{}", self.system, self.value)
    }

    /// The key as the value of a search, `system|value`.
    pub(crate) fn token(&self) -> String {
        format!("{}|{}", self.system, self.escaped())
    }

    /// In a search `\`, `|`, `,` and `$` of a value are escaped (R4 search, "escaping").
    fn escaped(&self) -> String {
        let mut value = String::new();
        for letter in self.value.chars() {
            if matches!(letter, '\\' | '|' | ',' | '$') {
                value.push('\\');
            }
            value.push(letter);
        }
        value
    }

    fn search(&self) -> String {
        let value = self.escaped();
        format!("identifier={}%7C{}", percent(&self.system), percent(&value))
    }
}

/// What a request does where the server holds the resource already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    /// The message is the newest state: `PUT` on a search.
    Replace,
    /// The message only mentions it: `POST` with `ifNoneExist`.
    Keep,
}

/// Entries and the identities they have.
pub(crate) struct Transaction {
    seed: u64,
    entries: Vec<Value>,
    known: HashMap<(String, Key), Value>,
    repeated: HashMap<(String, Key), usize>,
}

impl Transaction {
    /// A transaction whose temporary ids follow from `seed`, so that the same message gives the same bytes.
    pub(crate) fn new(seed: &[u8]) -> Self {
        // The lower half: enough to differ, and the entry's number makes it unique in the Bundle.
        let seed = u64::try_from(fnv_128(seed) & u128::from(u64::MAX)).unwrap_or_default();
        Self { seed, entries: Vec::new(), known: HashMap::new(), repeated: HashMap::new() }
    }

    /// Adds a resource under its key and gives back a reference to it. A second one that may be kept is the
    /// first; a second one that replaces is another resource and gets a number of its own.
    pub(crate) fn add(&mut self, mut resource: Element, key: Key, existing: Existing) -> Result<Value, Refused> {
        let kind = kind_of(&resource);
        let mut identity = (kind, key);
        if let Some(reference) = self.known.get(&identity) {
            if existing == Existing::Keep {
                return Ok(reference.clone());
            }
            let count = self.repeated.entry(identity.clone()).and_modify(|count| *count += 1).or_insert(2);
            identity.1.value = format!("{}/{count}", identity.1.value);
        }
        if self.entries.len() >= ENTRIES_MAX {
            return Err(Refused::TooManyResources { limit: ENTRIES_MAX });
        }
        let (kind, key) = &identity;
        identify(&mut resource, key);
        let url = format!("urn:uuid:{}", self.uuid());
        let request = match existing {
            Existing::Replace => json!({"method": "PUT", "url": format!("{kind}?{}", key.search())}),
            Existing::Keep => json!({"method": "POST", "url": kind, "ifNoneExist": key.search()}),
        };
        self.entries.push(json!({"fullUrl": url, "resource": Value::from(resource), "request": request}));
        let reference = json!({"reference": url});
        self.known.insert(identity, reference.clone());
        Ok(reference)
    }

    /// The reference to what was added under a resource's type and key.
    pub(crate) fn known(&self, resource: &Element, key: &Key) -> Option<Value> {
        self.known.get(&(kind_of(resource), key.clone())).cloned()
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The Bundle.
    pub(crate) fn finish(self) -> Vec<u8> {
        json!({"resourceType": "Bundle", "type": "transaction", "entry": self.entries}).to_string().into_bytes()
    }

    /// A UUID of version 8, whose bits are the maker's (RFC 9562 section 5.8).
    fn uuid(&self) -> String {
        let number = self.entries.len() + 1;
        let (high, low) = (self.seed >> 32, self.seed & 0xFFFF_FFFF);
        format!("{high:08x}-{:04x}-8{:03x}-8000-{number:012x}", low >> 16, low & 0xFFF)
    }
}

fn kind_of(resource: &Element) -> String {
    resource.member("resourceType").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Adds the key to the resource's identifiers, so that the next search finds it.
fn identify(resource: &mut Element, key: &Key) {
    let is_key = |identifier: &Value| {
        identifier.get("system").and_then(Value::as_str) == Some(&key.system)
            && identifier.get("value").and_then(Value::as_str) == Some(&key.value)
    };
    let present = resource.member("identifier").and_then(Value::as_array).is_some_and(|list| list.iter().any(is_key));
    if !present {
        resource.push("identifier", json!({"system": key.system, "value": key.value}));
    }
}

/// Percent-encodes all but the unreserved characters (RFC 3986 section 2.3) and those of a URI's path.
pub(crate) fn percent(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' | b'/' => {
                encoded.push(char::from(byte));
            }
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

/// FNV-1a, 128 bits: it names things apart and protects nothing.
fn fnv_128(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash, byte| {
        (hash ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013B)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(value: &str) -> Key {
        Key { system: "urn:id:A".to_owned(), value: value.to_owned() }
    }

    fn urls(transaction: Transaction) -> Vec<String> {
        let bundle: Value = serde_json::from_slice(&transaction.finish()).unwrap();
        let entries = bundle["entry"].as_array().unwrap();
        let text = |entry: &Value| {
            let request = &entry["request"];
            format!("{} {}", request["method"], request["url"]).replace('"', "")
        };
        entries.iter().map(text).collect()
    }

    #[test]
    fn a_second_one_is_kept_or_numbered() {
        let mut transaction = Transaction::new(b"1");
        let mut add = |kind, value, existing| transaction.add(Element::resource(kind), key(value), existing).unwrap();
        let first = add("Location", "1", Existing::Keep);
        assert_eq!(add("Location", "1", Existing::Keep), first);
        assert_ne!(add("Location", "2", Existing::Keep), first);
        assert_ne!(add("Patient", "1", Existing::Replace), first);
        let observation = add("Observation", "1", Existing::Replace);
        assert_ne!(add("Observation", "1", Existing::Replace), observation);
        assert_ne!(add("Observation", "1", Existing::Replace), observation);
        assert_eq!(
            urls(transaction),
            [
                "POST Location",
                "POST Location",
                "PUT Patient?identifier=urn:id:A%7C1",
                "PUT Observation?identifier=urn:id:A%7C1",
                "PUT Observation?identifier=urn:id:A%7C1/2",
                "PUT Observation?identifier=urn:id:A%7C1/3",
            ]
        );
    }

    #[test]
    fn searches_are_escaped() {
        for (value, expected) in [
            ("a|b,c", "identifier=urn:id:A%7Ca%5C%7Cb%5C%2Cc"),
            ("a&_x=1 ü", "identifier=urn:id:A%7Ca%26_x%3D1%20%C3%BC"),
            ("a\\$", "identifier=urn:id:A%7Ca%5C%5C%5C%24"),
        ] {
            assert_eq!(key(value).search(), expected);
        }
        let long = Key::of(String::new(), &["a/b", &"x".repeat(KEY_PART_BYTES_MAX + 1)]).value;
        assert!(long.starts_with("a_b/") && long.len() == 36, "{long}");
    }

    #[test]
    fn a_transaction_has_a_limit() {
        let mut transaction = Transaction::new(b"");
        for number in 0..ENTRIES_MAX {
            transaction.add(Element::resource("Basic"), key(&number.to_string()), Existing::Keep).unwrap();
        }
        let refused = transaction.add(Element::resource("Basic"), key("x"), Existing::Keep);
        assert_eq!(refused.unwrap_err(), Refused::TooManyResources { limit: ENTRIES_MAX });
    }
}
