//! The life of one connection: handshake, requests, and the reasons to end it.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulConnection;
use sealwort_pki::CertificateError;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{debug, info, warn};

use super::activity::{Activity, Silence};
use super::service::ConnectionService;
use super::stall::StreamExecutor;
use super::{Limits, Shared};
use crate::tls::{ALPN_HTTP2, ConnectionId, EXPORTER_BYTES, EXPORTER_LABEL, HopPeer, ServerTls};
use crate::transport::Socket;

/// Serves one accepted connection to its end.
pub(super) async fn run(stream: Socket, address: SocketAddr, shared: &Arc<Shared>) {
    stream.send_at_once();
    let Some(tls) = &shared.tls else {
        return Box::pin(serve(stream, Protocol::Detect, None, address, shared)).await;
    };
    // What lives only for the handshake is boxed, and so is what comes after it: an idle connection
    // should not keep room for both.
    let accepted = {
        let handshake = Box::pin(handshake(tls, stream, address, shared));
        let stop = Box::pin(shared.shutdown.wait());
        tokio::select! {
            accepted = handshake => accepted,
            () = stop => None,
        }
    };
    if let Some((stream, peer)) = accepted {
        let http2 = tls.is_http2_only() || stream.get_ref().1.alpn_protocol() == Some(ALPN_HTTP2);
        let protocol = if http2 { Protocol::Http2 } else { Protocol::Detect };
        let held = peer.as_ref().zip(shared.held.as_ref()).map(|(peer, hold)| hold(peer.connection()));
        Box::pin(serve(stream, protocol, peer, address, shared)).await;
        drop(held);
    }
}

/// The TLS handshake, within its time and among not too many others. Refusals are logged here
/// with their reason; the peer gets an alert.
async fn handshake(
    tls: &ServerTls,
    stream: Socket,
    address: SocketAddr,
    shared: &Shared,
) -> Option<(TlsStream<Socket>, Option<HopPeer>)> {
    let place = shared.handshakes.enter();
    let (config, verdict) = match tls.for_connection() {
        Ok(made) => made,
        Err(error) => {
            warn!(%error, "cannot begin a handshake");
            return None;
        }
    };
    let accepting = TlsAcceptor::from(config).accept(stream);
    let result = tokio::select! {
        result = timeout(shared.limits.handshake_timeout, accepting) => result,
        () = place.given_away() => {
            debug!(%address, limit = shared.limits.handshakes_max, "connection closed: too many handshakes, and this was the oldest");
            return None;
        }
    };
    let found = verdict.take();
    let stream = match result {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            if let Some(refusal) = found.refusal {
                warn!(%address, code = refusal.code(), %refusal, "peer's certificate refused");
            } else {
                debug!(%address, %error, "handshake failed");
            }
            return None;
        }
        Err(_) => {
            debug!(%address, after = ?shared.limits.handshake_timeout, "handshake timed out");
            return None;
        }
    };
    let peer = match found.party {
        None => None,
        Some(party) => {
            let connection = stream.get_ref().1;
            let exporter = connection.export_keying_material([0; EXPORTER_BYTES], EXPORTER_LABEL, None);
            match exporter {
                Ok(exporter) => Some(HopPeer::new(Arc::new(party), exporter, ConnectionId::next())),
                Err(error) => {
                    warn!(%address, %error, "no exporter value");
                    return None;
                }
            }
        }
    };
    Some((stream, peer))
}

/// What the connection speaks.
#[derive(Debug, Clone, Copy)]
enum Protocol {
    Http2,
    /// HTTP/1 or HTTP/2, by its first bytes.
    Detect,
}

async fn serve<S>(stream: S, protocol: Protocol, peer: Option<HopPeer>, address: SocketAddr, shared: &Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Activity::new();
    let service =
        ConnectionService { shared: Arc::clone(shared), activity: Arc::clone(&activity), peer: peer.clone(), address };
    let io = TokioIo::new(stream);
    match protocol {
        Protocol::Http2 => {
            let connection = http2_builder(&shared.limits).serve_connection(io, service);
            drive(Box::pin(connection), &activity, peer.as_ref(), address, shared).await;
        }
        Protocol::Detect => {
            let builder = auto_builder(&shared.limits);
            let connection = builder.serve_connection(io, service);
            drive(Box::pin(connection), &activity, peer.as_ref(), address, shared).await;
        }
    }
}

