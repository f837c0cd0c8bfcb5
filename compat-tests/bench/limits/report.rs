//! What was measured, as one Markdown table with the ratios.
//!
//! It must never show a ratio of two runs, nor a number that was not measured: what is missing is a dash, and a note says why.

use std::fmt::Write as _;

use crate::plot::{Bar, Group};
use crate::stats::median;

/// Who is measured, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    /// A bare loop, which is the machine's limit.
    Limit,
    Milena,
    Kafka,
    Kfake,
    Tansu,
}

impl Column {
    pub(crate) const ALL: [Self; 5] = [Self::Limit, Self::Milena, Self::Kafka, Self::Kfake, Self::Tansu];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Limit => "Bare loop",
            Self::Milena => "Milena",
            Self::Kafka => "Kafka 4.3.1",
            Self::Kfake => "kfake",
            Self::Tansu => "Tansu",
        }
    }
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) name: &'static str,
    pub(crate) larger_is_better: bool,
}

const fn smaller(name: &'static str) -> Unit {
    Unit { name, larger_is_better: false }
}

const fn larger(name: &'static str) -> Unit {
    Unit { name, larger_is_better: true }
}

pub(crate) const RATE: Unit = larger("MB/s");
pub(crate) const PER_GB: Unit = smaller("processor (s per GB)");
pub(crate) const REQUESTS: Unit = larger("requests/s");
pub(crate) const EACH: Unit = smaller("processor (us each)");
pub(crate) const P50: Unit = smaller("p50 (ms)");
pub(crate) const P99: Unit = smaller("p99 (ms)");
pub(crate) const P999: Unit = smaller("p99.9 (ms)");
pub(crate) const P9999: Unit = smaller("p99.99 (ms)");
pub(crate) const WORST: Unit = smaller("longest (ms)");
pub(crate) const TIME: Unit = smaller("ms");
pub(crate) const MIB: Unit = smaller("MiB");
pub(crate) const KIB: Unit = smaller("KiB each");
pub(crate) const BUSY: Unit = smaller("% of a core");

/// What one run gave.
pub(crate) type Numbers = Vec<(Unit, f64)>;

#[derive(Debug)]
struct Row {
    what: String,
    unit: Unit,
    values: [Option<f64>; Column::ALL.len()],
}

/// All that is known of a part so far.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Table {
    /// Notes the median of each number of several runs.
    pub(crate) fn runs(&mut self, column: Column, what: &str, runs: &[Numbers]) {
        let Some(first) = runs.first() else { return };
        for (index, (unit, _)) in first.iter().enumerate() {
            let values: Vec<f64> = runs.iter().filter_map(|run| run.get(index)).map(|run| run.1).collect();
            self.put(column, what, *unit, median(&values));
        }
    }

    pub(crate) fn put(&mut self, column: Column, what: &str, unit: Unit, value: f64) {
        let at = Column::ALL.iter().position(|each| *each == column).unwrap_or_default();
        if let Some(row) = self.rows.iter_mut().find(|row| row.what == what && row.unit == unit) {
            row.values[at] = Some(value);
            return;
        }
        let mut values = [None; Column::ALL.len()];
        values[at] = Some(value);
        self.rows.push(Row { what: what.to_owned(), unit, values });
    }

    /// Says why something is missing, or what else has to be known.
    pub(crate) fn note(&mut self, text: String) {
        if !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }

    /// The bars of one unit.
    pub(crate) fn groups(&self, unit: Unit) -> Vec<Group> {
        let rows = self.rows.iter().filter(|row| row.unit == unit);
        let group = |row: &Row| Group {
            what: row.what.clone(),
            bars: self
                .shown()
                .filter_map(|(at, column)| Some(Bar { column, value: row.values[at]? }))
                .collect(),
        };
        rows.map(group).collect()
    }

    fn shown(&self) -> impl Iterator<Item = (usize, Column)> {
        let has = |at: usize| self.rows.iter().any(|row| row.values[at].is_some());
        Column::ALL.into_iter().enumerate().filter(move |(at, _)| has(*at))
    }

    /// The table, and the notes beneath it.
    pub(crate) fn markdown(&self) -> String {
        let columns: Vec<(usize, Column)> = self.shown().collect();
        let has = |wanted: Column| columns.iter().any(|(_, column)| *column == wanted);
        let (limit, kafka) = (has(Column::Limit), has(Column::Kafka));
        let mut titles: Vec<&str> = columns.iter().map(|(_, column)| column.title()).collect();
        titles.extend(limit.then_some("Milena of the limit"));
        titles.extend(kafka.then_some("Milena better than Kafka by"));
        let mut text = format!("| | {} |\n|---|{}\n", titles.join(" | "), "---:|".repeat(titles.len()));
        for row in &self.rows {
            let mut cells: Vec<String> =
                columns.iter().map(|(at, _)| row.values[*at].map_or_else(dash, digits)).collect();
            let ratio = |to: Column| row.better_than(to);
            cells.extend(limit.then(|| ratio(Column::Limit).map_or_else(dash, |of| format!("{of:.2}"))));
            cells.extend(kafka.then(|| ratio(Column::Kafka).map_or_else(dash, |by| format!("{by:.1}x"))));
            let _ = writeln!(text, "| {}: {} | {} |", row.what, row.unit.name, cells.join(" | "));
        }
        for note in &self.notes {
            let _ = write!(text, "\n- {note}");
        }
        text.push_str(if self.notes.is_empty() { "" } else { "\n" });
        text
    }
}

