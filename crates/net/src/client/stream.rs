//! A TLS stream whose first bytes were read ahead, and which remembers the peer's alert: hyper
//! passes errors on as text.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use rustls::AlertDescription;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use super::error::alert_in;

pub(super) struct Prefixed<S> {
    prefix: BytesMut,
    inner: S,
    alert: AlertSlot,
}

/// Where the alert is left that ended the stream.
pub(super) type AlertSlot = Arc<OnceLock<AlertDescription>>;

impl<S: AsyncRead + Unpin> Prefixed<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { prefix: BytesMut::new(), inner, alert: AlertSlot::default() }
    }

    /// The slot of this stream's alert.
    pub(super) fn alert(&self) -> AlertSlot {
        Arc::clone(&self.alert)
    }

    /// Waits until the peer has said something, and keeps it for the next reader.
    pub(super) async fn await_first_bytes(&mut self) -> io::Result<()> {
        self.prefix.reserve(READ_AHEAD_BYTES);
        match self.inner.read_buf(&mut self.prefix).await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection after the handshake")),
            _ => Ok(()),
        }
    }
}

impl<S> Prefixed<TlsStream<S>> {
    /// The key exchange that TLS negotiated, by its registered name.
    pub(super) fn key_exchange(&self) -> &'static str {
        let group = self.inner.get_ref().1.negotiated_key_exchange_group();
        group.and_then(|group| group.name().as_str()).unwrap_or("unknown")
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
            if let Poll::Ready(Err(error)) = &polled
                && let Some(alert) = alert_in(error)
            {
                let _ = self.alert.set(alert);
            }
            return polled;
        }
        let count = self.prefix.len().min(buffer.remaining());
        if let Some(bytes) = self.prefix.get(..count) {
            buffer.put_slice(bytes);
        }
        self.prefix.advance(count);
        if self.prefix.is_empty() {
            // The room is not needed again for the life of the connection.
            self.prefix = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

const READ_AHEAD_BYTES: usize = 1024;
