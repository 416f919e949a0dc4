//! Where connections are made and taken, and where heavy work is done: TCP and the runtime's own threads.
//!
//! With the feature `testing`, a test may lay a network of its own under everything that runs on its thread
//! ([`simulated`]); heavy work then stays on that thread, too, so that one thread decides the order of everything.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

#[cfg(feature = "testing")]
pub mod simulated;

/// One connection, before TLS.
#[derive(Debug)]
pub struct Socket(Kind);

#[derive(Debug)]
enum Kind {
    Tcp(TcpStream),
    #[cfg(feature = "testing")]
    Simulated(simulated::Duplex),
}

/// Takes connections.
#[derive(Debug)]
pub struct Listener(ListenerKind);

#[derive(Debug)]
enum ListenerKind {
    Tcp(TcpListener),
    #[cfg(feature = "testing")]
    Simulated(simulated::Acceptor),
}

impl Socket {
    /// Requests and answers are small; waiting to fill a segment only costs time.
    pub(crate) fn send_at_once(&self) {
        match &self.0 {
            Kind::Tcp(stream) => {
                let _ = stream.set_nodelay(true);
            }
            #[cfg(feature = "testing")]
            Kind::Simulated(_) => {}
        }
    }
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Self(Kind::Tcp(stream))
    }
}

impl Listener {
    /// Listens on an address; port 0 takes any free one.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        #[cfg(feature = "testing")]
        if let Some(network) = simulated::network() {
            return network.bind(address).await.map(|acceptor| Self(ListenerKind::Simulated(acceptor)));
        }
        TcpListener::bind(address).await.map(Self::from)
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            ListenerKind::Tcp(listener) => listener.local_addr(),
            #[cfg(feature = "testing")]
            ListenerKind::Simulated(acceptor) => acceptor.local_addr(),
        }
    }

    /// The next connection, and where it comes from.
    pub async fn accept(&self) -> io::Result<(Socket, SocketAddr)> {
        match &self.0 {
            ListenerKind::Tcp(listener) => listener.accept().await.map(|(stream, from)| (stream.into(), from)),
            #[cfg(feature = "testing")]
            ListenerKind::Simulated(acceptor) => {
                acceptor.accept().await.map(|(stream, from)| (Socket(Kind::Simulated(stream)), from))
            }
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self(ListenerKind::Tcp(listener))
    }
}

/// Does work that keeps a processor busy away from the threads that serve connections.
pub fn away<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    #[cfg(feature = "testing")]
    if simulated::network().is_some() {
        return tokio::spawn(async move { work() });
    }
    tokio::task::spawn_blocking(work)
}

/// Connects through the network that a test has laid; `None` where there is none.
pub(crate) async fn connect_simulated(host: &str, port: u16) -> Option<io::Result<Socket>> {
    #[cfg(feature = "testing")]
    if let Some(network) = simulated::network() {
        let made = network.connect(host.to_owned(), port).await;
        return Some(made.map(|stream| Socket(Kind::Simulated(stream))));
    }
    let _ = (host, port);
    None
}

macro_rules! each {
    ($socket:expr, $stream:ident => $work:expr) => {
        match &mut $socket.get_mut().0 {
            Kind::Tcp($stream) => $work,
            #[cfg(feature = "testing")]
            Kind::Simulated($stream) => $work,
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(context, buffer))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.0 {
            Kind::Tcp(stream) => stream.is_write_vectored(),
            #[cfg(feature = "testing")]
            Kind::Simulated(_) => false,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(context))
    }
}
