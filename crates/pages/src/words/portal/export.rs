//! Words of *Take along*.

pub const EXPORT_TEXT: &str = "Your record is yours. Each of these leaves a line in the list of who looked.";
pub const EXPORT_PRINT: &str = "On paper or as PDF";
pub const EXPORT_PRINT_BUTTON: &str = "Open the page to print";
pub const EXPORT_SUMMARY: &str = "For another doctor, also abroad";
pub const EXPORT_SUMMARY_TEXT: &str =
    "The International Patient Summary: a file that other hospitals' systems can read.";
pub const EXPORT_SUMMARY_BUTTON: &str = "Download the summary";
pub const EXPORT_ALL: &str = "Everything";
pub const EXPORT_ALL_TEXT: &str = "All data, all documents, your decisions, and who looked, in one folder that this hospital signs. Other systems can take it in.";
pub const EXPORT_ALL_BUTTON: &str = "Download everything";
pub const PRINT_TITLE: &str = "Summary to print";
pub const PRINT_HINT: &str = "Print this page with your browser (Ctrl+P, or ⌘P on a Mac), or choose \"save as PDF\" there. Buttons and colours stay off the paper.";
pub const PRINT_FOR: &str = "For";
pub const PRINT_BORN: &str = "Born";
pub const PRINT_MADE: &str = "Made";
pub const PRINT_LIMITS: &str = "Made from what this hospital may open. What is not listed may still be so.";
