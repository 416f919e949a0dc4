//! Every word that people read on pages, a file or a folder per surface. A translation is another folder like this one.
//! What comes from records and peers stands between these words and is never one of them.

pub mod clinician;
pub mod console;
pub mod explain;
pub mod papers;
pub mod portal;
pub mod provider;
pub mod shared;
pub mod steps;
