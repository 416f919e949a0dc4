//! Reads a tree of located values into a struct. Serde's derive tells which fields a struct has,
//! so unknown keys are found here, for every struct, with nothing to remember at its definition;
//! and it tells which type it wants, so a word from the environment becomes that type.

use std::collections::btree_map;
use std::fmt;
use std::vec;

use serde::de::value::StringDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::error::{ConfigError, Origin};
use super::layers::{Located, Value, join};

/// Reads the whole tree.
pub(super) fn read<T: DeserializeOwned>(tree: Located) -> Result<T, ConfigError> {
    T::deserialize(tree).map_err(Fault::into_error)
}

/// An error on its way up: each level adds its key, the lowest one gives the place.
#[derive(Debug)]
pub(super) struct Fault {
    origin: Option<Origin>,
    key: String,
    kind: FaultKind,
}

#[derive(Debug)]
pub(super) enum FaultKind {
    Message(String),
    UnknownKey { known: &'static [&'static str] },
}

impl Fault {
    fn inside(mut self, key: &str, origin: &Origin) -> Self {
        self.key = if self.key.is_empty() { key.to_owned() } else { join(key, &self.key) };
        self.origin.get_or_insert_with(|| origin.clone());
        self
    }

    fn into_error(self) -> ConfigError {
        let origin = self.origin.unwrap_or(Origin::Default);
        match self.kind {
            FaultKind::Message(message) => ConfigError::Value { origin, key: self.key, message },
            FaultKind::UnknownKey { known } => {
                let (section, last) = match self.key.rsplit_once('.') {
                    Some((section, last)) => (section, last),
                    None => ("", self.key.as_str()),
                };
                ConfigError::UnknownKey {
                    suggestion: nearest(last, known).map(|key| join(section, key)),
                    known: known.iter().map(|key| join(section, key)).collect(),
                    origin,
                    key: self.key,
                }
            }
        }
    }
}

/// The known key that a typing error most likely meant.
fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(key, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            FaultKind::Message(message) => out.write_str(message),
            FaultKind::UnknownKey { .. } => write!(out, "unknown key {}", self.key),
        }
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Fault { origin: None, key: String::new(), kind: FaultKind::Message(message.to_string()) }
    }
}

/// A number from a word, or from the file.
macro_rules! deserialize_number {
    ($($method:ident $type:ty => $visit:ident,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            match &self.value {
                Value::Word(word) => match word.trim().parse::<$type>() {
                    Ok(number) => visitor.$visit(number),
                    Err(error) => Err(de::Error::custom(format!("`{word}`: {error}"))),
                },
                _ => self.deserialize_any(visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Located {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            Value::Table(entries) => visitor.visit_map(Entries::new(entries)),
            Value::Array(items) => visitor.visit_seq(Items::new(items)),
            Value::Text(text) | Value::Word(text) => visitor.visit_string(text),
            Value::Integer(number) => visitor.visit_i64(number),
            Value::Float(number) => visitor.visit_f64(number),
            Value::Boolean(truth) => visitor.visit_bool(truth),
        }
    }

    deserialize_number! {
        deserialize_i8 i8 => visit_i8,
        deserialize_i16 i16 => visit_i16,
        deserialize_i32 i32 => visit_i32,
        deserialize_i64 i64 => visit_i64,
        deserialize_i128 i128 => visit_i128,
        deserialize_u8 u8 => visit_u8,
        deserialize_u16 u16 => visit_u16,
        deserialize_u32 u32 => visit_u32,
        deserialize_u64 u64 => visit_u64,
        deserialize_u128 u128 => visit_u128,
        deserialize_f32 f32 => visit_f32,
        deserialize_f64 f64 => visit_f64,
        deserialize_bool bool => visit_bool,
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.value {
            // An empty variable unsets an optional value: the environment has no other way.
            Value::Word(word) if word.is_empty() => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            Value::Word(word) => {
                let origin = self.origin;
                let items = word
                    .split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty())
                    .map(|item| Located { origin: origin.clone(), value: Value::Word(item.to_owned()) })
                    .collect();
                visitor.visit_seq(Items::new(items))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if let Value::Table(entries) = &self.value {
            for (key, entry) in entries {
                if !fields.contains(&key.as_str()) {
                    return Err(Fault {
                        origin: Some(entry.origin.clone()),
                        key: key.clone(),
                        kind: FaultKind::UnknownKey { known: fields },
                    });
                }
            }
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.value {
            Value::Text(text) | Value::Word(text) => {
                let text: StringDeserializer<Fault> = text.into_deserializer();
                visitor.visit_enum(text)
            }
            Value::Table(mut entries) => {
                // A variant chosen in an upper layer replaces the default one.
                if entries.len() > 1 {
                    entries.retain(|_, entry| entry.origin != Origin::Default);
                }
                match (entries.pop_first(), entries.is_empty()) {
                    (Some((name, value)), true) => visitor.visit_enum(Variant { name, value }),
                    _ => Err(de::Error::custom("expected exactly one of its keys")),
                }
            }
            _ => Err(de::Error::custom("expected a word")),
        }
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct tuple tuple_struct map identifier
        ignored_any
    }
}

struct Entries {
    entries: btree_map::IntoIter<String, Located>,
    next: Option<(String, Located)>,
}

impl Entries {
    fn new(entries: btree_map::BTreeMap<String, Located>) -> Self {
        Self { entries: entries.into_iter(), next: None }
    }
}

impl<'de> MapAccess<'de> for Entries {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some((key, value)) = self.entries.next() else {
            return Ok(None);
        };
        let read: StringDeserializer<Fault> = key.clone().into_deserializer();
        let read = seed.deserialize(read).map_err(|fault| fault.inside(&key, &value.origin))?;
        self.next = Some((key, value));
        Ok(Some(read))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let Some((key, value)) = self.next.take() else {
            return Err(de::Error::custom("value asked for before its key"));
        };
        let origin = value.origin.clone();
        seed.deserialize(value).map_err(|fault| fault.inside(&key, &origin))
    }
}

struct Items {
    items: std::iter::Enumerate<vec::IntoIter<Located>>,
}

impl Items {
    fn new(items: Vec<Located>) -> Self {
        Self { items: items.into_iter().enumerate() }
    }
}

impl<'de> SeqAccess<'de> for Items {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some((index, item)) = self.items.next() else {
            return Ok(None);
        };
        let origin = item.origin.clone();
        seed.deserialize(item).map(Some).map_err(|fault| fault.inside(&index.to_string(), &origin))
    }
}

/// An enum's variant with content, written as a table of one key.
struct Variant {
    name: String,
    value: Located,
}

impl Variant {
    fn read<T>(self, read: impl FnOnce(Located) -> Result<T, Fault>) -> Result<T, Fault> {
        let origin = self.value.origin.clone();
        read(self.value).map_err(|fault| fault.inside(&self.name, &origin))
    }
}

impl<'de> EnumAccess<'de> for Variant {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        let name: StringDeserializer<Fault> = self.name.clone().into_deserializer();
        let read = seed.deserialize(name).map_err(|fault| fault.inside(&self.name, &self.value.origin))?;
        Ok((read, self))
    }
}

impl<'de> VariantAccess<'de> for Variant {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        self.read(|_| Err(de::Error::custom("takes no value; write its name alone")))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        self.read(|value| seed.deserialize(value))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Fault> {
        self.read(|value| value.deserialize_seq(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        self.read(|value| value.deserialize_struct("", fields, visitor))
    }
}
