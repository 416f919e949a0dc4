//! The authorization server from outside: whole flows, published keys, and a table of variants that must widen nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod assertion_variants;
mod flows;
mod keys;
mod oidc;
mod published_keys;
mod request_variants;
mod rules;
mod scope_variants;
mod token_variants;
mod variants;
mod world;
