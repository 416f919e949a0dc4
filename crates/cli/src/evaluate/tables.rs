//! An evaluation for a person: the paper's tables with ours beside them, in at most 118 columns.

use super::evidence;
use super::paper::{ROLES, SCHEMES, TABLE_3, TABLE_4};
use super::result::{Counted, Evaluation, PHASES};
use crate::output::table;

/// Columns of running text.
const WIDTH: usize = 112;

/// Everything, one table after the other.
pub(super) fn text(evaluation: &Evaluation) -> String {
    let mut text = String::new();
    for part in [
        requirements(&evaluation.table_2),
        operations(&evaluation.table_3),
        holdings(&evaluation.table_4),
        bytes(evaluation),
    ] {
        text.push_str(&part);
        text.push('\n');
    }
    text
}

fn requirements(rows: &[evidence::Row]) -> String {
    let mut text = heading(
        "Table 2: security requirements. O support, Δ not fully, X not, as the paper judges; the last column is ours.",
    );
    let head: Vec<&str> = std::iter::once("requirement")
        .chain(SCHEMES.iter().map(|scheme| scheme.rsplit(' ').next().unwrap_or(scheme)))
        .chain(["Sealwort"])
        .collect();
    let head: Vec<&str> = head.into_iter().map(|cell| if cell == "Scheme" { "proposed" } else { cell }).collect();
    let cells = rows.iter().map(|row| {
        let paper = row.paper.iter().map(|mark| (*mark).to_owned());
        std::iter::once(row.requirement.to_owned()).chain(paper).chain([row.verdict.mark().to_owned()]).collect()
    });
    text.push_str(&table(&head, &cells.collect::<Vec<_>>()));
    text.push_str(&SCHEMES.join(", "));
    text.push_str("\n\nWhat is behind the last column (paper: the same asked of the paper's protocol):\n");
    for row in rows {
        text.push_str(&["\n", row.requirement, ": ", row.verdict.mark(), "\n"].concat());
        text.push_str(&wrapped("  ", "  ", &row.claim));
        for (place, query) in row.queries.iter().enumerate() {
            text.push_str(&cited(if place == 0 { "  proof  " } else { "         " }, query));
        }
        if let Some(why) = &row.beyond_the_proof {
            text.push_str(&wrapped("  proof  ", "         ", &format!("none: {why}")));
        }
        for (place, query) in row.published.iter().enumerate() {
            text.push_str(&cited(if place == 0 { "  paper  " } else { "         " }, query));
        }
        for (place, cited) in row.tests.iter().enumerate() {
            let label = if place == 0 { "  tests  " } else { "         " };
            // A long one goes on with its function in the next line.
            let too_long = label.len() + cited.len() > WIDTH;
            let shown = if too_long { cited.replacen("::", "\n           ::", 1) } else { cited.clone() };
            text.push_str(&[label, &shown, "\n"].concat());
        }
        for sighting in &row.seen {
            let seen = if sighting.seen {
                sighting.what.words().to_owned()
            } else {
                format!("NOT: {}", sighting.what.words())
            };
            text.push_str(&wrapped("  seen   ", "         ", &seen));
        }
    }
    text
}

/// A line about the queries under one name.
fn cited(label: &str, query: &evidence::Query) -> String {
    match (query.results.len(), query.proved()) {
        (0, _) => format!("{label}{}: NO RESULT ON FILE\n", query.name),
        (1, 1) => format!("{label}{}: proved\n", query.name),
        (1, _) => {
            let answer = query
                .results
                .values()
                .next()
                .map_or("", |answer| if answer == "false" { "does not hold" } else { answer });
            format!("{label}{}: {answer}\n", query.name)
        }
        (all, proved) => format!("{label}{}: {proved} of {all} proved\n", query.name),
    }
}

fn operations(rows: &[Counted]) -> String {
    let mut text = heading(
        "Table 3: operations, counted while the exchange ran. Paper: its numbers; 1-9: mutual authentication; 1-7: reading one record.",
    );
    let names: Vec<&str> = TABLE_3.iter().map(|row| row.name).collect();
    text.push_str(&counted("operation", rows, &names, ["paper", "1-9", "1-7"]));
    text.push_str(&differences(rows));
    text
}

fn holdings(rows: &[Counted]) -> String {
    let mut text = heading(
        "Table 4: what each party holds for its sessions, counted from its state: after the nine steps, after the seven.",
    );
    let names: Vec<&str> = TABLE_4.iter().map(|row| row.name).collect();
    text.push_str(&counted("held", rows, &names, ["paper", "after 9", "after 7"]));
    text.push_str(&differences(rows));
    text
}

