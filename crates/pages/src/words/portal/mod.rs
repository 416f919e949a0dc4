//! Words of the patient portal: here those of every page, else a file a page.
#![allow(missing_docs, reason = "the words say what they are")]

mod delegates;
mod devices;
mod door;
mod export;
mod failures;
mod item;
mod looked;
mod plain;
mod sharing;
mod summary;
mod timeline;

pub use delegates::*;
pub use devices::*;
pub use door::*;
pub use export::*;
pub use failures::*;
pub use item::*;
pub use looked::*;
pub use plain::*;
pub use sharing::*;
pub use summary::*;
pub use timeline::*;

pub use super::shared::{SIGN_OUT, failure_title, whose_fault};

/// Name of the surface.
pub const SURFACE: &str = "Your record";
/// Navigation and titles, in order.
pub const SUMMARY: &str = "Summary";
pub const TIMELINE: &str = "Timeline";
pub const SHARING: &str = "Sharing";
pub const LOOKED: &str = "Who looked";
pub const DEVICES: &str = "Devices";
pub const EXPORT: &str = "Take along";
pub const DELEGATES: &str = "Helpers";

pub const BACK: &str = "Back";
pub const ALL_OF_IT: &str = "See all";
