//! Running a query: match, order, cut out one page, add what comes along.

use super::filter::{Filter, Scope};
use super::include;
use super::sort::{Key, Place};
use super::{Corpus, Document, Ordinal, Position, Query, Total, Visible};

/// What a search found: one page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The matches of this page, in order.
    pub matches: Vec<Ordinal>,
    /// What comes along by `_include` and `_revinclude`, no match twice.
    pub included: Vec<Ordinal>,
    /// Whether more would have come along than is allowed on one page.
    pub included_cut: bool,
    /// How many matches there are on all pages, unless `_total=none`.
    pub total: Option<u64>,
    /// Where the next page begins; nothing after the last one.
    pub next: Option<Position>,
}

impl Query {
    /// Runs the search: the first page, or the one after a position.
    pub fn run(&self, corpus: &Corpus, visible: &Visible, after: Option<&Position>) -> Found {
        let filter = self.filter(corpus, visible);
        let mut found = if self.sort.is_empty() { self.in_order(&filter, after) } else { self.sorted(&filter, after) };
        if !self.includes.is_empty() {
            (found.included, found.included_cut) = include::included(&filter.scope(), &self.includes, &found.matches);
        }
        found
    }

    /// The search as a filter over documents of this corpus; chains and `_has` are worked out once, here.
    /// Types and criteria count; paging, sorting and includes do not.
    pub fn filter<'q>(&'q self, corpus: &'q Corpus, visible: &'q Visible) -> Filter<'q> {
        Filter::new(self, corpus, visible)
    }

    /// A page in the order of first writing.
    fn in_order(&self, filter: &Filter<'_>, after: Option<&Position>) -> Found {
        let counts = self.total() == Total::Accurate || self.count() == 0;
        let mut total = 0_u64;
        let mut matches = Vec::new();
        if let [_] = self.searches.as_slice() {
            for (at, _, _) in filter.matches() {
                total += 1;
                if after.is_none_or(|after| at > after.ordinal) && matches.len() <= self.count() {
                    matches.push(at);
                    if !counts && matches.len() > self.count() {
                        break;
                    }
                }
            }
        } else {
            let mut all: Vec<Ordinal> = filter.matches().map(|(at, _, _)| at).collect();
            all.sort_unstable();
            total = all.len() as u64;
            let from = after.map_or(0, |after| all.partition_point(|at| *at <= after.ordinal));
            matches.extend(all.iter().skip(from).take(self.count() + 1));
        }
        let more = matches.len() > self.count() && self.count() > 0;
        matches.truncate(self.count());
        let next = matches.last().filter(|_| more).map(|ordinal| Position { keys: Vec::new(), ordinal: *ordinal });
        Found { matches, next, total: counts.then_some(total), ..Found::default() }
    }

    /// A page in the order asked for.
    fn sorted(&self, filter: &Filter<'_>, after: Option<&Position>) -> Found {
        let width = self.sort.len();
        let mut keys = Vec::new();
        let mut rows: Vec<(Ordinal, usize)> = Vec::new();
        let mut total = 0_u64;
        for (at, document, sort_by) in filter.matches() {
            total += 1;
            let row = keys.len();
            keys.extend(sort_by.iter().zip(&self.sort).map(|(parameter, by)| Key::of(document, *parameter, *by)));
            let place = Place { keys: keys.get(row..).unwrap_or_default(), ordinal: at };
            if after.is_none_or(|after| place.compare(&after.place(), &self.sort).is_gt()) {
                rows.push((at, row));
            } else {
                keys.truncate(row);
            }
        }
        let place =
            |row: &(Ordinal, usize)| Place { keys: keys.get(row.1..row.1 + width).unwrap_or_default(), ordinal: row.0 };
        let more = rows.len() > self.count() && self.count() > 0;
        if rows.len() > self.count() {
            // The page alone needs to be in order.
            rows.select_nth_unstable_by(self.count(), |one, other| place(one).compare(&place(other), &self.sort));
            rows.truncate(self.count());
        }
        rows.sort_unstable_by(|one, other| place(one).compare(&place(other), &self.sort));
        let next = rows.last().filter(|_| more).map(|row| Position { keys: place(row).keys.to_vec(), ordinal: row.0 });
        Found {
            matches: rows.iter().map(|(at, _)| *at).collect(),
            next,
            total: (self.total() == Total::Accurate || self.count() == 0).then_some(total),
            ..Found::default()
        }
    }
}

impl<'q> Filter<'q> {
    /// The visible documents that fulfil the query, by type and in order, with what each is sorted by.
    fn matches(&self) -> impl Iterator<Item = (Ordinal, &'q Document, &'q [u8])> {
        let scope: Scope<'q> = self.scope();
        self.searches.iter().flat_map(move |(search, ready)| {
            scope
                .of_type(search.resource_type)
                .filter(move |(at, document)| scope.fulfils(document, || Some(*at), ready))
                .map(|(at, document)| (at, document, search.sort_by.as_slice()))
        })
    }
}
