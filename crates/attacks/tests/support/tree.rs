//! CBOR (RFC 8949) as a tree, without knowing any message: what an attacker takes apart, alters and puts together
//! again. A byte string that is itself a message (a share in its envelope, a statement's payload) is taken apart too.

use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    Uint(u64),
    Negative(i64),
    Bytes(Vec<u8>),
    /// A byte string that holds a message.
    Nested(Box<Node>),
    Text(String),
    Array(Vec<Node>),
    Map(Vec<(Node, Node)>),
    Tag(u64, Box<Node>),
    Bool(bool),
    Null,
}

/// The way to a node: which child at each level.
pub type Path = Vec<usize>;

impl Node {
    /// Reads a message; `None` for what is no CBOR of definite lengths, or has anything behind it.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut decoder = Decoder::new(bytes);
        let node = read(&mut decoder)?;
        (decoder.position() == bytes.len()).then_some(node)
    }

    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new());
        self.write(&mut encoder);
        encoder.into_writer()
    }

    /// Every node below and including this one, by its path.
    pub fn walk(&self) -> Vec<(Path, &Self)> {
        let mut found = vec![(Path::new(), self)];
        for (place, child) in self.children().into_iter().enumerate() {
            found.extend(child.walk().into_iter().map(|(mut path, node)| {
                path.insert(0, place);
                (path, node)
            }));
        }
        found
    }

    fn children(&self) -> Vec<&Self> {
        match self {
            Self::Array(items) => items.iter().collect(),
            Self::Map(items) => items.iter().flat_map(|(key, value)| [key, value]).collect(),
            Self::Nested(inner) | Self::Tag(_, inner) => vec![inner],
            _ => Vec::new(),
        }
    }

    /// The node at a path.
    pub fn at(&self, path: &[usize]) -> Option<&Self> {
        match path {
            [] => Some(self),
            [place, rest @ ..] => self.children().get(*place)?.at(rest),
        }
    }

    /// The node at a path, to be altered.
    pub fn at_mut(&mut self, path: &[usize]) -> Option<&mut Self> {
        let [place, rest @ ..] = path else { return Some(self) };
        let child = match self {
            Self::Array(items) => items.get_mut(*place)?,
            Self::Map(items) => {
                let (key, value) = items.get_mut(place / 2)?;
                if place % 2 == 0 { key } else { value }
            }
            Self::Nested(inner) | Self::Tag(_, inner) => inner,
            _ => return None,
        };
        child.at_mut(rest)
    }

    fn write(&self, encoder: &mut Encoder<Vec<u8>>) {
        let written = match self {
            Self::Uint(n) => encoder.u64(*n).map(|_| ()),
            Self::Negative(n) => encoder.i64(*n).map(|_| ()),
            Self::Bytes(bytes) => encoder.bytes(bytes).map(|_| ()),
            Self::Nested(inner) => encoder.bytes(&inner.bytes()).map(|_| ()),
            Self::Text(text) => encoder.str(text).map(|_| ()),
            Self::Bool(value) => encoder.bool(*value).map(|_| ()),
            Self::Null => encoder.null().map(|_| ()),
            Self::Array(items) => {
                let begun = encoder.array(items.len() as u64).map(|_| ());
                for item in items {
                    item.write(encoder);
                }
                begun
            }
            Self::Map(items) => {
                let begun = encoder.map(items.len() as u64).map(|_| ());
                for (key, value) in items {
                    key.write(encoder);
                    value.write(encoder);
                }
                begun
            }
            Self::Tag(tag, inner) => {
                let begun = encoder.tag(minicbor::data::Tag::new(*tag)).map(|_| ());
                inner.write(encoder);
                begun
            }
        };
        written.expect("writing to memory");
    }
}

fn read(decoder: &mut Decoder<'_>) -> Option<Node> {
    Some(match decoder.datatype().ok()? {
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => Node::Uint(decoder.u64().ok()?),
        Type::I8 | Type::I16 | Type::I32 | Type::I64 => Node::Negative(decoder.i64().ok()?),
        Type::Bytes => {
            let bytes = decoder.bytes().ok()?;
            match nested(bytes) {
                Some(inner) => Node::Nested(Box::new(inner)),
                None => Node::Bytes(bytes.to_vec()),
            }
        }
        Type::String => Node::Text(decoder.str().ok()?.to_owned()),
        Type::Bool => Node::Bool(decoder.bool().ok()?),
        Type::Null => {
            decoder.null().ok()?;
            Node::Null
        }
        Type::Array => {
            let length = decoder.array().ok()??;
            Node::Array((0..length).map(|_| read(decoder)).collect::<Option<_>>()?)
        }
        Type::Map => {
            let length = decoder.map().ok()??;
            Node::Map((0..length).map(|_| Some((read(decoder)?, read(decoder)?))).collect::<Option<_>>()?)
        }
        Type::Tag => Node::Tag(decoder.tag().ok()?.as_u64(), Box::new(read(decoder)?)),
        _ => return None,
    })
}

/// What a byte string holds, when that is an array, a map or a tagged value in the one form that it has. Random bytes
/// pass for a message now and then; altering them as one is as good as any other way.
fn nested(bytes: &[u8]) -> Option<Node> {
    let inner = Node::read(bytes)?;
    let holds = match &inner {
        Node::Array(items) => !items.is_empty(),
        Node::Map(items) => !items.is_empty(),
        Node::Tag(..) => true,
        _ => false,
    };
    (holds && inner.bytes() == bytes).then_some(inner)
}
