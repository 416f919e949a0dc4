//! Who a party is: its exchange, its role and its name, and the one URI that
//! says all three. Nothing here is believed yet; [`crate::Trust`] does that.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The longest exchange or party name, in bytes.
pub const NAME_BYTES_MAX: usize = 63;

/// Name of an exchange: `[a-z0-9][a-z0-9-]{0,62}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeName(Box<str>);

/// Name of a party, unique in its exchange and role: `[a-z0-9][a-z0-9-]{0,62}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartyName(Box<str>);

/// What a party may do. The paper's acronyms are accepted when read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The certificate authority.
    Ca,
    /// The broker (HTSC).
    Broker,
    /// The archive (HIMC).
    Archive,
    /// A hospital's gateway (LHC).
    Gateway,
}

/// A party of an exchange, written `sealwort://<exchange>/<role>/<name>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The exchange it belongs to.
    pub exchange: ExchangeName,
    /// What it may do there.
    pub role: Role,
    /// Which one of that role it is.
    pub name: PartyName,
}

/// A text is not a name, a role or an identity.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IdentityError {
    /// A name breaks `[a-z0-9][a-z0-9-]{0,62}`.
    #[error("{0:?} is not a name: use 1 to 63 lower-case letters, digits and hyphens, not starting with a hyphen")]
    Name(String),
    /// No such role.
    #[error("{0:?} is not a role: use ca, broker (htsc), archive (himc) or gateway (lhc)")]
    Role(String),
    /// Not an identity URI.
    #[error("{0:?} is not an identity: it is written sealwort://<exchange>/<role>/<name>")]
    Uri(String),
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Ca, Self::Broker, Self::Archive, Self::Gateway];

    /// The one canonical spelling, as in the identity URI.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ca => "ca",
            Self::Broker => "broker",
            Self::Archive => "archive",
            Self::Gateway => "gateway",
        }
    }
}

impl FromStr for Role {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "ca" => Ok(Self::Ca),
            "broker" | "htsc" => Ok(Self::Broker),
            "archive" | "himc" => Ok(Self::Archive),
            "gateway" | "lhc" => Ok(Self::Gateway),
            other => Err(IdentityError::Role(shortened(other))),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Identity {
    /// The party `name` with `role` in `exchange`.
    pub const fn new(exchange: ExchangeName, role: Role, name: PartyName) -> Self {
        Self { exchange, role, name }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}/{}", self.exchange, self.role, self.name)
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || IdentityError::Uri(shortened(text));
        let rest = text.strip_prefix(SCHEME).ok_or_else(wrong)?;
        let mut parts = rest.split('/');
        let (Some(exchange), Some(role), Some(name), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong());
        };
        let identity = Self::new(exchange.parse()?, role.parse()?, name.parse()?);
        // A role alias would give one party two spellings.
        if role == identity.role.as_str() { Ok(identity) } else { Err(wrong()) }
    }
}

/// Both names have one grammar; the types keep them apart.
macro_rules! name {
    ($type:ident) => {
        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = IdentityError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                if is_name(text) { Ok(Self(text.into())) } else { Err(IdentityError::Name(shortened(text))) }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
name!(ExchangeName);
name!(PartyName);

/// Written as their text wherever they appear in JSON or a configuration file.
macro_rules! as_text {
    ($($type:ident),+) => {$(
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}
as_text!(ExchangeName, PartyName, Role, Identity);

fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= NAME_BYTES_MAX && text.bytes().all(allowed) && text.bytes().next().is_some_and(|first| first != b'-')
}

/// Enough of a wrong text to recognise it; a peer does not choose our log size.
fn shortened(text: &str) -> String {
    text.chars().take(SHOWN_CHARACTERS_MAX).collect()
}

const SCHEME: &str = "sealwort://";
const SHOWN_CHARACTERS_MAX: usize = 80;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_keep_their_grammar() {
        let longest = "a".repeat(NAME_BYTES_MAX);
        let too_long = "a".repeat(NAME_BYTES_MAX + 1);
        for (text, good) in [
            ("a", true),
            ("st-mary-2", true),
            ("7", true),
            (longest.as_str(), true),
            ("", false),
            (too_long.as_str(), false),
            ("-a", false),
            ("A", false),
            ("a_b", false),
            ("a.b", false),
            ("a/b", false),
            ("a b", false),
            ("ä", false),
        ] {
            assert_eq!(text.parse::<PartyName>().is_ok(), good, "{text:?}");
            assert_eq!(text.parse::<ExchangeName>().is_ok(), good, "{text:?}");
        }
    }

    #[test]
    fn roles_accept_the_acronyms_of_the_paper() {
        for (text, role) in [
            ("ca", Role::Ca),
            ("broker", Role::Broker),
            ("htsc", Role::Broker),
            ("archive", Role::Archive),
            ("himc", Role::Archive),
            ("gateway", Role::Gateway),
            ("lhc", Role::Gateway),
        ] {
            assert_eq!(text.parse(), Ok(role));
        }
        assert_eq!("Broker".parse::<Role>(), Err(IdentityError::Role("Broker".into())));
    }

    #[test]
    fn identities_have_one_spelling() {
        for role in Role::ALL {
            let uri = format!("sealwort://demo/{role}/st-mary");
            assert_eq!(uri.parse::<Identity>().unwrap().to_string(), uri);
        }
        for wrong in [
            "",
            "sealwort://demo/gateway",
            "sealwort://demo/gateway/a/b",
            "sealwort://demo/gateway/",
            "sealwort://demo/lhc/a",
            "sealwort://demo/doctor/a",
            "sealwort://Demo/gateway/a",
            "Sealwort://demo/gateway/a",
            "sealwort://demo/gateway/a?b",
            " sealwort://demo/gateway/a",
        ] {
            assert!(wrong.parse::<Identity>().is_err(), "{wrong:?}");
        }
    }
}
