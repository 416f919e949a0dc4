//! One signal that ends a process: set once, seen by every task that holds a [`Shutdown`].
//! It does not wait for the tasks; whoever started them does.

use tokio::sync::watch;

/// Sets the signal. Dropping it sets the signal too, so that tasks never outlive their owner.
#[derive(Debug)]
pub struct ShutdownTrigger {
    sender: watch::Sender<bool>,
}

/// Sees the signal.
#[derive(Debug, Clone)]
pub struct Shutdown {
    receiver: watch::Receiver<bool>,
}

impl Shutdown {
    /// A trigger and what it sets.
    pub fn channel() -> (ShutdownTrigger, Shutdown) {
        let (sender, receiver) = watch::channel(false);
        (ShutdownTrigger { sender }, Shutdown { receiver })
    }

    /// Set by the first interrupt (ctrl-c) or termination signal that the process gets. Needs a
    /// tokio runtime. A second signal ends the process at once, as it would without us.
    pub fn on_signals() -> std::io::Result<Shutdown> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (trigger, shutdown) = Shutdown::channel();
        tokio::spawn(async move {
            let name = tokio::select! {
                _ = interrupt.recv() => "interrupt",
                _ = terminate.recv() => "terminate",
            };
            tracing::info!(signal = name, "shutting down; a second signal ends at once");
            trigger.fire();
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            tracing::warn!("second signal, ending without waiting");
            std::process::exit(EXIT_SECOND_SIGNAL);
        });
        Ok(shutdown)
    }

    /// Waits for the signal.
    pub async fn wait(&self) {
        let mut receiver = self.receiver.clone();
        // An error means the trigger was dropped, which is the signal as well.
        let _ = receiver.wait_for(|set| *set).await;
    }

    /// What comes of this work, or nothing where the signal comes first: the work is given up then.
    pub async fn bound<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.wait() => None,
            done = work => Some(done),
        }
    }

    /// Whether the signal was given.
    pub fn is_set(&self) -> bool {
        *self.receiver.borrow() || self.receiver.has_changed().is_err()
    }
}

impl ShutdownTrigger {
    /// Gives the signal. Giving it again does nothing.
    pub fn fire(&self) {
        self.sender.send_replace(true);
    }

    /// Another holder that sees this signal.
    pub fn subscribe(&self) -> Shutdown {
        Shutdown { receiver: self.sender.subscribe() }
    }
}

/// 128 + SIGINT, as shells report it.
const EXIT_SECOND_SIGNAL: i32 = 130;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn firing_is_seen_by_every_clone() {
        let (trigger, shutdown) = Shutdown::channel();
        let other = shutdown.clone();
        assert!(!other.is_set());
        trigger.fire();
        other.wait().await;
        assert!(shutdown.is_set());
        trigger.subscribe().wait().await;
    }

    #[tokio::test]
    async fn work_is_done_or_given_up() {
        let (trigger, shutdown) = Shutdown::channel();
        assert_eq!(shutdown.bound(async { 1 }).await, Some(1));
        let (held, dropped) = tokio::sync::oneshot::channel::<()>();
        let work = tokio::spawn(async move {
            shutdown
                .bound(async move {
                    let _held = held;
                    std::future::pending::<()>().await;
                })
                .await
        });
        drop(trigger);
        assert_eq!(work.await.unwrap(), None);
        assert!(dropped.await.is_err(), "what it held is free");
    }

    #[tokio::test]
    async fn a_dropped_trigger_counts_as_the_signal() {
        let (trigger, shutdown) = Shutdown::channel();
        drop(trigger);
        shutdown.wait().await;
        assert!(shutdown.is_set());
    }
}
