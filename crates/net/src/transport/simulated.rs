//! A network that a test lays under everything that runs on its thread: `crates/simulation` does. Not for services;
//! the feature `testing` turns it on.
//!
//! What a [`Network`] also says: which primitives TLS takes its randomness from, and whether a message is sent a second
//! time, as a faulty peer might.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::crypto::CryptoProvider;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a test's network answers with, some time later.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A network between hosts that a test simulates.
pub trait Network: Send + Sync {
    /// Connects from the host that runs now.
    fn connect(&self, host: String, port: u16) -> Later<io::Result<Duplex>>;
    /// Listens at the host that runs now.
    fn bind(&self, address: SocketAddr) -> Later<io::Result<Acceptor>>;
    /// The primitives of TLS, made of those of production with randomness of the test's own.
    fn primitives(&self, of_production: CryptoProvider) -> CryptoProvider;
    /// Whether this message arrives twice.
    fn duplicates(&self, path: &str) -> bool;
    /// How the second copy was answered: HTTP status and body.
    fn duplicate_answered(&self, path: &str, status: u16, body: &[u8]);
}

/// Both directions of a connection.
pub struct Duplex(Pin<Box<dyn ReadWrite>>);

trait ReadWrite: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> ReadWrite for S {}

/// Takes connections of a simulated network.
pub struct Acceptor(Box<dyn Accept>);

/// How connections are taken.
pub trait Accept: Send + Sync {
    /// The next connection, and where it comes from.
    fn accept(&self) -> Pin<Box<dyn Future<Output = io::Result<(Duplex, SocketAddr)>> + Send + '_>>;
    /// Where it listens.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// Keeps a network laid on this thread until it is dropped.
#[must_use = "dropping the guard takes the network away"]
pub struct Laid(PhantomData<*const ()>);

thread_local! {
    static NETWORK: RefCell<Option<Arc<dyn Network>>> = const { RefCell::new(None) };
}

/// Lays a network under everything that runs on this thread from now on.
pub fn lay(network: Arc<dyn Network>) -> Laid {
    NETWORK.set(Some(network));
    Laid(PhantomData)
}

pub(crate) fn network() -> Option<Arc<dyn Network>> {
    NETWORK.with_borrow(Clone::clone)
}

impl Drop for Laid {
    fn drop(&mut self) {
        NETWORK.set(None);
    }
}

impl Duplex {
    /// Any stream of bytes.
    pub fn new(stream: impl AsyncRead + AsyncWrite + Send + 'static) -> Self {
        Self(Box::pin(stream))
    }
}

impl Acceptor {
    /// Any way to take connections.
    pub fn new(accept: impl Accept + 'static) -> Self {
        Self(Box::new(accept))
    }

    pub(super) async fn accept(&self) -> io::Result<(Duplex, SocketAddr)> {
        self.0.accept().await
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl AsyncRead for Duplex {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_read(context, buffer)
    }
}

impl AsyncWrite for Duplex {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.as_mut().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_shutdown(context)
    }
}

impl fmt::Debug for Duplex {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Duplex")
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Acceptor")
    }
}
