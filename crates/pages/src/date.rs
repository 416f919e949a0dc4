//! Dates and spans as people read them. Times are in UTC and say so.

use time::OffsetDateTime;
use time::macros::format_description;

/// `30 November 2026, 15:32 UTC`, from seconds since 1970.
pub fn moment(seconds: u64) -> String {
    at(seconds)
        .and_then(|at| {
            at.format(format_description!("[day padding:none] [month repr:long] [year], [hour]:[minute] UTC")).ok()
        })
        .unwrap_or_else(|| format!("{seconds} s after 1970"))
}

/// `30 November 2026`.
pub fn day(seconds: u64) -> String {
    at(seconds)
        .and_then(|at| at.format(format_description!("[day padding:none] [month repr:long] [year]")).ok())
        .unwrap_or_else(|| format!("{seconds} s after 1970"))
}

/// `15:32 UTC`.
pub fn time(seconds: u64) -> String {
    at(seconds)
        .and_then(|at| at.format(format_description!("[hour]:[minute] UTC")).ok())
        .unwrap_or_else(|| format!("{seconds} s after 1970"))
}

/// The same for machines, as `<time datetime>` takes it: `2026-11-30T15:32:00Z`.
pub fn machine(seconds: u64) -> String {
    at(seconds)
        .and_then(|at| at.format(format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z")).ok())
        .unwrap_or_default()
}

/// A span in its largest unit that fits: `3 days`, `1 hour`, `20 seconds`. Units that are not full are left out.
pub fn span(seconds: u64) -> String {
    let (count, unit) = SPANS
        .iter()
        .find(|(from, ..)| seconds >= *from)
        .map_or((seconds, "second"), |(_, length, unit)| (seconds / length, *unit));
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

fn at(seconds: u64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).ok()?).ok()
}

/// From how many seconds on a unit is used, its seconds, and its name.
const SPANS: [(u64, u64, &str); 4] =
    [(2 * 86_400, 86_400, "day"), (3_600, 3_600, "hour"), (60, 60, "minute"), (1, 1, "second")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_spans_read_well() {
        assert_eq!(moment(1_796_052_720), "30 November 2026, 15:32 UTC");
        assert_eq!(day(0), "1 January 1970");
        assert_eq!(time(1_796_052_720), "15:32 UTC");
        assert_eq!(machine(1_796_052_720), "2026-11-30T15:32:00Z");
        assert_eq!(moment(u64::MAX), format!("{} s after 1970", u64::MAX));
        let spans = [
            (0, "0 seconds"),
            (1, "1 second"),
            (60, "1 minute"),
            (7_300, "2 hours"),
            (86_400, "24 hours"),
            (172_800, "2 days"),
        ];
        for (seconds, text) in spans {
            assert_eq!(span(seconds), text);
        }
    }
}
