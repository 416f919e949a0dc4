//! Pages and endpoints of the demo itself: on loopback alone, by that name alone, with small forms.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use http::{header, uri::Authority};
use sealwort_net::server::{Limits, Server};
use sealwort_net::{Shutdown, ShutdownTrigger};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::error::CliError;

/// An address of this computer that is taken.
pub(super) struct Listening {
    pub(super) address: SocketAddr,
    listener: TcpListener,
}

/// What is served there.
pub(super) struct Served {
    trigger: ShutdownTrigger,
    serving: JoinHandle<()>,
}

impl Listening {
    /// Takes it. `what` is what will be served, for the error.
    pub(super) async fn at(address: SocketAddr, what: &str) -> Result<Self, CliError> {
        if !address.ip().is_loopback() {
            return Err(CliError::Local(format!("{address}: {what} listens on loopback alone")));
        }
        let failed = |e: std::io::Error| CliError::Local(format!("cannot listen on {address}: {e}"));
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { address, listener })
    }

    /// Serves there. Whoever comes by another name, as pages elsewhere could make a browser do, gets `elsewhere`.
    pub(super) fn serve(self, router: Router, elsewhere: fn() -> Response) -> Served {
        let port = self.address.port();
        let only_here = move |request: Request<Body>, next: Next| async move {
            if is_here(&request, port) { next.run(request).await } else { elsewhere() }
        };
        let router = router.layer(DefaultBodyLimit::max(FORM_BYTES_MAX)).layer(from_fn(only_here));
        let (trigger, shutdown): (ShutdownTrigger, Shutdown) = Shutdown::channel();
        let limits = Limits { body_bytes_max: FORM_BYTES_MAX as u64, ..Limits::default() };
        let serving = tokio::spawn(async move {
            let _ = Server::new(router).limits(limits).serve(self.listener, shutdown).await;
        });
        Served { trigger, serving }
    }
}

impl Served {
    /// Ends it.
    pub(super) async fn stop(self) {
        self.trigger.fire();
        let _ = self.serving.await;
    }
}

/// Whether a request names this computer and the port.
fn is_here(request: &Request<Body>, port: u16) -> bool {
    let named = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .or_else(|| request.uri().authority().map(Authority::as_str))
        .and_then(|host| host.parse::<Authority>().ok());
    named.is_some_and(|named| {
        let host = named.host().trim_start_matches('[').trim_end_matches(']');
        let loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        loopback && named.port_u16().unwrap_or(80) == port
    })
}

/// The fields of a form or a query.
pub(super) fn fields(form: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(form).into_owned().collect()
}

/// The first field of this name.
pub(super) fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// Of a form.
const FORM_BYTES_MAX: usize = 16 << 10;
