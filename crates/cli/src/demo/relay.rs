//! A relay on a hop: it passes bytes on between two sockets, both ways, and counts them, until it cuts all of its
//! connections. What it sees is TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::error::CliError;

/// Bytes that are passed on at a time.
const CHUNK_BYTES: usize = 16 * 1024;
/// Pause after a connection that could not be accepted.
const AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(50);

/// What went over a hop. Totals only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Traffic {
    /// Bytes from whoever connected.
    pub(crate) forth: u64,
    /// Bytes back to it.
    pub(crate) back: u64,
}

/// A relay that serves until the program ends.
#[derive(Clone)]
pub(crate) struct Relay {
    /// Where to connect.
    pub(crate) address: SocketAddr,
    counters: Arc<Counters>,
    /// How often the connections were cut.
    cut: watch::Sender<u64>,
}

#[derive(Default)]
struct Counters {
    forth: AtomicU64,
    back: AtomicU64,
}

impl Relay {
    /// Listens on loopback for connections to `target`.
    pub(crate) async fn to(target: SocketAddr) -> Result<Self, CliError> {
        let failed = |e: std::io::Error| CliError::Local(format!("cannot listen on loopback: {e}"));
        let listener = TcpListener::bind((target.ip(), 0)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let counters = Arc::<Counters>::default();
        let (cut, _) = watch::channel(0);
        let (counted, cuts) = (Arc::clone(&counters), cut.clone());
        tokio::spawn(async move {
            loop {
                let Ok((from, _)) = listener.accept().await else {
                    // Such as too many open files: another try may do.
                    tokio::time::sleep(AFTER_FAILED_ACCEPT).await;
                    continue;
                };
                let (counters, mut cut) = (Arc::clone(&counted), cuts.subscribe());
                tokio::spawn(async move {
                    tokio::select! {
                        () = pass(from, target, counters) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Ok(Self { address, counters, cut })
    }

    /// Cuts every connection that it passes on now. New ones go through.
    pub(crate) fn cut(&self) {
        self.cut.send_modify(|times| *times += 1);
    }

    /// What has gone over it so far.
    pub(crate) fn traffic(&self) -> Traffic {
        Traffic { forth: self.counters.forth.load(Ordering::Relaxed), back: self.counters.back.load(Ordering::Relaxed) }
    }
}

impl Traffic {
    /// What went over it between `earlier` and this moment.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self { forth: self.forth.saturating_sub(earlier.forth), back: self.back.saturating_sub(earlier.back) }
    }
}

async fn pass(from: TcpStream, target: SocketAddr, counters: Arc<Counters>) {
    // Whoever connected sees the connection closed where the target cannot be reached.
    let Ok(to) = TcpStream::connect(target).await else { return };
    let _ = (from.set_nodelay(true), to.set_nodelay(true));
    let ((from_read, from_write), (to_read, to_write)) = (from.into_split(), to.into_split());
    tokio::join!(copy(from_read, to_write, &counters.forth), copy(to_read, from_write, &counters.back));
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, counter: &AtomicU64) {
    let mut chunk = vec![0; CHUNK_BYTES];
    while let Ok(length @ 1..) = from.read(&mut chunk).await {
        counter.fetch_add(length as u64, Ordering::Relaxed);
        let Some(read) = chunk.get(..length) else { return };
        if to.write_all(read).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}
