//! Counts of cryptographic operations, so that the paper's Tables 3 and 4 can be printed for a real run.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! operations {
    ($($(#[$meta:meta])* $field:ident),+ $(,)?) => {
        /// Running totals of one party. Cheap to share; every counter only grows.
        #[derive(Debug, Default)]
        pub struct Operations {
            $($(#[$meta])* pub(crate) $field: AtomicU64,)+
        }

        /// Totals at one moment.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct OperationCounts {
            $($(#[$meta])* pub $field: u64,)+
        }

        impl Operations {
            /// The totals so far.
            pub fn counts(&self) -> OperationCounts {
                OperationCounts { $($field: self.$field.load(Ordering::Relaxed),)+ }
            }
        }

        impl OperationCounts {
            /// What was done between `earlier` and this moment.
            pub fn since(&self, earlier: &Self) -> Self {
                Self { $($field: self.$field.saturating_sub(earlier.$field),)+ }
            }

            /// Name and total of each operation, in the order of the paper's Table 3 where it has them.
            pub fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($field), self.$field),)+]
            }
        }
    };
}

operations! {
    /// SHA-256 transcripts and chain links.
    hash,
    /// X-Wing encapsulations.
    encapsulate,
    /// X-Wing decapsulations.
    decapsulate,
    /// Signatures made.
    sign,
    /// Signatures checked.
    verify,
    /// AEAD encryptions.
    seal,
    /// AEAD decryptions.
    open,
    /// Session keys generated.
    session_key,
    /// Nonces and challenges generated.
    nonce,
    /// Tokens generated.
    token,
    /// The broker's notices made or heard: `seal` and `open` count them, too, but they belong to no step.
    notice,
}

impl Operations {
    /// Counts a notice of the broker, made or heard (`spec/protocol.md`, section 7.6).
    pub fn count_notice(&self) {
        count(&self.notice);
    }
}

/// Adds one to a counter.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
