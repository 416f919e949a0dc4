//! Diagnosis: reachability, versions, the store.

/// What the page shows.
pub const DIAGNOSIS_INTRODUCTION: &str = "Who reaches whom, as this node of the broker sees it. Gateways and archive speak \
                                          with each other through the broker alone.";
/// Heads the table.
pub const REACHABILITY: &str = "Who reaches whom";
/// What it says.
pub const REACHABILITY_CAPTION: &str = "Ways between parties, each with its newest sign of life";
/// Columns.
pub const REACH_COLUMNS: [&str; 4] = ["Way", "State", "Last sign of life", "Clock against the broker's"];
/// Button.
pub const ASK_AGAIN: &str = "Ask archive and authority now";
/// They were asked.
pub const ASKED: &str = "Archive and authority were asked again.";
/// A way that works.
pub const REACHED: &str = "reached";
/// A way that does not.
pub const NOT_REACHED: &str = "not reached";
/// Reached, and not ready.
pub const REACHED_NOT_READY: &str = "reached, not ready";
/// Reached, and being stopped.
pub const STOPPING: &str = "drained";
/// Nobody asked yet.
pub const NOT_ASKED: &str = "not asked yet";
/// A gateway that says nothing.
pub const QUIET: &str = "quiet";
/// Before a moment.
pub const SEEN: &str = "seen";
/// A gateway's clock.
pub const CLOCK_NOT_AHEAD: &str = "not ahead; a gateway's clock that is behind does not show here";
/// Heads the versions.
pub const VERSIONS: &str = "Versions";
/// What the table says.
pub const VERSIONS_CAPTION: &str = "Software as parties with a live session name it";
/// Columns.
pub const VERSION_COLUMNS: [&str; 3] = ["Party", "Software", "Protocol"];
/// Heads the store.
pub const STORE: &str = "Store of this broker";
/// Whether all parts work.
pub const READY: &str = "Ready";
/// The engine.
pub const ENGINE: &str = "Engine";
/// The embedded one.
pub const ENGINE_EMBEDDED: &str =
    "embedded (SQLite), in the data folder; no standby: copy it with sealwort store backup";
/// Its size.
pub const SIZE: &str = "Files in the data folder";
/// How fast it commits.
pub const COMMITS: &str = "Commits of the audit log";
/// Runs of the nine steps.
pub const RUNS: &str = "Runs of the nine steps in progress";
/// What says more.
pub const STORE_HOW: &str = "More, with what mends it, on the broker's computer:";

/// A way of the broker's to somebody.
pub fn to(role: &str, at: &str) -> String {
    format!("broker → {role} ({at})")
}

/// A gateway's way to the broker.
pub fn from(gateway: &str) -> String {
    format!("gateway {gateway} → broker")
}

/// A gateway's way to the archive.
pub fn through(gateway: &str) -> String {
    format!("gateway {gateway} → archive, through the broker")
}

/// How many sessions carry a way.
pub fn live_sessions(count: usize) -> String {
    if count == 1 { "1 live session".to_owned() } else { format!("{count} live sessions") }
}

/// How fast somebody answered.
pub fn answered_in(took: &str) -> String {
    format!("answered in {took}")
}

/// A clock, to within a second.
pub fn clock(ahead: i64) -> String {
    match ahead {
        -1..=1 => "the same, to within a second".to_owned(),
        ahead if ahead > 0 => format!("{ahead} seconds ahead"),
        behind => format!("{} seconds behind", behind.unsigned_abs()),
    }
}

/// A gateway's clock that is ahead.
pub fn clock_at_least(span: &str) -> String {
    format!("at least {span} ahead")
}

/// A database on a server.
pub fn engine_server(at: &str, standbys: bool) -> String {
    format!("PostgreSQL at {at}; {}", if standbys { "with standbys" } else { "no standby is named" })
}

/// A size.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let fits = UNITS.iter().find(|(unit, _)| bytes >= *unit);
    fits.map_or_else(
        || format!("{bytes} bytes"),
        |(unit, name)| format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
    )
}

/// How fast commits were.
pub fn commits(count: usize, median: &str, longest: &str) -> String {
    format!("median {median}, longest {longest}, of the last {count}")
}
