//! Changing the key-encryption key while the party serves. The folder's key file begins it: a new key before the old one.
//! From then on everything new is wrapped under the new key; what the old one wrapped is wrapped anew, and opens all the
//! while. Only when a whole look at the store has found nothing under the old key, it leaves the file. Killed at any
//! moment, it goes on at the next start, because the file then still holds both.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sealwort_net::Shutdown;
use sealwort_net::member::{Member, MemberError};
use sealwort_net::secret_file::{self, SecretFileError};
use sealwort_net::token::WrappingError;
use sealwort_proto::halves::Side;
use sealwort_store::{HalfStore, Rewrapped, StoreError};
use tokio::task::JoinHandle;

/// How often the key file is looked at.
const EVERY: Duration = Duration::from_secs(2);
/// How long after a failure.
const RETRY: Duration = Duration::from_mins(1);
/// Halves that are wrapped anew in one transaction.
const HALVES_AT_ONCE: usize = 256;

/// What a party keeps under its key-encryption key.
pub struct Rotation {
    /// Whose halves.
    pub side: Side,
    /// Whose keys.
    pub member: Arc<Member>,
    /// Where the halves are.
    pub halves: Arc<dyn HalfStore>,
    /// Files whose whole content is wrapped, with the context of each.
    pub files: Vec<(PathBuf, &'static [u8])>,
}

/// Why the key was not changed.
#[derive(Debug, thiserror::Error)]
enum RotationError {
    #[error(transparent)]
    Member(#[from] MemberError),
    #[error(transparent)]
    File(#[from] SecretFileError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Key(#[from] WrappingError),
    #[error("{0} opens under no key of the key file; restore it, or the key file, from a backup")]
    Unopened(String),
}

/// What going over all halves came upon.
#[derive(Default)]
struct Look {
    /// Halves that were under an older key.
    changed: usize,
    /// Halves that open under no key.
    unopened: usize,
}

impl Rotation {
    /// Watches the key file until the party stops.
    pub fn spawn(self, shutdown: Shutdown) -> JoinHandle<()> {
        tokio::spawn(async move {
            let mut wait = Duration::ZERO;
            loop {
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = shutdown.wait() => return,
                }
                wait = EVERY;
                // Cut off by the shutdown as by a kill.
                let changed = tokio::select! {
                    changed = self.run() => changed,
                    () = shutdown.wait() => return,
                };
                if let Err(error) = changed {
                    tracing::error!(%error, retry_in = ?RETRY, "the key-encryption key is not changed to its end");
                    wait = RETRY;
                }
            }
        })
    }

    /// One look, and a whole change where one was begun.
    async fn run(&self) -> Result<(), RotationError> {
        let kept = self.member.keys_in_file().await?;
        if kept.are_changing() {
            // Other nodes would wrap under a key that is about to be retired.
            self.halves.adopt(kept.names()).await?;
        }
        self.member.reload_keys().await?;
        let keys = self.member.kek();
        if !keys.are_changing() {
            return Ok(());
        }
        tracing::info!("the key-encryption key is being changed");
        for (file, context) in &self.files {
            let (wrapped, context) = (secret_file::read(file)?, *context);
            match self.member.with_keys(move |keys| keys.rewrap(&[context], &wrapped)).await? {
                Ok(None) => {}
                Ok(Some(anew)) => secret_file::replace(file, &anew)?,
                Err(WrappingError::Sealed) => return Err(RotationError::Unopened(file.display().to_string())),
                Err(error) => return Err(error.into()),
            }
        }
        let mut all = 0;
        let unopened = loop {
            let Look { changed, unopened } = self.rewrap_all().await?;
            all += changed;
            if changed == 0 {
                break unopened;
            }
        };
        self.member.retire_keys(&keys).await?;
        tracing::info!(halves = all, "the key-encryption key was changed");
        if unopened > 0 {
            // No key of the file is theirs, so that keeping the older one would not help them.
            tracing::error!(
                halves = unopened,
                "some opened under no key, and stay as they are; sealwort store verify names them"
            );
        }
        Ok(())
    }

    /// Goes once over all halves.
    async fn rewrap_all(&self) -> Result<Look, RotationError> {
        // What was handed to the store is there before the look begins, and what an earlier look replaced is gone.
        self.halves.settle().await?;
        let side = self.side;
        let (mut after, mut look) = (None, Look::default());
        loop {
            let page = self.halves.all_halves(after, HALVES_AT_ONCE).await?;
            let Some((patient, last)) = page.last() else { return Ok(look) };
            after = Some((*patient, last.epoch));
            let anew = self.member.with_keys(move |keys| {
                let (mut rewrapped, mut unopened) = (Vec::new(), 0);
                for (patient, half) in page {
                    let place: [&[u8]; 3] = [side.place(), patient.as_bytes(), &half.epoch.to_be_bytes()];
                    match keys.rewrap(&place, &half.wrapped) {
                        Ok(None) => {}
                        Ok(Some(anew)) => {
                            rewrapped.push(Rewrapped { patient, epoch: half.epoch, before: half.wrapped, after: anew });
                        }
                        Err(WrappingError::Sealed) => unopened += 1,
                        // Nobody can tell whether it opens: the older key stays.
                        Err(error) => return Err(error),
                    }
                }
                Ok((rewrapped, unopened))
            });
            let (rewrapped, unopened): (Vec<_>, usize) = anew.await??;
            look.unopened += unopened;
            if !rewrapped.is_empty() {
                look.changed += rewrapped.len();
                self.halves.rewrap(rewrapped).await?;
            }
        }
    }
}
