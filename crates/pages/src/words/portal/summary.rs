//! Words of *Summary*.

pub const RIBBON: &str = "How your record is protected";
pub const SEALED: &str = "Sealed";

pub fn sealed(count: usize) -> String {
    match count {
        1 => {
            "1 entry, encrypted. The exchange that carries it and the archive that keeps it cannot read it.".to_owned()
        }
        count => {
            format!(
                "{count} entries, all encrypted. The exchange that carries them and the archive that keeps them cannot read them."
            )
        }
    }
}

pub const CAN_OPEN: &str = "Who can open it";
pub const NOBODY_ELSE: &str = "Nobody but you and the hospital that keeps your decisions.";
pub const EMERGENCY_ALONE: &str = "only in an emergency";
pub const MANAGE: &str = "Change who can open it";
pub const LAST_OPENED: &str = "Last opened by somebody else";
pub const NEVER_OPENED: &str = "Nobody else has opened it.";
pub const LAST_UNKNOWN: &str = "You cannot see this here.";

/// When the last look was looked up.
pub fn as_of(moment: &str) -> String {
    format!("As it stood on {moment}.")
}

pub const SEE_LOOKED: &str = "See everybody who looked";

/// Why a helper sees less.
pub const NOT_FOR_YOU: &str = "What the patient did not let you see is not shown, and not counted.";

pub fn until(end: &str) -> String {
    format!("until {end}")
}

/// A part of the record that is kept back from this hospital.
pub fn withheld(count: u64) -> String {
    if count == 1 {
        "1 entry is kept back from this hospital by your own decisions, so it is not shown here.".to_owned()
    } else {
        format!("{count} entries are kept back from this hospital by your own decisions, so they are not shown here.")
    }
}

pub const VITALS: &str = "Measurements";
pub const RESULTS: &str = "Latest test results";
pub const NOTHING: &str = "Nothing is recorded here.";
pub const NOTHING_KNOWN: &str = "Nothing is recorded here. That does not mean that there is nothing.";
pub const UPPER: &str = "Upper";
pub const LOWER: &str = "Lower";

/// What a chart shows, for who cannot see it.
pub fn trend(name: &str, count: usize, first: &str, last: &str) -> String {
    format!("{name}: {count} values from {first} to {last}")
}

pub const UNITS_DIFFER: &str = "Older values in another unit are not drawn.";

pub fn more_of(count: usize) -> String {
    format!("and {count} more")
}
