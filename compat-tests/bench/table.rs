//! What was measured of both brokers, as one Markdown table with the ratios.
//!
//! It must never show a number without the other's, nor put two different things into one line.

use std::io::{self, Write};

/// One measured number.
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) larger_is_better: bool,
    pub(crate) value: f64,
}

/// Writes the table to stdout.
pub(crate) fn print(ours: &[Row], theirs: &[Row]) -> io::Result<()> {
    assert_eq!(ours.len(), theirs.len(), "both are measured alike");
    let mut out = io::stdout().lock();
    writeln!(out, "\n| | Milena | Kafka 4.3.1 | better by |\n|---|---:|---:|---:|")?;
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert_eq!(ours.what, theirs.what, "both are measured alike");
        let ratio = if ours.larger_is_better { ours.value / theirs.value } else { theirs.value / ours.value };
        let better = if ratio.is_finite() { format!("{ratio:.1}x") } else { "(none was used)".to_owned() };
        writeln!(out, "| {} | {:.2} | {:.2} | {better} |", ours.what, ours.value, theirs.value)?;
    }
    Ok(())
}

/// The value that this part of all does not exceed, 0.5 for the median; sorts them.
pub(crate) fn percentile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values[((last as f64) * part).round() as usize]
}
