//! Words on all surfaces.

/// The product's name.
pub const PRODUCT: &str = "Sealwort";
/// The language of all words, as HTML names it (BCP 47).
pub const LANGUAGE: &str = "en";
/// First link of a page, for keyboards and screen readers.
pub const SKIP: &str = "Skip to the content";
/// Name of the navigation.
pub const NAVIGATION: &str = "Pages";
/// Heads the table that says in numbers what a chart draws.
pub const CHART_TABLE: &str = "The numbers of this chart";
/// What the coloured band of a chart is.
pub const REFERENCE_RANGE: &str = "reference range";
/// Column of dates.
pub const DATE: &str = "Date";
