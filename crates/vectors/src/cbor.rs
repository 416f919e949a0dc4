//! CBOR shown in JSON, item by item and without knowing any message: arrays, unsigned integers, texts, booleans and
//! null as themselves, a byte string as `{"bytes": hex}`.

use minicbor::data::Type;
use minicbor::{Decoder, Encoder};
use serde_json::{Value, json};

/// Reads one item that is followed by nothing.
pub fn to_json(bytes: &[u8]) -> Value {
    let mut decoder = Decoder::new(bytes);
    let value = item(&mut decoder);
    assert_eq!(decoder.position(), bytes.len(), "bytes behind the item");
    value
}

fn item(decoder: &mut Decoder<'_>) -> Value {
    match decoder.datatype().unwrap() {
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => json!(decoder.u64().unwrap()),
        Type::Bytes => json!({ "bytes": hex::encode(decoder.bytes().unwrap()) }),
        Type::String => json!(decoder.str().unwrap()),
        Type::Bool => json!(decoder.bool().unwrap()),
        Type::Null => {
            decoder.null().unwrap();
            Value::Null
        }
        Type::Array => {
            let length = decoder.array().unwrap().expect("a definite length");
            (0..length).map(|_| item(decoder)).collect()
        }
        other => panic!("{other} is in no message"),
    }
}

/// Writes the item in deterministic form.
pub fn from_json(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut Encoder::new(&mut bytes), value);
    bytes
}

fn write(encoder: &mut Encoder<&mut Vec<u8>>, value: &Value) {
    match value {
        Value::Null => encoder.null().map(|_| ()),
        Value::Bool(value) => encoder.bool(*value).map(|_| ()),
        Value::Number(number) => encoder.u64(number.as_u64().expect("an unsigned integer")).map(|_| ()),
        Value::String(text) => encoder.str(text).map(|_| ()),
        Value::Array(items) => {
            encoder.array(items.len() as u64).unwrap();
            for item in items {
                write(encoder, item);
            }
            Ok(())
        }
        Value::Object(_) => {
            let bytes = hex::decode(value["bytes"].as_str().expect("bytes")).unwrap();
            encoder.bytes(&bytes).map(|_| ())
        }
    }
    .unwrap();
}

/// The same bytes with one place of the outermost arrays replaced: `path` counts from 0.
pub fn replaced(bytes: &[u8], path: &[usize], value: Value) -> Vec<u8> {
    let mut json = to_json(bytes);
    let mut place = &mut json;
    for index in path {
        place = &mut place[*index];
    }
    *place = value;
    from_json(&json)
}

/// A byte string as [`to_json`] shows it.
pub fn bytes(bytes: impl AsRef<[u8]>) -> Value {
    json!({ "bytes": hex::encode(bytes) })
}
