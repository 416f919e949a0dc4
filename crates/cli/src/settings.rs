//! The configuration of each role: where its file lies, which environment variables and flags cover it, and
//! the commented file that a new folder begins with. What the options mean is told in `config/`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use sealwort_net::config::{CaConfig, KeysConfig, Loaded, LogConfig, Sources, StoreConfig};
use sealwort_pki::Role;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::ca::CaServiceConfig;
use crate::error::CliError;

/// Where a configuration comes from.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SettingsArgs {
    /// Configuration file. Without it, the file named after the role in DIR is read, if there is one.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Data folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Set one option, such as `log.filter=debug`. May be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<Setting>,
}

/// One option set on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    key: String,
    value: String,
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                Ok(Self { key: key.trim().to_owned(), value: value.trim().to_owned() })
            }
            _ => Err("write it like listen.address=127.0.0.1:8441".to_owned()),
        }
    }
}

/// The configuration of a role.
pub(crate) trait RoleConfig: Serialize + DeserializeOwned + Default {
    /// The role.
    const ROLE: Role;
    /// Environment variables begin with this.
    const ENVIRONMENT: &str;
    /// The option that `--listen` sets.
    const LISTEN_KEY: &str;
    /// The commented file.
    const TEMPLATE: &str;

    /// The data folder.
    fn folder(&self) -> &Path;
    /// Where the audit log lies.
    fn audit_folder(&self) -> Option<&Path>;
    /// What is logged.
    fn log(&self) -> &LogConfig;
    /// Where the certificate authority is; none for the authority itself.
    fn ca(&self) -> Option<&CaConfig>;
    /// Whom it connects to: role, name, address.
    fn peer(&self) -> Option<(Role, &str, &str)>;
    /// Which database it keeps its data in; none for who has a folder alone.
    fn store(&self) -> Option<&StoreConfig> {
        None
    }
    /// The token that may hold its key-encryption key; none for who has a folder alone.
    fn keys(&self) -> Option<&KeysConfig> {
        None
    }
}

impl RoleConfig for CaServiceConfig {
    const ROLE: Role = Role::Ca;
    const ENVIRONMENT: &str = "SEALWORT_CA__";
    const LISTEN_KEY: &str = "listen.address";
    const TEMPLATE: &str = include_str!("../../../config/ca.toml");

    fn folder(&self) -> &Path {
        &self.folder
    }

    fn audit_folder(&self) -> Option<&Path> {
        Some(self.audit.folder_in(&self.folder))
    }

    fn log(&self) -> &LogConfig {
        &self.log
    }

    fn ca(&self) -> Option<&CaConfig> {
        None
    }

    fn peer(&self) -> Option<(Role, &str, &str)> {
        None
    }
}

impl RoleConfig for sealwort_broker::Config {
    const ROLE: Role = Role::Broker;
    const ENVIRONMENT: &str = "SEALWORT_BROKER__";
    const LISTEN_KEY: &str = "listen.address";
    const TEMPLATE: &str = include_str!("../../../config/broker.toml");

    fn folder(&self) -> &Path {
        &self.folder
    }

    fn audit_folder(&self) -> Option<&Path> {
        Some(self.audit.folder_in(&self.folder))
    }

    fn log(&self) -> &LogConfig {
        &self.log
    }

    fn ca(&self) -> Option<&CaConfig> {
        Some(&self.ca)
    }

    fn peer(&self) -> Option<(Role, &str, &str)> {
        Some((Role::Archive, &self.archive.name, &self.archive.url))
    }

    fn store(&self) -> Option<&StoreConfig> {
        Some(&self.store)
    }

    fn keys(&self) -> Option<&KeysConfig> {
        Some(&self.keys)
    }
}

impl RoleConfig for sealwort_archive::Config {
    const ROLE: Role = Role::Archive;
    const ENVIRONMENT: &str = "SEALWORT_ARCHIVE__";
    const LISTEN_KEY: &str = "listen.address";
    const TEMPLATE: &str = include_str!("../../../config/archive.toml");

    fn folder(&self) -> &Path {
        &self.folder
    }

