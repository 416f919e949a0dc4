//! Configuration: built-in defaults, then a TOML file, then environment variables, then flags;
//! the later wins. A key that nobody knows is an error that names its place and the nearest
//! known key. This is the only module of the project that reads the environment.
//!
//! A section of the configuration is a plain `Deserialize + Serialize + Default` struct; an absent
//! key has the value of `Default`. Two serde attributes defeat the check for unknown keys and are
//! not for use here: `flatten` and internally tagged enums.

mod blocks;
mod deserialize;
mod error;
mod layers;
mod quantity;

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use blocks::{
    AuditConfig, CaConfig, Color, DatabaseUrl, HealthConfig, KeysConfig, LimitsConfig, ListenConfig, LogConfig,
    LogFormat, ObjectsConfig, StoreConfig, TelemetryConfig,
};
pub use error::{ConfigError, Origin};
pub use quantity::{ByteCount, Interval};

/// A configuration and where it came from.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    /// The configuration.
    pub value: T,
    /// The file that was read, if one was given.
    pub path: Option<PathBuf>,
    origins: Vec<(String, Origin)>,
}

impl<T> Loaded<T> {
    /// Every key that is not a built-in default, dotted, with its place; for `doctor` and logs.
    /// Values are left out: some are secrets.
    pub fn origins(&self) -> impl Iterator<Item = (&str, &Origin)> {
        self.origins.iter().map(|(key, origin)| (key.as_str(), origin))
    }
}

/// Reads `path` (if given) and the environment variables that begin with `prefix`.
///
/// Variables are spelt in capitals, with two underscores between the parts of a nested key:
/// with the prefix `SEALWORT_BROKER_`, `SEALWORT_BROKER_LISTEN__ADDRESS` sets `listen.address`.
/// A list is written with commas between its items.
pub fn load<T>(path: Option<&Path>, prefix: &str) -> Result<Loaded<T>, ConfigError>
where
    T: DeserializeOwned + Serialize + Default,
{
    let mut sources = Sources::new().environment(prefix);
    if let Some(path) = path {
        sources = sources.file(path);
    }
    sources.load()
}

/// The places that a configuration is put together from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    file: Option<PathBuf>,
    variables: Vec<(String, String, String)>,
    flags: Vec<(String, String)>,
}

impl Sources {
    /// Nothing but the built-in defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a TOML file. It must exist.
    pub fn file(mut self, path: &Path) -> Self {
        self.file = Some(path.to_owned());
        self
    }

    /// Adds this process's environment variables that begin with `prefix`.
    pub fn environment(self, prefix: &str) -> Self {
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        self.variables(prefix, variables)
    }

    /// Adds variables from a list instead of the process's own, as tests do.
    pub fn variables(mut self, prefix: &str, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        for (name, value) in variables {
            if let Some(rest) = name.strip_prefix(prefix) {
                let key = rest.to_ascii_lowercase().replace("__", ".");
                self.variables.push((key, name, value));
            }
        }
        self.variables.sort();
        self
    }

    /// Adds one value from the command line. `key` is dotted: `listen.address`.
    pub fn flag(mut self, key: &str, value: impl Into<String>) -> Self {
        self.flags.push((key.to_owned(), value.into()));
        self
    }

    /// Puts the layers on top of each other and reads them into `T`.
    pub fn load<T>(self) -> Result<Loaded<T>, ConfigError>
    where
        T: DeserializeOwned + Serialize + Default,
    {
        let mut tree = layers::defaults(&T::default())?;
        if let Some(path) = &self.file {
            layers::overlay(&mut tree, layers::file(path)?);
        }
        for (key, variable, value) in self.variables {
            let origin = Origin::Variable { name: variable };
            layers::set(&mut tree, &key, value, &origin)?;
        }
        for (key, value) in self.flags {
            let origin = Origin::Flag { key: key.clone() };
            layers::set(&mut tree, &key, value, &origin)?;
        }
        let origins = layers::origins(&tree);
        Ok(Loaded { value: deserialize::read(tree)?, path: self.file, origins })
    }
}

/// Whether the user asked for output without colour (<https://no-color.org>).
pub fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

#[cfg(test)]
mod tests;
