//! A value held against a rule.

use super::{Entry, Key, Schema, Type};
use crate::cbor::{self, Value};

impl Schema {
    /// Checks a value against a rule.
    ///
    /// # Errors
    /// Where the value first departs from the rule.
    pub fn check(&self, rule: &str, value: &Value) -> Result<(), String> {
        let found = self.rule(rule).ok_or_else(|| format!("there is no rule {rule}"))?;
        self.matches(&found.body, value).map_err(|error| format!("{rule}: {error}"))
    }

    /// Checks the encoding of a value: deterministic, and as the rule says.
    ///
    /// # Errors
    /// As [`Schema::check`].
    pub fn check_bytes(&self, rule: &str, bytes: &[u8]) -> Result<(), String> {
        self.check(rule, &cbor::read(bytes).map_err(|error| format!("{rule}: {error}"))?)
    }

    fn matches(&self, body: &Type, value: &Value) -> Result<(), String> {
        match (body, value) {
            (Type::Choice(types), _) => {
                let tried: Vec<String> = types.iter().map_while(|one| self.matches(one, value).err()).collect();
                if tried.len() < types.len() { Ok(()) } else { Err(format!("none of: {}", tried.join("; "))) }
            }
            (Type::Int(expected), Value::Int(found)) if expected == found => Ok(()),
            (Type::Text(expected), Value::Text(found)) if expected == found => Ok(()),
            (Type::Bytes(expected), Value::Bytes(found)) if expected == found => Ok(()),
            (Type::Range(from, to), Value::Int(found)) if (from..=to).contains(&found) => Ok(()),
            (Type::Name(name), _) => self.named(name, value),
            (Type::Array(entries), Value::Array(items)) => self.array(entries, items),
            (Type::Map(entries), Value::Map(pairs)) => self.map(entries, pairs),
            (Type::Tagged(tag, inner), Value::Tag(found, item)) if tag == found => self.matches(inner, item),
            (Type::Control(target, control, argument), _) => {
                self.matches(target, value)?;
                self.controlled(control, argument, value)
            }
            _ => Err(format!("{} is not {}", short(value), expected(body))),
        }
    }

    fn named(&self, name: &str, value: &Value) -> Result<(), String> {
        let fits = match name {
            "uint" => matches!(value, Value::Int(found) if *found >= 0),
            "int" => matches!(value, Value::Int(_)),
            "bstr" => matches!(value, Value::Bytes(_)),
            "tstr" => matches!(value, Value::Text(_)),
            "bool" => matches!(value, Value::Bool(_)),
            "null" => matches!(value, Value::Null),
            _ => {
                let rule = self.rule(name).ok_or_else(|| format!("there is no rule {name}"))?;
                return self.matches(&rule.body, value).map_err(|error| format!("{name}: {error}"));
            }
        };
        if fits { Ok(()) } else { Err(format!("{} is not {name}", short(value))) }
    }

    /// Entries take items in order, each as many as it can.
    fn array(&self, entries: &[Entry], items: &[Value]) -> Result<(), String> {
        let mut left = items.iter().enumerate().peekable();
        for (place, entry) in entries.iter().enumerate() {
            let name = entry.name().map_or_else(|| place.to_string(), str::to_owned);
            let mut count = 0;
            let mut failed = None;
            while count < entry.most
                && let Some((_, item)) = left.peek()
            {
                if let Err(error) = self.matches(&entry.value, item) {
                    failed = Some(error);
                    break;
                }
                left.next();
                count += 1;
            }
            if count < entry.least {
                return Err(format!("{name}: {}", failed.unwrap_or_else(|| "too few items".to_owned())));
            }
            if let Some(error) = failed.filter(|_| entry.most == usize::MAX || place + 1 == entries.len()) {
                return Err(format!("{name}: {error}"));
            }
        }
        match left.next() {
            Some((place, item)) => Err(format!("item {place}, {}, is one too many", short(item))),
            None => Ok(()),
        }
    }

    fn map(&self, entries: &[Entry], pairs: &[(Value, Value)]) -> Result<(), String> {
        let mut taken = 0;
        for entry in entries {
            let fits = |key: &Value| match &entry.key {
                Some(Key::Bare(name)) => *key == Value::Text(name.clone()),
                Some(Key::Type(body)) => self.matches(body, key).is_ok(),
                None => false,
            };
            let found: Vec<_> = pairs.iter().filter(|(key, _)| fits(key)).collect();
            if found.len() < entry.least || found.len() > entry.most {
                return Err(format!("{:?} is there {} times", entry.key, found.len()));
            }
            taken += found.len();
            for (key, value) in found {
                self.matches(&entry.value, value).map_err(|error| format!("{}: {error}", short(key)))?;
            }
        }
        if taken == pairs.len() { Ok(()) } else { Err("it has a key too many".to_owned()) }
    }