    fn audit_folder(&self) -> Option<&Path> {
        Some(self.audit.folder_in(&self.folder))
    }

    fn log(&self) -> &LogConfig {
        &self.log
    }

    fn ca(&self) -> Option<&CaConfig> {
        Some(&self.ca)
    }

    // Brokers come to the archive.
    fn peer(&self) -> Option<(Role, &str, &str)> {
        None
    }

    fn store(&self) -> Option<&StoreConfig> {
        Some(&self.store)
    }

    fn keys(&self) -> Option<&KeysConfig> {
        Some(&self.keys)
    }
}

impl RoleConfig for sealwort_gateway::Config {
    const ROLE: Role = Role::Gateway;
    const ENVIRONMENT: &str = "SEALWORT_GATEWAY__";
    const LISTEN_KEY: &str = "fhir.address";
    const TEMPLATE: &str = include_str!("../../../config/gateway.toml");

    fn folder(&self) -> &Path {
        &self.folder
    }

    fn audit_folder(&self) -> Option<&Path> {
        Some(self.audit.folder_in(&self.folder))
    }

    fn log(&self) -> &LogConfig {
        &self.log
    }

    fn ca(&self) -> Option<&CaConfig> {
        Some(&self.ca)
    }

    fn peer(&self) -> Option<(Role, &str, &str)> {
        Some((Role::Broker, &self.broker.name, &self.broker.url))
    }
}

impl SettingsArgs {
    /// The configuration of a role: defaults, file, environment, flags.
    pub(crate) fn load<T: RoleConfig>(&self) -> Result<Loaded<T>, CliError> {
        self.load_with::<T>(&[])
    }

    /// The same, with further options from the command line.
    pub(crate) fn load_with<T: RoleConfig>(&self, flags: &[(&str, String)]) -> Result<Loaded<T>, CliError> {
        let mut sources = Sources::new().environment(T::ENVIRONMENT);
        if let Some(file) = self.file(T::ROLE) {
            sources = sources.file(&file);
        }
        if let Some(dir) = &self.dir {
            sources = sources.flag("folder", text_of(dir)?);
        }
        for (key, value) in flags {
            sources = sources.flag(key, value);
        }
        for Setting { key, value } in &self.set {
            sources = sources.flag(key, value);
        }
        Ok(sources.load()?)
    }

    /// The file that is read for a role.
    fn file(&self, role: Role) -> Option<PathBuf> {
        self.config.clone().or_else(|| {
            let file = file_in(self.dir.as_deref()?, role);
            file.is_file().then_some(file)
        })
    }
}

/// The role's configuration file in its data folder.
pub(crate) fn file_in(folder: &Path, role: Role) -> PathBuf {
    folder.join(format!("{role}.toml"))
}

/// Puts a role's commented configuration file into its new folder, with these options filled in: section (empty
/// for the top), key and value. A file that is there is left alone.
pub(crate) fn write_template(folder: &Path, role: Role, values: &[(&str, &str, String)]) -> Result<PathBuf, CliError> {
    let template = match role {
        Role::Ca => CaServiceConfig::TEMPLATE,
        Role::Broker => sealwort_broker::Config::TEMPLATE,
        Role::Archive => sealwort_archive::Config::TEMPLATE,
        Role::Gateway => sealwort_gateway::Config::TEMPLATE,
    };
    let file = file_in(folder, role);
    if !file.exists() {
        std::fs::write(&file, filled(template, values))
            .map_err(|error| CliError::Local(format!("cannot write {}: {error}", file.display())))?;
    }
    Ok(file)
}

/// A path as configuration can hold it.
pub(crate) fn text_of(path: &Path) -> Result<String, CliError> {
    let absolute = std::path::absolute(path)
        .map_err(|error| CliError::Local(format!("cannot resolve {}: {error}", path.display())))?;
    absolute
        .into_os_string()
        .into_string()
        .map_err(|path| CliError::Local(format!("{} is not UTF-8; choose another path", path.display())))
}