/// A table with three columns for each role.
fn counted(first: &str, rows: &[Counted], names: &[&str], columns: [&str; 3]) -> String {
    let number = |number: Option<u64>| {
        number.map_or_else(|| "·".to_owned(), |n| if n == 0 { "-".to_owned() } else { n.to_string() })
    };
    let roles = ROLES.iter().flat_map(|role| [format!("{} ({})", role.paper, role.ours), String::new(), String::new()]);
    let mut lines = vec![std::iter::once(String::new()).chain(roles).collect::<Vec<_>>()];
    let repeated = ROLES.iter().flat_map(|_| columns.map(str::to_owned));
    lines.push(std::iter::once(first.to_owned()).chain(repeated).collect());
    for (row, name) in rows.iter().zip(names) {
        let cells = row
            .cells()
            .flat_map(|cell| [number(cell.paper), number(Some(cell.authentication)), number(Some(cell.transmission))]);
        lines.push(std::iter::once((*name).to_owned()).chain(cells).collect());
    }
    // The roles' names stand over three columns each and must not widen the first of them.
    let width =
        |column: usize| lines.iter().skip(1).filter_map(|line| line.get(column)).map(|c| c.chars().count()).max();
    let widths: Vec<usize> = (0..=3 * ROLES.len()).map(|column| width(column).unwrap_or_default()).collect();
    let mut text = String::new();
    for line in &lines {
        let mut written = String::new();
        let mut at = 0;
        for (place, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let gap = if place % 3 == 1 { "   " } else { "  " };
            if place > 0 {
                at += gap.len();
            }
            // Numbers stand at the right, names at the left.
            let padding = if place == 0 || cell.contains('(') { 0 } else { width - cell.chars().count() };
            if !cell.is_empty() {
                while written.chars().count() < at + padding {
                    written.push(' ');
                }
                written.push_str(cell);
            }
            at += width;
        }
        text.push_str(written.trim_end());
        text.push('\n');
    }
    text
}

fn differences(rows: &[Counted]) -> String {
    let mut text = "\nWhere they differ, and why:\n".to_owned();
    for row in rows.iter().filter(|row| !row.difference.is_empty()) {
        text.push_str(&wrapped(&format!("  {}: ", row.name), "    ", row.difference));
    }
    text
}

fn bytes(evaluation: &Evaluation) -> String {
    let mut text = heading(&format!(
        "Bytes on the wire, for a record of {} bytes. The paper gives none.",
        evaluation.record_bytes
    ));
    let rows: Vec<Vec<String>> = evaluation
        .steps
        .iter()
        .map(|step| {
            let phase = if step.phase == "authentication" { "3.2.1" } else { "3.2.2" };
            vec![
                phase.to_owned(),
                step.step.to_string(),
                step.route.to_owned(),
                format!("{:>6}", step.bytes),
                step.what.to_owned(),
            ]
        })
        .collect();
    text.push_str(&table(&["section", "step", "route", " bytes", "protocol message"], &rows));
    text.push('\n');
    let rows: Vec<Vec<String>> = PHASES
        .iter()
        .zip(&evaluation.hops)
        .flat_map(|(phase, hops)| {
            ["LHC to HTSC", "HTSC to HIMC"].into_iter().zip(hops).map(|(hop, traffic)| {
                let cells = [traffic.forth, traffic.back, traffic.forth + traffic.back];
                std::iter::once((*phase).to_owned())
                    .chain([hop.to_owned()])
                    .chain(cells.map(|n| format!("{n:>8}")))
                    .collect()
            })
        })
        .collect();
    text.push_str(&table(&["phase", "hop", "   there", "    back", "TLS bytes"], &rows));
    text.push_str(&wrapped(
        "",
        "",
        "TLS bytes are those of the sockets: handshakes of the hops (in the first phase), HTTP/2, TLS records and the broker's signs of life included.",
    ));
    text
}

fn heading(title: &str) -> String {
    wrapped("", "", title) + "\n"
}

/// Text in lines of at most [`WIDTH`] columns.
pub(super) fn wrapped(first: &str, rest: &str, text: &str) -> String {
    let mut lines = String::new();
    let mut line = first.to_owned();
    let mut empty = true;
    for word in text.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push_str(line.trim_end());
            lines.push('\n');
            rest.clone_into(&mut line);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    lines.push_str(line.trim_end());
    lines.push('\n');
    lines
}