/// Runs the connection until it ends, or until there is a reason to end it.
async fn drive<C>(
    mut connection: Pin<Box<C>>,
    activity: &Activity,
    peer: Option<&HopPeer>,
    address: SocketAddr,
    shared: &Shared,
) where
    C: GracefulConnection<Error: std::fmt::Display>,
{
    let silence = activity.silence(&shared.limits);
    let refusal = refusal(peer, shared);
    let stop = shared.shutdown.wait();
    tokio::pin!(silence, refusal, stop);
    let mut stopping = false;
    loop {
        tokio::select! {
            biased;
            // First, so that nothing more is served to a peer that is no longer believed.
            error = &mut refusal => {
                warn!(%address, code = error.code(), %error, "connection closed: its peer is no longer believed");
                return;
            }
            result = connection.as_mut() => {
                if let Err(error) = result {
                    debug!(%address, %error, "connection ended");
                }
                return;
            }
            silence = &mut silence => {
                debug!(%address, ?silence, "connection closed");
                if silence == Silence::Idle {
                    connection.as_mut().graceful_shutdown();
                    let _ = timeout(FAREWELL, connection).await;
                }
                return;
            }
            () = &mut stop, if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
                if activity.is_idle() {
                    // Nobody to wait for but a peer that may never answer the goodbye.
                    let _ = timeout(FAREWELL, connection).await;
                    info!(%address, "idle connection closed at shutdown");
                    return;
                }
            }
        }
    }
}

/// Resolves when the peer falls from trust; never for a peer without a certificate.
async fn refusal(peer: Option<&HopPeer>, shared: &Shared) -> CertificateError {
    let trust = shared.tls.as_ref().and_then(ServerTls::trust);
    match (peer, trust) {
        (Some(peer), Some((trust, expected))) => trust.refusal(peer.party(), expected).await,
        _ => std::future::pending().await,
    }
}

fn http2_builder(limits: &Limits) -> http2::Builder<StreamExecutor> {
    let mut builder = http2::Builder::new(StreamExecutor::new(limits.body_timeout));
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.ping_every.max(PING_EVERY_MIN))
        .keep_alive_timeout(limits.ping_timeout)
        .max_concurrent_streams(limits.streams_per_connection_max)
        .max_header_list_size(limits.header_bytes_max)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(LOCAL_RESETS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES_MAX);
    builder
}

fn auto_builder(limits: &Limits) -> auto::Builder<StreamExecutor> {
    let mut builder = auto::Builder::new(StreamExecutor::new(limits.body_timeout));
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size((limits.header_bytes_max as usize).max(HTTP1_BUFFER_BYTES_MIN))
        .half_close(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.ping_every.max(PING_EVERY_MIN))
        .keep_alive_timeout(limits.ping_timeout)
        .max_concurrent_streams(limits.streams_per_connection_max)
        .max_header_list_size(limits.header_bytes_max)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(LOCAL_RESETS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES_MAX);
    builder
}

/// Streams that the peer opened and reset before we looked at them: more is the rapid reset
/// attack (CVE-2023-44487).
const PENDING_RESETS_MAX: usize = 20;
/// Streams that we had to reset for the peer's errors.
const LOCAL_RESETS_MAX: usize = 256;
/// How much of one request body may be on its way unread.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// How much of all request bodies of one connection may be on its way unread.
const CONNECTION_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
/// How much of one response is buffered for a slow reader.
const SEND_BUFFER_BYTES_MAX: usize = 256 * 1024;
/// hyper's lower bound.
const HTTP1_BUFFER_BYTES_MIN: usize = 8192;
/// Pings more often than this would only keep both sides busy.
const PING_EVERY_MIN: Duration = Duration::from_millis(100);
/// How long an idle peer may take to answer the goodbye.
const FAREWELL: Duration = Duration::from_secs(1);
