//! Names of users and their sessions, and the means to make further kinds of names. Each has its type and its alphabet, so
//! that none can stand in another's place or carry something into a header, a URL or a log.

/// Longest identifier, in bytes.
pub const IDENTIFIER_BYTES_MAX: usize = 128;

/// The text is not an identifier of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadIdentifier(&'static str);

impl BadIdentifier {
    /// The rule that the text breaks.
    pub const fn new(rule: &'static str) -> Self {
        Self(rule)
    }
}

/// Types for names: for each its documentation, its name, what a text must be like, and that rule in words.
#[macro_export]
macro_rules! identifiers {
    ($($(#[$doc:meta])* $name:ident: $sound:expr, $rule:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::identifier::BadIdentifier;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let sound: fn(&str) -> bool = $sound;
                if sound(text) { Ok(Self(text.into())) } else { Err($crate::identifier::BadIdentifier::new($rule)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::identifier::BadIdentifier;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.into()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

/// Names that logs may show.
#[macro_export]
macro_rules! print_identifiers {
    ($($name:ident)*) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({:?})", stringify!($name), self.0)
            }
        }
    )*};
}

identifiers! {
    /// A user, as the hospital or the operator knows them.
    UserName: is_line, "a user name has 1 to 128 characters in one line";
    /// What a user is, such as `physician`.
    Role: is_line, "a role has 1 to 128 characters in one line";
    /// One session of a person who signed in at a provider.
    SessionId: is_word, "a session id has 1 to 128 printable ASCII characters and no space, quote or backslash";
}

print_identifiers! { UserName Role SessionId }

/// Printable ASCII without space, quote and backslash, of a bounded length.
pub fn is_word(text: &str) -> bool {
    let byte = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    (1..=IDENTIFIER_BYTES_MAX).contains(&text.len()) && text.bytes().all(byte)
}

/// One line without white space around it, of a bounded length.
pub fn is_line(text: &str) -> bool {
    (1..=IDENTIFIER_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control) && text.trim() == text
}
