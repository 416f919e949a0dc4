//! The simulated network under the services: connections of turmoil, every byte of which goes into the trace, and now
//! and then a message that arrives twice.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use sealwort_net::transport::simulated::{Accept, Acceptor, Duplex, Later, Network};
use sealwort_proto::codec::from_bytes;
use sealwort_proto::message::{HANDSHAKE_BYTES_MAX, Refusal};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::{TcpListener, TcpStream};

use crate::dice::Dice;
use crate::primitives;
use crate::trace::Trace;

/// The network of one run.
pub(crate) struct Simulated {
    trace: Trace,
    /// Whether messages are doubled now.
    pub(crate) doubling: AtomicBool,
    dice: Mutex<Dice>,
    /// How second copies were answered, by path and answer.
    doubled: Mutex<BTreeMap<String, u64>>,
}

impl Simulated {
    pub(crate) fn new(trace: Trace, seed: u64) -> Self {
        let dice = Mutex::new(Dice::new(seed, 3));
        Self { trace, doubling: AtomicBool::new(false), dice, doubled: Mutex::default() }
    }

    /// How second copies were answered: the step or channel, the status, and the refusal's code.
    pub(crate) fn doubled(&self) -> BTreeMap<String, u64> {
        self.doubled.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Network for Simulated {
    fn connect(&self, host: String, port: u16) -> Later<io::Result<Duplex>> {
        let trace = self.trace.clone();
        Box::pin(async move { Ok(Duplex::new(Tapped::new(TcpStream::connect((host, port)).await?, trace)?)) })
    }

    fn bind(&self, address: SocketAddr) -> Later<io::Result<Acceptor>> {
        let trace = self.trace.clone();
        Box::pin(async move {
            // A simulated computer has one address, and its loopback is reached from the others as well: the hospital's
            // record system is a computer of its own here.
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await?;
            Ok(Acceptor::new(Tapping { listener, trace }))
        })
    }

    fn primitives(&self, of_production: CryptoProvider) -> CryptoProvider {
        primitives::seeded(of_production)
    }

    fn duplicates(&self, _path: &str) -> bool {
        let doubling = self.doubling.load(Ordering::Relaxed);
        doubling && self.dice.lock().unwrap_or_else(PoisonError::into_inner).chance(DOUBLED_PERCENT)
    }

    fn duplicate_answered(&self, path: &str, status: u16, body: &[u8]) {
        let refusal = from_bytes::<Refusal>(body, HANDSHAKE_BYTES_MAX).ok().filter(|_| status != 200);
        let place: String = path.split('/').take_while(|part| part.len() < 32).collect::<Vec<_>>().join("/");
        let code = refusal.map_or_else(|| if status == 200 { "answered" } else { "unnamed" }.to_owned(), |r| r.code);
        let mut doubled = self.doubled.lock().unwrap_or_else(PoisonError::into_inner);
        *doubled.entry(format!("{place} {status} {code}")).or_default() += 1;
    }
}

struct Tapping {
    listener: TcpListener,
    trace: Trace,
}

impl Accept for Tapping {
    fn accept(&self) -> Pin<Box<dyn Future<Output = io::Result<(Duplex, SocketAddr)>> + Send + '_>> {
        Box::pin(async move {
            let (stream, from) = self.listener.accept().await?;
            Ok((Duplex::new(Tapped::new(stream, self.trace.clone())?), from))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection whose written bytes are traced.
struct Tapped {
    stream: TcpStream,
    here: SocketAddr,
    there: SocketAddr,
    trace: Trace,
}

impl Tapped {
    fn new(stream: TcpStream, trace: Trace) -> io::Result<Self> {
        Ok(Self { here: stream.local_addr()?, there: stream.peer_addr()?, stream, trace })
    }
}

impl AsyncRead for Tapped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(count)) = &polled {
            let written = bytes.get(..*count).unwrap_or_default();
            self.trace.wrote(elapsed(), self.here, self.there, written);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A second farewell is no fault of the stream's owner.
        match Pin::new(&mut self.stream).poll_shutdown(context) {
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            polled => polled,
        }
    }
}

/// Simulated time since the beginning; zero outside of the simulation.
pub(crate) fn elapsed() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}

const DOUBLED_PERCENT: u64 = 30;
