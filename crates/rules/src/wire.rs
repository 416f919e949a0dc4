//! The types of the code that are encoded: their names, fields and field types, as their derive attributes say. A
//! scanner and no parser, like [`crate::source`].

use crate::source::Source;

/// A type that is encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireType {
    /// Its name.
    pub name: String,
    /// The file.
    pub path: String,
    /// What it looks like.
    pub shape: Shape,
}

/// What an encoded type looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// A struct: an array of its fields, or an object of them.
    Record(Vec<Field>),
    /// An enum whose cases carry fields: `[number, [fields]]`.
    Choice(Vec<Case>),
    /// An enum that is its number.
    Enumeration(Vec<Case>),
    /// An identifier of so many bytes.
    Identifier(usize),
}

/// A field in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name; `None` in a tuple.
    pub name: Option<String>,
    /// Its Rust type, as written.
    pub rust: String,
}

/// A case of an enum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// Its number.
    pub number: u64,
    /// Its fields.
    pub fields: Vec<Field>,
}

/// How types are marked for encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marked {
    /// With minicbor's derive, or by hand with `impl Encode<C> for`.
    Cbor,
    /// With serde's derive.
    Json,
}

/// The encoded types of a source, tests excepted.
///
/// # Panics
/// When a field's number is not its place, or a type cannot be read.
pub fn wire_types(source: &Source, marked: Marked) -> Vec<WireType> {
    let text = source.code.join("\n");
    let derive = match marked {
        Marked::Cbor => "Encode",
        Marked::Json => "Serialize",
    };
    let mut found = Vec::new();
    for keyword in ["struct ", "enum "] {
        for (at, _) in text.match_indices(keyword) {
            let before = &text[..at];
            if !before.trim_end_matches(' ').ends_with(['\n', ')', 'b', ']']) && at > 0 {
                continue;
            }
            // Everything since the item before: attributes and visibility.
            let attributes = &before[before.rfind(['}', ';']).map_or(0, |end| end + 1)..];
            let after = &text[at + keyword.len()..];
            let name: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let derived = attributes
                .match_indices("derive(")
                .filter_map(|(start, _)| attributes[start..].split(')').next())
                .any(|list| crate::source::names(list, derive));
            let by_hand = marked == Marked::Cbor && text.contains(&format!("Encode<C> for {name} {{"));
            let Some(open) = after.find('{').filter(|open| !after[..*open].contains([';', '('])) else { continue };
            if !derived && !by_hand {
                continue;
            }
            let pieces = split(inside(&after[open..]));
            let shape = if keyword == "struct " {
                Shape::Record(fields(&pieces, marked == Marked::Cbor && derived, &name))
            } else if attributes.contains("index_only") {
                Shape::Enumeration(cases(&pieces, &name))
            } else {
                Shape::Choice(cases(&pieces, &name))
            };
            found.push(WireType { name, path: source.path.clone(), shape });
        }
    }
    if marked == Marked::Cbor {
        found.extend(identifiers(source, &text));
    }
    found
}

/// `byte_id!(Name, 32);`
fn identifiers(source: &Source, text: &str) -> Vec<WireType> {
    let calls = text.match_indices("byte_id!(").filter_map(|(at, call)| text[at + call.len()..].split(')').next());
    calls
        .filter_map(|call| {
            let (name, length) = call.split_once(',')?;
            let shape = Shape::Identifier(length.trim().parse().ok()?);
            Some(WireType { name: name.trim().to_owned(), path: source.path.clone(), shape })
        })
        .collect()
}

fn fields(pieces: &[String], numbered: bool, owner: &str) -> Vec<Field> {
    let read = pieces.iter().enumerate().map(|(place, piece)| {
        let (number, declared) = attribute(piece);
        assert!(!numbered || number == Some(place as u64), "{owner}: field {place} is {number:?}");
        match declared.split_once(':').filter(|(name, _)| name.chars().all(|c| c.is_alphanumeric() || c == '_')) {
            Some((name, rust)) => Field { name: Some(name.to_owned()), rust: rust.trim().to_owned() },
            None => Field { name: None, rust: declared },
        }
    });
    read.collect()
}

fn cases(pieces: &[String], owner: &str) -> Vec<Case> {
    let read = pieces.iter().map(|piece| {
        let (number, rest) = attribute(piece);
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric()).collect();
        let body = rest[name.len()..].trim();
        let inner = if body.is_empty() { Vec::new() } else { split(inside(body)) };
        Case {
            number: number.unwrap_or_else(|| panic!("{owner}::{name} has no number")),
            fields: fields(&inner, true, &format!("{owner}::{name}")),
            name,
        }
    });
    read.collect()
}

