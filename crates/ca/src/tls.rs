//! The authority's TLS side: it shows its own certificate with the root behind
//! it, asks for the client's but does not insist (a new party has none), and
//! enforces its own revocation list from the moment it is published.

use std::sync::Arc;

use sealwort_net::Shutdown;
use sealwort_net::tls::{
    ClientAuth, Credentials, CredentialsError, ServerTls, SharedTrust, TlsConfigError, server_config,
};
use sealwort_pki::enrolment::{CrlResponse, Membership};
use sealwort_pki::{Trust, TrustError};
use thiserror::Error;
use tokio::task::JoinHandle;

use crate::authority::Authority;

/// The service cannot start: its own certificates or lists are not in order.
#[derive(Debug, Error)]
pub enum TlsError {
    /// Certificate and key.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The root or the list.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// TLS itself.
    #[error(transparent)]
    Config(#[from] TlsConfigError),
}

impl Authority {
    /// The TLS side for a server of [`crate::router`], and the tasks that keep
    /// it and the authority fresh until `shutdown`. Needs a tokio runtime.
    pub fn start(self: &Arc<Self>, shutdown: &Shutdown) -> Result<(ServerTls, Vec<JoinHandle<()>>), TlsError> {
        let (mut own, mut crl) = (self.own(), self.crl());
        let first = own.borrow_and_update().clone();
        let root = first.trust.root();
        let credentials = Credentials::with_root(&first.hop.chain, Arc::clone(&first.hop.key), root)?;
        let trust = Trust::new(first.identity.exchange.clone(), root)?;
        let trust = SharedTrust::new(trust, self.clock());
        let list = crl.borrow_and_update().clone();
        trust.set_crl(&list.crl, &list.issuing)?;
        let tls = server_config(&credentials, &trust, &[], ClientAuth::Optional)?;

        let keep = {
            let (authority, shutdown) = (Arc::clone(self), shutdown.clone());
            tokio::spawn(async move { authority.keep_fresh(shutdown).await })
        };
        let count = {
            let (authority, shutdown) = (Arc::clone(self), shutdown.clone());
            tokio::spawn(async move { authority.count_refusals(shutdown).await })
        };
        let shutdown = shutdown.clone();
        let follow = tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = shutdown.wait() => return,
                    Ok(()) = own.changed() => {
                        let next = own.borrow_and_update().clone();
                        show(&credentials, &next);
                    }
                    Ok(()) = crl.changed() => {
                        let next = crl.borrow_and_update().clone();
                        enforce(&trust, &next);
                    }
                    else => return,
                }
            }
        });
        Ok((tls, vec![keep, count, follow]))
    }
}

fn show(credentials: &Credentials, own: &Membership) {
    if let Err(error) = credentials.renew(&own.hop.chain, Arc::clone(&own.hop.key)) {
        tracing::error!(%error, "the authority's renewed certificate cannot be shown");
    }
}

fn enforce(trust: &SharedTrust, list: &CrlResponse) {
    if let Err(error) = trust.set_crl(&list.crl, &list.issuing) {
        tracing::error!(%error, "the authority's new revocation list cannot be enforced");
    }
}
