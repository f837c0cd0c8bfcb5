//! One picture of the table: what a broker costs, in multiples of the bare loop.
//!
//! It must never show what is not in the table beside it.

use std::fmt::Write as _;

/// One pair of bars.
pub(crate) struct Bars<'a> {
    pub(crate) what: &'a str,
    /// Multiples of the limit.
    pub(crate) milena: f64,
    pub(crate) kafka: f64,
}

const WIDTH: f64 = 960.0;
const TEXT: f64 = 400.0;
const BAR: f64 = 12.0;
const STEP: f64 = 38.0;
const TOP: f64 = 56.0;
/// The scale ends here; it is logarithmic, since the two are that far apart.
const MOST: f64 = 256.0;
const LINES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// An SVG document.
pub(crate) fn svg(bars: &[Bars<'_>]) -> String {
    let height = TOP + STEP * bars.len() as f64 + 16.0;
    let mut text = String::new();
    let mut say = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    say(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\">"
    ));
    say(format!("<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>"));
    say("<text x=\"12\" y=\"22\" font-size=\"15\">Processor time of the broker, in multiples of a bare loop that does the same</text>".into());
    for line in LINES {
        let at = TEXT + length(line);
        say(format!("<path d=\"M{at:.1} {TOP}V{:.1}\" stroke=\"#ddd\"/>", height - 12.0));
        say(format!(
            "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#666\">{line}</text>",
            TOP - 8.0
        ));
    }
    for (index, bar) in bars.iter().enumerate() {
        let y = TOP + STEP * index as f64 + 6.0;
        say(format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            TEXT - 8.0,
            y + 16.0,
            bar.what
        ));
        for (value, name, colour, y) in
            [(bar.milena, "Milena", "#2a7f62", y), (bar.kafka, "Kafka", "#b8b8b8", y + BAR + 1.0)]
        {
            let long = length(value);
            say(format!(
                "<rect x=\"{TEXT}\" y=\"{y:.1}\" width=\"{long:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>"
            ));
            let (x, y) = (TEXT + long + 4.0, y + BAR - 2.0);
            say(format!("<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"11\">{name} {value:.1}</text>"));
        }
    }
    let _ = writeln!(text, "</svg>");
    text
}

/// How long a bar of this many limits is.
fn length(multiple: f64) -> f64 {
    (WIDTH - TEXT - 90.0) * (multiple.clamp(1.0, MOST)).ln() / MOST.ln()
}
