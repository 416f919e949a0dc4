//! Configuration (`crates/net`, `config`): a TOML file, environment variables and flags on top of the defaults. Not from
//! a peer, but whoever writes it must get a named error and never a crash; what was read can be written and read again.

use std::path::PathBuf;

use sealwort_net::config::{CaConfig, ConfigError, LimitsConfig, ListenConfig, LogConfig, Sources};
use serde::{Deserialize, Serialize};

use crate::input::Input;
use crate::mutation::alter;

/// The sections that all services have in common.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Sections {
    listen: ListenConfig,
    ca: CaConfig,
    limits: LimitsConfig,
    log: LogConfig,
}

/// Reads a configuration: a file, or lines `key=value` as flags or as variables; the first byte chooses.
///
/// # Panics
/// When what was read is not the same once written and read again, or an error says nothing.
pub fn configuration(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let how = input.byte();
    let content = if how >= 128 {
        let script = Input::new(input.bytes());
        alter(input.rest().to_vec(), script, &[])
    } else {
        input.rest().to_vec()
    };
    let text = String::from_utf8_lossy(&content);
    let pairs = || text.lines().filter_map(|line| line.split_once('='));
    let read = match how % 4 {
        0 | 3 => from_file(&content),
        1 => pairs().fold(Sources::new(), |sources, (key, value)| sources.flag(key, value)).load::<Sections>(),
        _ => {
            let variables = pairs().map(|(key, value)| (format!("P_{key}"), value.to_owned()));
            Sources::new().variables("P_", variables).load::<Sections>()
        }
    };
    match read {
        Ok(read) => {
            // TOML has no whole numbers beyond 63 bits; a flag may.
            let Ok(written) = toml::to_string(&read.value) else { return };
            let again = from_file(written.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{written}"));
            assert_eq!(again.value, read.value);
            assert!(read.origins().all(|(key, origin)| !key.is_empty() && !origin.to_string().is_empty()));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn from_file(content: &[u8]) -> Result<sealwort_net::config::Loaded<Sections>, ConfigError> {
    thread_local!(static FILE: PathBuf = {
        let name = format!("sealwort-configuration-{}-{:?}.toml", std::process::id(), std::thread::current().id());
        std::env::temp_dir().join(name)
    });
    FILE.with(|path| {
        std::fs::write(path, content).expect("a file");
        let read = Sources::new().file(path).load();
        std::fs::remove_file(path).expect("the file");
        read
    })
}
