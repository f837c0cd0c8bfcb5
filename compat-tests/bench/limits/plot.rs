//! One picture of a table's costs: a group of bars for each row, on a logarithmic scale, since the brokers are that far apart.
//!
//! It must never show what is not in the table beside it.

use std::fmt::Write as _;

use crate::report::{Column, digits};

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) what: String,
    pub(crate) bars: Vec<Bar>,
}

#[derive(Debug)]
pub(crate) struct Bar {
    pub(crate) column: Column,
    pub(crate) value: f64,
}

const WIDTH: f64 = 960.0;
const TEXT: f64 = 330.0;
/// Behind the longest bar there is room for its name and value.
const ROOM: f64 = 140.0;
const BAR: f64 = 12.0;
const GAP: f64 = 12.0;
const TOP: f64 = 56.0;

fn colour(column: Column) -> &'static str {
    match column {
        Column::Limit => "#e0a030",
        Column::Milena => "#2a7f62",
        Column::Kafka => "#8a8a8a",
        Column::Kfake => "#7a9cc6",
        Column::Tansu => "#c08497",
    }
}

/// An SVG document; without bars, only its title.
pub(crate) fn svg(title: &str, groups: &[Group]) -> String {
    let bars: usize = groups.iter().map(|group| group.bars.len()).sum();
    let height = TOP + bars as f64 * (BAR + 1.0) + groups.len() as f64 * GAP + 12.0;
    let scale = Scale::of(groups);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"12\" y=\"22\" font-size=\"15\">{}</text>\n",
        escaped(title)
    );
    for line in scale.lines() {
        let at = TEXT + scale.length(line);
        let _ = write!(
            text,
            "<path d=\"M{at:.1} {TOP}V{:.1}\" stroke=\"#ddd\"/>\n\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#666\">{line}</text>\n",
            height - 12.0,
            TOP - 8.0
        );
    }
    let mut y = TOP + GAP / 2.0;
    for group in groups {
        let middle = y + group.bars.len() as f64 * (BAR + 1.0) / 2.0 + 4.0;
        let (x, what) = (TEXT - 8.0, escaped(&group.what));
        let _ = writeln!(text, "<text x=\"{x:.1}\" y=\"{middle:.1}\" text-anchor=\"end\">{what}</text>");
        for bar in &group.bars {
            let long = scale.length(bar.value);
            let (x, below) = (TEXT + long + 4.0, y + BAR - 2.0);
            let (fill, name) = (colour(bar.column), bar.column.title());
            let _ = write!(
                text,
                "<rect x=\"{TEXT}\" y=\"{y:.1}\" width=\"{long:.1}\" height=\"{BAR}\" fill=\"{fill}\"/>\n\
                 <text x=\"{x:.1}\" y=\"{below:.1}\" font-size=\"11\">{name} {}</text>\n",
                digits(bar.value)
            );
            y += BAR + 1.0;
        }
        y += GAP;
    }
    text.push_str("</svg>\n");
    text
}

/// From a power of ten at or below the least value to one at or above the largest.
struct Scale {
    least: i32,
    most: i32,
}

impl Scale {
    fn of(groups: &[Group]) -> Self {
        let values = groups.iter().flat_map(|group| &group.bars).map(|bar| bar.value);
        // A logarithm knows no zero: what used nothing has a bar of no length.
        let logs: Vec<f64> = values.filter(|value| *value > 0.0).map(f64::log10).collect();
        let least = logs.iter().copied().fold(f64::INFINITY, f64::min).floor();
        let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max).ceil();
        if logs.is_empty() {
            return Self { least: 0, most: 1 };
        }
        Self { least: least as i32, most: (most as i32).max(least as i32 + 1) }
    }

    fn lines(&self) -> impl Iterator<Item = f64> {
        (self.least..=self.most).map(|power| 10_f64.powi(power))
    }

    fn length(&self, value: f64) -> f64 {
        if value <= 0.0 {
            return 0.0;
        }
        let part = (value.log10() - f64::from(self.least)) / f64::from(self.most - self.least);
        (WIDTH - TEXT - ROOM) * part.clamp(0.0, 1.0)
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(what: &str, values: &[(Column, f64)]) -> Group {
        let bars = values.iter().map(|(column, value)| Bar { column: *column, value: *value }).collect();
        Group { what: what.to_owned(), bars }
    }

    #[test]
    fn a_tenfold_cost_is_a_line_further() {
        let groups = [group("a", &[(Column::Milena, 0.3), (Column::Kafka, 3.0)])];
        let scale = Scale::of(&groups);
        assert_eq!((scale.least, scale.most), (-1, 1));
        let line = scale.length(1.0) - scale.length(0.1);
        assert!((scale.length(3.0) - scale.length(0.3) - line).abs() < 1e-9);
        assert_eq!(scale.length(0.1), 0.0);
        assert_eq!(scale.length(10.0), WIDTH - TEXT - ROOM);
    }

    #[test]
    fn every_bar_is_named_and_numbered() {
        let groups = [group("Produce <1 MB>", &[(Column::Limit, 0.25), (Column::Tansu, 12.0)])];
        let text = svg("Cost & time", &groups);
        assert!(text.contains("Produce &lt;1 MB&gt;") && text.contains("Cost &amp; time"));
        assert!(text.contains("Bare loop 0.250") && text.contains("Tansu 12.0"));
        assert_eq!(text.matches("<rect").count(), 3);
        assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"));
    }

    #[test]
    fn nothing_at_all_still_is_a_picture() {
        let text = svg("Nothing", &[group("zero", &[(Column::Milena, 0.0)])]);
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }
}
