//! What can be wrong with a configuration, and where. All of it is for the operator to mend.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The program's own default.
    Default,
    /// A line of the configuration file, counted from 1.
    File {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// An environment variable.
    Variable {
        /// Its name.
        name: String,
    },
    /// A value given on the command line.
    Flag {
        /// The dotted key that it sets.
        key: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => out.write_str("built-in default"),
            Origin::File { path, line } => write!(out, "{}:{line}", path.display()),
            Origin::Variable { name } => write!(out, "environment variable {name}"),
            Origin::Flag { key } => write!(out, "command line ({key})"),
        }
    }
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read configuration file {path}: {source}", path = path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The file is larger than any configuration.
    #[error("configuration file {path} is larger than {limit} bytes; is it the right file?", path = path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// The file is not TOML.
    #[error("{origin}: not valid TOML: {message}")]
    Syntax {
        /// Where.
        origin: Origin,
        /// What the parser expected.
        message: String,
    },
    /// A key that no part of the program reads.
    #[error("{origin}: unknown key `{key}`{}", hint(suggestion.as_deref(), known))]
    UnknownKey {
        /// Where.
        origin: Origin,
        /// The dotted key.
        key: String,
        /// The nearest known key, if one is near.
        suggestion: Option<String>,
        /// The keys that are known in this place.
        known: Vec<String>,
    },
    /// A value of the wrong type or out of its range.
    #[error("{origin}: `{key}`: {message}")]
    Value {
        /// Where.
        origin: Origin,
        /// The dotted key.
        key: String,
        /// What is wrong with it.
        message: String,
    },
    /// The program's own defaults cannot be written as TOML: a fault of the program.
    #[error("built-in defaults cannot be represented: {message}")]
    Defaults {
        /// What the serializer said.
        message: String,
    },
}

fn hint(suggestion: Option<&str>, known: &[String]) -> String {
    match suggestion {
        Some(key) => format!("; did you mean `{key}`?"),
        None if known.is_empty() => String::new(),
        None => format!("; known here: {}", known.join(", ")),
    }
}