/// The number in `#[n(3)]`, and what follows attributes and visibility.
fn attribute(piece: &str) -> (Option<u64>, String) {
    let mut rest = piece.trim();
    let mut number = None;
    while let Some(attribute) = rest.strip_prefix("#[") {
        let end = attribute.find(']').expect("an attribute ends");
        if let Some(digits) = attribute[..end].strip_prefix("n(") {
            number = digits.trim_end_matches(')').parse().ok();
        }
        rest = attribute[end + 1..].trim();
    }
    for visibility in ["pub(crate)", "pub(super)", "pub"] {
        rest = rest.strip_prefix(visibility).map_or(rest, str::trim);
    }
    (number, rest.to_owned())
}

/// What stands between the bracket that opens a text and the one that closes it.
fn inside(text: &str) -> &str {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => {
                depth -= 1;
                if depth == 0 {
                    return &text[1..at];
                }
            }
            _ => {}
        }
    }
    panic!("a bracket is not closed");
}

/// Splits at commas outside brackets of any kind.
fn split(text: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut depth = 0i32;
    for c in text.chars() {
        match c {
            '{' | '(' | '[' | '<' => depth += 1,
            '}' | ')' | ']' | '>' => depth -= 1,
            ',' if depth == 0 => {
                pieces.push(String::new());
                continue;
            }
            _ => {}
        }
        pieces.last_mut().expect("there is always one").push(c);
    }
    pieces
        .into_iter()
        .map(|piece| piece.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|p| !p.is_empty())
        .collect()
}

/// `SubHalf` as `sub-half`, `for_archive` as `for-archive`.
pub fn kebab(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c == '_' {
            out.push('-');
        } else if c.is_uppercase() {
            if !out.is_empty() {
                out.push('-');
            }
            out.extend(c.to_lowercase());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::code;

    #[test]
    fn encoded_types_are_found_with_their_fields() {
        let text = r"
/// A comment, with struct Nothing { }.
#[derive(Debug, Encode, Decode)]
#[cbor(array)]
pub struct Pair<'a> {
    /// First.
    #[n(0)]
    pub(crate) first: Vec<Vec<Blob>>,
    #[n(1)]
    r: Option<Box<Other>>,
}
struct Plain { a: u8 }
#[derive(Encode)]
pub enum Choice { #[n(0)] None, #[n(1)] Tuple(#[n(0)] Vec<u8>), #[n(2)] Fields { #[n(0)] name: String } }
#[derive(minicbor::Encode)]
#[cbor(index_only)]
enum Colour { #[n(0)] Red, #[n(1)] Blue }
byte_id!(
    /// An id.
    Id, 32
);
struct Hand { x: u64 }
impl<C> Encode<C> for Hand { }
#[derive(Serialize)]
struct Json { a: String }
#[cfg(test)]
mod tests {
    #[derive(Encode)]
    struct Hidden { #[n(0)] x: u8 }
}
";
        let source = Source { path: "a.rs".into(), text: text.into(), code: code(text), only_tests: false };
        let found = wire_types(&source, Marked::Cbor);
        let names: Vec<_> = found.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["Pair", "Hand", "Choice", "Colour", "Id"]);
        let field = |name: Option<&str>, rust: &str| Field { name: name.map(str::to_owned), rust: rust.to_owned() };
        let shape = |name: &str| found.iter().find(|t| t.name == name).unwrap().shape.clone();
        assert_eq!(
            shape("Pair"),
            Shape::Record(vec![field(Some("first"), "Vec<Vec<Blob>>"), field(Some("r"), "Option<Box<Other>>")])
        );
        let case = |name: &str, number, fields| Case { name: name.into(), number, fields };
        assert_eq!(
            shape("Choice"),
            Shape::Choice(vec![
                case("None", 0, vec![]),
                case("Tuple", 1, vec![field(None, "Vec<u8>")]),
                case("Fields", 2, vec![field(Some("name"), "String")]),
            ])
        );
        assert_eq!(shape("Colour"), Shape::Enumeration(vec![case("Red", 0, vec![]), case("Blue", 1, vec![])]));
        assert_eq!(shape("Id"), Shape::Identifier(32));
        assert_eq!(shape("Hand"), Shape::Record(vec![field(Some("x"), "u64")]));
        assert_eq!(wire_types(&source, Marked::Json)[0].name, "Json");
        assert_eq!(kebab("NotLocated"), "not-located");
        assert_eq!(kebab("for_archive"), "for-archive");
    }
}