impl Row {
    /// Milena's part of another's, above one where Milena is better.
    fn better_than(&self, other: Column) -> Option<f64> {
        let of = |wanted: Column| {
            let at = Column::ALL.iter().position(|column| *column == wanted)?;
            self.values[at]
        };
        let (ours, theirs) = (of(Column::Milena)?, of(other)?);
        let ratio = if self.unit.larger_is_better { ours / theirs } else { theirs / ours };
        ratio.is_finite().then_some(ratio)
    }
}

fn dash() -> String {
    "–".to_owned()
}

/// Three digits that say something.
pub(crate) fn digits(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_medians_ratios_and_dashes() {
        let mut table = Table::default();
        let runs = |values: [f64; 3]| values.map(|value| vec![(RATE, value), (PER_GB, 1.0 / value)]);
        table.runs(Column::Limit, "Produce", &runs([4.0, 8.0, 400.0]));
        table.runs(Column::Milena, "Produce", &runs([4.0, 1.0, 4.0]));
        table.runs(Column::Kafka, "Produce", &runs([1.0, 1.0, 0.5]));
        table.put(Column::Tansu, "Fetch", RATE, 1234.5);
        table.note("kfake: not here".to_owned());
        table.note("kfake: not here".to_owned());
        let expected = "\
| | Bare loop | Milena | Kafka 4.3.1 | Tansu | Milena of the limit | Milena better than Kafka by |
|---|---:|---:|---:|---:|---:|---:|
| Produce: MB/s | 8.00 | 4.00 | 1.00 | – | 0.50 | 4.0x |
| Produce: processor (s per GB) | 0.125 | 0.250 | 1.00 | – | 0.50 | 4.0x |
| Fetch: MB/s | – | – | – | 1234 | – | – |

- kfake: not here
";
        assert_eq!(table.markdown(), expected);
    }

    #[test]
    fn what_used_nothing_has_no_ratio() {
        let mut table = Table::default();
        table.put(Column::Milena, "Idle", BUSY, 0.0);
        table.put(Column::Kafka, "Idle", BUSY, 10.0);
        assert!(table.markdown().ends_with("| Idle: % of a core | 0.000 | 10.0 | – |\n"));
    }

    #[test]
    fn a_picture_has_the_rows_of_one_unit() {
        let mut table = Table::default();
        table.put(Column::Milena, "a", PER_GB, 0.5);
        table.put(Column::Kafka, "a", PER_GB, 2.0);
        table.put(Column::Milena, "a", RATE, 100.0);
        let groups = table.groups(PER_GB);
        assert_eq!(groups.len(), 1);
        let bars: Vec<(Column, f64)> = groups[0].bars.iter().map(|bar| (bar.column, bar.value)).collect();
        assert_eq!(bars, [(Column::Milena, 0.5), (Column::Kafka, 2.0)]);
    }

    #[test]
    fn numbers_are_as_long_as_they_say_something() {
        assert_eq!([0.0123, 1.234, 12.34, 123.4].map(digits), ["0.012", "1.23", "12.3", "123"]);
    }
}