    fn controlled(&self, control: &str, argument: &Type, value: &Value) -> Result<(), String> {
        match (control, value) {
            ("cbor", Value::Bytes(bytes)) => self.matches(argument, &cbor::read(bytes)?),
            ("size", Value::Int(found)) => match argument {
                Type::Int(width @ 1..=8) if found >> (8 * width) == 0 => Ok(()),
                _ => Err(format!("{found} is wider than {argument:?} bytes")),
            },
            ("size", Value::Bytes(_) | Value::Text(_)) => {
                let length = match value {
                    Value::Bytes(bytes) => bytes.len(),
                    Value::Text(text) => text.len(),
                    _ => 0,
                };
                let counted = Value::Int(i128::try_from(length).unwrap_or(i128::MAX));
                self.matches(argument, &counted).map_err(|_| format!("{length} bytes where {argument:?} are asked for"))
            }
            ("regexp", Value::Text(_)) => Ok(()),
            _ => Err(format!(".{control} of {}", short(value))),
        }
    }
}

fn short(value: &Value) -> String {
    let text = match value {
        Value::Bytes(bytes) => return format!("{} bytes", bytes.len()),
        Value::Array(items) => return format!("an array of {}", items.len()),
        other => format!("{other:?}"),
    };
    text.chars().take(60).collect()
}

fn expected(body: &Type) -> String {
    match body {
        Type::Array(_) => "the array expected".to_owned(),
        Type::Map(_) => "the map expected".to_owned(),
        other => format!("{other:?}").chars().take(60).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
; Section 1. Rust: Pair
pair = [first: word, second: uint .size 2, ? third: bstr .size (1..3)]
list = [1*2 pair]
word = "x" / "y"
colour = 0 / 1
nested = bstr .cbor colour
sealed = #6.18([h'0102', { 1 => -8 / -7, "n" => null }])
object = { name: tstr, ? age: 1..9 }
"#;

    fn array(items: &[Value]) -> Value {
        Value::Array(items.to_vec())
    }

    #[test]
    fn values_are_held_against_rules() {
        let schema = Schema::parse(TEXT).unwrap();
        assert_eq!(schema.rule("pair").unwrap().section(), Some("1"));
        assert_eq!(schema.rule("pair").unwrap().rust(), Some("Pair"));
        assert_eq!(schema.rule("list").unwrap().rust(), None);
        let (x, bytes, int) = (Value::Text("x".into()), |count| Value::Bytes(vec![0; count]), Value::Int);
        let pair = |rest: &[Value]| array(&[&[Value::Text("x".into())], rest].concat());
        let map = |pairs: &[(Value, Value)]| Value::Map(pairs.to_vec());
        let tagged = |key: i128, last: Value| {
            let inner = map(&[(int(1), int(key)), (Value::Text("n".into()), last)]);
            Value::Tag(18, Box::new(array(&[Value::Bytes(vec![1, 2]), inner])))
        };
        let named = |age: i128| map(&[(Value::Text("name".into()), x.clone()), (Value::Text("age".into()), int(age))]);
        let cases = [
            ("list", array(&[pair(&[int(65_535)])]), true),
            ("list", array(&[pair(&[int(1), bytes(3)]), pair(&[int(1)])]), true),
            ("list", array(&[]), false),
            ("list", array(&[pair(&[int(1)]), pair(&[int(1)]), pair(&[int(1)])]), false),
            ("list", array(&[pair(&[int(65_536)])]), false),
            ("list", array(&[pair(&[int(1), bytes(4)])]), false),
            ("list", array(&[pair(&[int(1), Value::Null])]), false),
            ("list", array(&[pair(&[])]), false),
            ("list", array(&[array(&[Value::Text("z".into()), int(1)])]), false),
            ("colour", int(1), true),
            ("colour", int(2), false),
            ("nested", Value::Bytes(vec![1]), true),
            ("nested", Value::Bytes(vec![2]), false),
            ("nested", Value::Bytes(vec![1, 1]), false),
            ("sealed", tagged(-8, Value::Null), true),
            ("sealed", tagged(-9, Value::Null), false),
            ("sealed", tagged(-8, Value::Bool(true)), false),
            ("object", named(9), true),
            ("object", map(&[(Value::Text("name".into()), x.clone())]), true),
            ("object", named(10), false),
            ("object", map(&[(Value::Text("nome".into()), x)]), false),
            ("nothing", int(1), false),
        ];
        for (rule, value, good) in cases {
            assert_eq!(schema.check(rule, &value).is_ok(), good, "{rule} {value:?}: {:?}", schema.check(rule, &value));
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for wrong in [
            "a = b",
            "a = b<c>",
            "a<b> = 1",
            "a = &(b: 1)",
            "a = 1\na = 2",
            "a = uint .lt 3",
            "a = [1",
            "a = 2..1",
            "a = ~b",
            "uint = 1",
        ] {
            assert!(Schema::parse(wrong).is_err(), "{wrong}");
        }
    }
}
