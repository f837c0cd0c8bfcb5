//! The text form of Prometheus (version 0.0.4): families of samples with labels.
//!
//! Must never let a label break a line: values are escaped.

use std::fmt::{Display, Write};

#[derive(Debug, Default)]
pub(super) struct Page(String);

/// Samples of one name; they have to stand together.
pub(super) struct Family<'a> {
    page: &'a mut String,
    name: &'static str,
}

impl Page {
    pub(super) fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "gauge", help)
    }

    pub(super) fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "counter", help)
    }

    fn family(&mut self, name: &'static str, kind: &str, help: &str) -> Family<'_> {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family { page: &mut self.0, name }
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

impl Family<'_> {
    /// One sample. What cannot be written to a string does not exist.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.page.push_str(self.name);
        for (index, (name, value)) in labels.iter().enumerate() {
            self.page.push(if index == 0 { '{' } else { ',' });
            let _ = write!(self.page, "{name}=\"");
            value.chars().for_each(|char| match char {
                '\\' => self.page.push_str("\\\\"),
                '"' => self.page.push_str("\\\""),
                '\n' => self.page.push_str("\\n"),
                char => self.page.push(char),
            });
            self.page.push('"');
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.page, "{end} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_lines_whatever_their_labels_hold() {
        let mut page = Page::default();
        let mut family = page.counter("a_total", "What it counts.");
        family.sample(&[], 1);
        family.sample(&[("x", "q\"\\\n"), ("y", "z")], 2.5);
        let expected = "# HELP a_total What it counts.\n# TYPE a_total counter\na_total 1\n\
                        a_total{x=\"q\\\"\\\\\\n\",y=\"z\"} 2.5\n";
        assert_eq!(page.finish(), expected);
    }
}
