//! Values over time.

/// The axis.
pub fn results_span(from: &str, to: &str) -> String {
    format!(
        "From {from} to {to}, every chart on the same time axis. A coloured band is the reference range that came with the \
         newest value; where none came, none is drawn."
    )
}

/// Nothing to draw.
pub const NO_NUMBERS: &str = "No numbers of the last 12 months are recorded in what you may see.";
/// A group of charts.
pub const LABORATORY: &str = "Laboratory and examinations";
/// A group of charts.
pub const MEASUREMENTS: &str = "Vital signs";
/// What has no chart.
pub const OTHER_RESULTS: &str = "Other and older results";
/// What stands there.
pub const OTHER_RESULTS_HOW: &str = "Of each kind the newest that is no number, is only a bound such as < 5, has no value, or is older than 12 months; and what \
     has no date.";
/// Beyond its range.
pub const ABOVE: &str = "above the range that came with it";
/// Beyond its range.
pub const BELOW: &str = "below the range that came with it";
/// The data has none.
pub const NO_RANGE: &str = "no reference range came with it";

/// For who cannot see the chart.
pub fn chart_label(title: &str, points: usize, newest: &str) -> String {
    let values = if points == 1 { "1 value".to_owned() } else { format!("{points} values") };
    format!("{title}: {values} in 12 months, the last of them {newest}")
}

/// A range with both ends.
pub fn range(low: &str, high: &str, unit: &str) -> String {
    format!("reference range {low} to {high} {unit}")
}

/// A range without upper end.
pub fn range_from(low: &str, unit: &str) -> String {
    format!("reference range from {low} {unit}")
}

/// A range without lower end.
pub fn range_to(high: &str, unit: &str) -> String {
    format!("reference range to {high} {unit}")
}

/// Kinds of values beyond what a page holds.
pub fn charts_left_out(count: usize) -> String {
    format!("{count} further kinds of values, measured longer ago than these, are not drawn on this page.")
}

/// Rows beyond what the list holds.
pub fn others_left_out(count: usize) -> String {
    format!("And {count} more, older than these, which are not listed on this page.")
}

/// Values beyond what a chart holds.
pub fn points_left_out(count: usize) -> String {
    format!("{count} older values are not drawn.")
}

/// One value of a panel.
pub fn part_of(panel: &str, part: &str) -> String {
    format!("{panel}: {part}")
}

/// What holds of one part of a value.
pub fn of_part(part: &str, what: &str) -> String {
    format!("{part}: {what}")
}

/// Something newer than what is drawn.
pub fn newer(text: &str, when: &str) -> String {
    format!("newer: {text}, {when}")
}

/// An observation without a value, with what is said of that.
pub fn no_value(why: &str) -> String {
    if why.is_empty() { "no value that can be shown".to_owned() } else { format!("no value: {why}") }
}
