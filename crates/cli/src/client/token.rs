//! The bearer token: from the environment, from a file that its owner alone can read, or from standard input;
//! never from the command line, which others can see.

use std::io::Read;
use std::path::Path;

use http::HeaderValue;
use sealwort_net::secret_file;
use zeroize::Zeroizing;

use crate::error::CliError;

/// The token given, or the one in a file; `-` is standard input.
pub(super) fn read(given: String, file: &Path) -> Result<Option<Zeroizing<String>>, CliError> {
    if !given.is_empty() {
        return Ok(Some(Zeroizing::new(given)));
    }
    if file.as_os_str().is_empty() {
        return Ok(None);
    }
    let bytes = if file.as_os_str() == "-" {
        let mut bytes = Zeroizing::new(Vec::with_capacity(TOKEN_BYTES_MAX + 1));
        // Nothing else goes on before the token is there.
        let input = std::io::stdin().lock();
        input
            .take(TOKEN_BYTES_MAX as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| CliError::Local(format!("cannot read the token from standard input: {error}")))?;
        bytes
    } else {
        secret_file::read(file)?
    };
    let text = std::str::from_utf8(&bytes).ok().map(str::trim).filter(|text| !text.is_empty());
    let text = text.filter(|text| text.len() <= TOKEN_BYTES_MAX).ok_or_else(|| {
        CliError::Local(format!("{} holds no token; make one: sealwort gateway token", file.display()))
    })?;
    Ok(Some(Zeroizing::new(text.to_owned())))
}

/// The header's value.
pub(super) fn bearer(token: &str) -> Result<HeaderValue, CliError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| CliError::Local("the token has characters that no token has".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

const TOKEN_BYTES_MAX: usize = 4096;
