//! Throughput.

/// What the page shows.
pub const THROUGHPUT_INTRODUCTION: &str = "The last hour of this node, minute by minute, kept in memory: a restart begins \
                                           anew. Counted are steps of authentication, messages of gateways, and what is \
                                           relayed to the archive.";
/// Heads a chart.
pub const RATES: &str = "Requests and refusals per second";
/// Its unit.
pub const PER_SECOND: &str = "per second";
/// Heads a chart.
pub const TIMES: &str = "How long answers took";
/// Its unit.
pub const MILLISECONDS: &str = "ms";
/// Half of the answers.
pub const MEDIAN: &str = "Half took at most";
/// Nearly all.
pub const MOST: &str = "95 of 100 took at most";
/// A sum.
pub const REQUESTS_HOUR: &str = "Requests in this hour";
/// A sum.
pub const REFUSED_HOUR: &str = "Refused in this hour";
