//! A reader of deterministic CBOR (RFC 8949, section 4.2.1), so that the vectors are judged by other code than the one
//! that wrote them. It knows what the protocol uses: no floating point numbers and no indefinite lengths.

/// A CBOR data item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// An integer of major type 0 or 1.
    Int(i128),
    /// A byte string.
    Bytes(Vec<u8>),
    /// A text string.
    Text(String),
    /// An array.
    Array(Vec<Value>),
    /// A map, in the order written.
    Map(Vec<(Value, Value)>),
    /// A tagged item.
    Tag(u64, Box<Value>),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
}

/// Reads one item and nothing after it.
///
/// # Errors
/// What is wrong, in words.
pub fn read(bytes: &[u8]) -> Result<Value, String> {
    let mut reader = Reader { rest: bytes };
    let value = reader.item(0)?;
    if reader.rest.is_empty() { Ok(value) } else { Err(format!("{} bytes follow the item", reader.rest.len())) }
}

/// The same of a JSON value (RFC 8610, appendix E). Numbers are integers here.
///
/// # Errors
/// A number that is no unsigned integer.
pub fn from_json(value: &serde_json::Value) -> Result<Value, String> {
    Ok(match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::Number(number) => {
            Value::Int(number.as_u64().ok_or_else(|| format!("{number} is no unsigned integer"))?.into())
        }
        serde_json::Value::String(text) => Value::Text(text.clone()),
        serde_json::Value::Array(items) => Value::Array(items.iter().map(from_json).collect::<Result<_, _>>()?),
        serde_json::Value::Object(members) => {
            let pair =
                |(name, value): (&String, &serde_json::Value)| Ok((Value::Text(name.clone()), from_json(value)?));
            Value::Map(members.iter().map(pair).collect::<Result<_, String>>()?)
        }
    })
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn take(&mut self, count: u64) -> Result<Vec<u8>, String> {
        let count = usize::try_from(count).map_err(|_| "a length beyond memory")?;
        let (taken, rest) = self.rest.split_at_checked(count).ok_or("it ends early")?;
        self.rest = rest;
        Ok(taken.to_vec())
    }

    /// Major type and argument; the argument has its shortest form.
    fn head(&mut self) -> Result<(u8, u8, u64), String> {
        let first = self.take(1)?[0];
        let (major, info) = (first >> 5, first & 0x1f);
        let width = match info {
            0..=23 => return Ok((major, info, info.into())),
            24..=27 => 1u64 << (info - 24),
            _ => return Err(format!("additional information {info}")),
        };
        let argument = self.take(width)?.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
        let least = if width == 1 { 24 } else { 1u64 << (width * 4) };
        if major != 7 && argument < least {
            return Err(format!("{argument} is not in its shortest form"));
        }
        Ok((major, info, argument))
    }

    fn item(&mut self, depth: usize) -> Result<Value, String> {
        if depth > DEPTH_MAX {
            return Err("it is nested too deeply".to_owned());
        }
        let (major, info, argument) = self.head()?;
        Ok(match major {
            0 => Value::Int(argument.into()),
            1 => Value::Int(-1 - i128::from(argument)),
            2 => Value::Bytes(self.take(argument)?),
            3 => Value::Text(String::from_utf8(self.take(argument)?).map_err(|_| "a text is not UTF-8")?),
            4 => Value::Array((0..argument).map(|_| self.item(depth + 1)).collect::<Result<_, _>>()?),
            5 => {
                let pairs: Result<Vec<_>, String> =
                    (0..argument).map(|_| Ok((self.item(depth + 1)?, self.item(depth + 1)?))).collect();
                Value::Map(pairs?)
            }
            6 => Value::Tag(argument, Box::new(self.item(depth + 1)?)),
            _ => match info {
                20 => Value::Bool(false),
                21 => Value::Bool(true),
                22 => Value::Null,
                other => return Err(format!("simple value or number {other}, which the protocol does not use")),
            },
        })
    }
}

const DEPTH_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_read_in_their_one_form() {
        let read_hex = |text: &str| {
            let bytes: Vec<u8> =
                (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect();
            read(&bytes)
        };
        let int = Value::Int;
        assert_eq!(read_hex("8207420102"), Ok(Value::Array(vec![int(7), Value::Bytes(vec![1, 2])])));
        assert_eq!(read_hex("1903e8"), Ok(int(1000)));
        assert_eq!(read_hex("27"), Ok(int(-8)));
        assert_eq!(read_hex("1bffffffffffffffff"), Ok(int(u64::MAX.into())));
        assert_eq!(read_hex("d2a10165"), Err("it ends early".to_owned()));
        assert_eq!(
            read_hex("d2a1016161"),
            Ok(Value::Tag(18, Box::new(Value::Map(vec![(int(1), Value::Text("a".into()))]))))
        );
        assert_eq!(read_hex("83f5f4f6"), Ok(Value::Array(vec![Value::Bool(true), Value::Bool(false), Value::Null])));
        for bad in ["1807", "190017", "1a0000ffff", "1b00000000ffffffff", "9f07ff", "5f4101ff", "0700", "f97e00", "82"]
        {
            assert!(read_hex(bad).is_err(), "{bad}");
        }
    }
}