/// Every option of a configuration, dotted, with its value; absent ones are null.
pub(crate) fn options(config: &impl Serialize) -> Result<Vec<(String, Value)>, CliError> {
    let tree = serde_json::to_value(config).map_err(|error| CliError::Local(error.to_string()))?;
    let mut found = Vec::new();
    flatten(String::new(), tree, &mut found);
    Ok(found)
}

fn flatten(path: String, value: Value, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                let path = if path.is_empty() { key } else { format!("{path}.{key}") };
                flatten(path, value, found);
            }
        }
        value => found.push((path, value)),
    }
}

fn filled(template: &str, values: &[(&str, &str, String)]) -> String {
    let mut section = "";
    let mut text = String::with_capacity(template.len());
    for line in template.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
        }
        let key = line.split_once(" = ").map(|(key, _)| key);
        // Writing to a string cannot fail.
        let _ = match values.iter().find(|(of, name, _)| *of == section && Some(*name) == key) {
            // JSON's escapes are those of a TOML basic string.
            Some((_, name, value)) => writeln!(text, "{name} = {}", Value::from(value.as_str())),
            None => writeln!(text, "{line}"),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::collections::BTreeSet;

    use super::*;

    fn check<T: RoleConfig>() {
        let role = T::ROLE;
        let place = tempfile::tempdir().unwrap();
        let file = file_in(place.path(), role);
        std::fs::write(&file, T::TEMPLATE).unwrap();
        let loaded: Loaded<T> = Sources::new().file(&file).load().unwrap_or_else(|error| panic!("{error}"));
        let (found, defaults) = (options(&loaded.value).unwrap(), options(&T::default()).unwrap());
        assert_eq!(found, defaults, "{role}.toml differs from the defaults");
        let written: BTreeSet<&str> = loaded.origins().map(|(key, _)| key).collect();
        for (key, value) in &defaults {
            let name = key.rsplit('.').next().unwrap();
            let there = match value {
                // TOML has no null: an option without a default stands as a comment.
                Value::Null => T::TEMPLATE.contains(&format!("\n# {name} = ")),
                _ => written.contains(key.as_str()),
            };
            assert!(there, "{role}.toml lacks {key}");
        }
        let lines: Vec<&str> = T::TEMPLATE.lines().collect();
        for (number, pair) in lines.windows(2).enumerate() {
            if let [above, line] = pair {
                let is_option = line.contains(" = ") || line.starts_with('[');
                assert!(!is_option || above.starts_with("# "), "{role}.toml:{}: no comment", number + 2);
            }
        }
    }

    #[test]
    fn the_files_in_config_have_every_option_and_its_default() {
        check::<CaServiceConfig>();
        check::<sealwort_broker::Config>();
        check::<sealwort_archive::Config>();
        check::<sealwort_gateway::Config>();
    }

    #[test]
    fn a_template_is_filled_in_and_reads_back() {
        let place = tempfile::tempdir().unwrap();
        let values = [("", "folder", "/a \"b\"".to_owned()), ("ca", "url", "https://[::1]:1".to_owned())];
        let file = write_template(place.path(), Role::Broker, &values).unwrap();
        let args = SettingsArgs { config: Some(file), ..SettingsArgs::default() };
        let config = args.load::<sealwort_broker::Config>().unwrap().value;
        assert_eq!(config.folder, Path::new("/a \"b\""));
        assert_eq!(
            (config.ca.url.as_str(), config.archive.url.as_str()),
            ("https://[::1]:1", "https://127.0.0.1:8442")
        );
    }

    #[test]
    fn flags_cover_the_file_in_the_folder() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(file_in(place.path(), Role::Archive), "folder = \"/elsewhere\"\nlog.filter = \"warn\"\n")
            .unwrap();
        let args = SettingsArgs {
            dir: Some(place.path().to_owned()),
            set: vec!["log.format=json".parse().unwrap()],
            ..SettingsArgs::default()
        };
        let config = args.load::<sealwort_archive::Config>().unwrap().value;
        assert_eq!(config.folder, place.path());
        assert_eq!(config.log.filter, "warn");
        assert_eq!(config.log.format, sealwort_net::config::LogFormat::Json);
        assert!("nothing".parse::<Setting>().is_err());
    }
}
