//! Log events on standard error, as text or JSON lines. No patient data passes here: what may
//! be logged is decided where it is logged.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{Color, LogConfig, LogFormat, no_color};
use crate::secret_file::SecretFileError;

/// Why logging could not be set up: a fault of the configuration, or of calling it twice.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not understood.
    #[error("log.filter `{filter}` is not understood: {reason}; write it like `info` or `info,sealwort_net=debug`")]
    Filter {
        /// What was given.
        filter: String,
        /// What the parser said.
        reason: String,
    },
    /// The collector of traces.
    #[error("telemetry.endpoint or telemetry.ca_file: {0}")]
    Collector(String),
    /// Less is to be kept than a trace may have.
    #[error("telemetry.keep is too little to hold traces; it is 64KiB at the least, or 0B for none")]
    Keep,
    /// The key under which a gateway keeps what clients call their requests.
    #[error(transparent)]
    Names(#[from] SecretFileError),
    /// Logging was set up before in this process.
    #[error("logging is set up already: {0}")]
    AlreadySet(String),
}

/// Sends this process's log events to standard error as `config` says. To be called once.
pub fn init(config: &LogConfig) -> Result<(), TelemetryError> {
    let filter = EnvFilter::builder()
        .parse(&config.filter)
        .map_err(|error| TelemetryError::Filter { filter: config.filter.clone(), reason: error.to_string() })?;
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colored(config.color));
    match config.format {
        LogFormat::Text => builder.try_init(),
        // The innermost span alone: it has the ids of trace and span, and those around it are the same trace.
        LogFormat::Json => builder.json().with_span_list(false).try_init(),
    }
    .map_err(|error| TelemetryError::AlreadySet(error.to_string()))
}

/// Whether standard error gets colours.
pub fn colored(color: Color) -> bool {
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => std::io::stderr().is_terminal() && !no_color(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_filter_that_is_not_understood_is_named() {
        let config = LogConfig { filter: "sealwort_net=loud".to_owned(), ..LogConfig::default() };
        let refused = init(&config).unwrap_err().to_string();
        assert!(refused.contains("sealwort_net=loud"), "{refused}");
    }
}
