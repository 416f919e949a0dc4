//! A network between a client and a server that may swallow everything: what is on its way then never arrives, and nobody
//! is told. Connections made after it is whole again are forwarded.
// Each test that includes it uses a part of it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How often it was broken; whole where that is an even number.
pub struct Forwarder {
    pub port: u16,
    state: watch::Sender<u32>,
}

impl Forwarder {
    /// To a port of loopback.
    pub async fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (state, heard) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let state = heard.clone();
                tokio::spawn(async move {
                    if *state.borrow() % 2 == 1 {
                        return hold(near).await;
                    }
                    let Ok(far) = TcpStream::connect(("127.0.0.1", to)).await else { return };
                    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                    tokio::join!(pump(near_in, far_out, state.clone()), pump(far_in, near_out, state));
                });
            }
        });
        Self { port, state }
    }

    /// Swallows everything.
    pub fn cut(&self) {
        self.state.send_modify(|state| *state += 1);
    }

    /// Forwards new connections again.
    pub fn mend(&self) {
        self.state.send_modify(|state| *state += 1);
    }
}

/// Neither forwarded nor closed.
async fn hold<T>(open: T) {
    std::future::pending::<()>().await;
    drop(open);
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<u32>) {
    state.borrow_and_update();
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let count = tokio::select! {
            biased;
            _ = state.changed() => return hold((from, to)).await,
            count = from.read(&mut bytes) => count.unwrap_or_default(),
        };
        if count == 0 || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
