//! Every word that people read on pages, a file per surface. A translation is another folder like this one. What comes
//! from records and peers stands between these words and is never one of them.

pub mod clinician;
pub mod console;
pub mod explain;
pub mod portal;
pub mod shared;
pub mod steps;
