//! The TLS side of a client of an https gateway. Its certificate is the site's own, so what it is checked against
//! is the caller's to name; the exchange's certificates are for the hops behind it.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::error::CliError;

/// TLS towards a gateway with a certificate of the site's own.
pub(super) fn connector(cacert: &Path) -> Result<TlsConnector, CliError> {
    if cacert.as_os_str().is_empty() {
        return Err(CliError::Local(
            "an https gateway needs --cacert FILE: the PEM file of whoever issued its certificate".to_owned(),
        ));
    }
    let unusable = |reason: String| CliError::Local(format!("{}: {reason}", cacert.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(cacert).map_err(|error| unusable(error.to_string()))? {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("it holds no certificate".to_owned()));
    }
    // rustls takes the one provider that this program is built with.
    let config = ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
