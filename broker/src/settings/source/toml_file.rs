//! TOML files: Kafka's dotted names are TOML's dotted keys, tables may stand for the common beginning of names.
//!
//! Must never give a value another meaning than the same text has in a properties file.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{BadLine, Line};

/// What to do about a file that is not TOML.
pub const REMEDY: &str = "put texts in quotes; where one name is the beginning of another \
     (max.connections and max.connections.per.ip), put the whole longer name in quotes";

/// Values nest as deep as names have parts; Kafka's have at most ten.
const MAX_DEPTH: usize = 32;

/// All pairs of a file by line, or every bad place.
pub fn parse(text: &str) -> Result<Vec<Line>, Vec<BadLine>> {
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(0, |span| line_of(text, span.start));
        vec![BadLine { line, what: error.message().trim().to_owned() }]
    })?;
    let mut reader = Reader { text, lines: Vec::new(), bad: Vec::new() };
    reader.table(table.get_ref(), "", 0);
    let Reader { mut lines, mut bad, .. } = reader;
    lines.sort_by_key(|line| line.line);
    bad.sort_by_key(|bad| bad.line);
    if bad.is_empty() { Ok(lines) } else { Err(bad) }
}

struct Reader<'a> {
    text: &'a str,
    lines: Vec<Line>,
    bad: Vec<BadLine>,
}

impl Reader<'_> {
    fn table(&mut self, table: &DeTable<'_>, prefix: &str, depth: usize) {
        for (key, value) in table {
            let name = match prefix {
                "" => key.get_ref().to_string(),
                _ => format!("{prefix}.{}", key.get_ref()),
            };
            let line = line_of(self.text, key.span().start);
            if depth == MAX_DEPTH {
                self.bad.push(BadLine { line, what: format!("{name} is nested too deep") });
                continue;
            }
            match value.get_ref() {
                DeValue::Table(inner) => self.table(inner, &name, depth + 1),
                DeValue::Array(items) => {
                    let texts: Result<Vec<_>, _> = items.iter().map(plain).collect();
                    match texts {
                        Ok(texts) => self.lines.push(Line { line, name, text: texts.join(",") }),
                        Err(what) => self.bad.push(BadLine { line, what: format!("{name}: {what}") }),
                    }
                }
                _ => match plain(value) {
                    Ok(text) => self.lines.push(Line { line, name, text: text.into_owned() }),
                    Err(what) => self.bad.push(BadLine { line, what: format!("{name}: {what}") }),
                },
            }
        }
    }
}

/// A value that is neither table nor array, as Kafka would read it from a properties file.
fn plain<'a>(value: &'a Spanned<DeValue<'_>>) -> Result<Cow<'a, str>, String> {
    match value.get_ref() {
        DeValue::String(text) => Ok(Cow::Borrowed(text)),
        DeValue::Boolean(value) => Ok(Cow::Borrowed(if *value { "true" } else { "false" })),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map(|number| Cow::Owned(number.to_string()))
            .map_err(|_| format!("{} is no 64-bit number", number.as_str())),
        DeValue::Float(number) => Ok(Cow::Borrowed(number.as_str())),
        DeValue::Datetime(_) => Err("a date is no value of any setting".to_owned()),
        DeValue::Array(_) | DeValue::Table(_) => Err("a list holds texts and numbers only".to_owned()),
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|&&byte| byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: &[(usize, &str, &str)]) {
        let lines = parse(text).unwrap_or_else(|bad| panic!("{bad:?}"));
        let lines: Vec<_> =
            lines.iter().map(|line| (line.line, line.name.as_str(), line.text.as_str())).collect();
        assert_eq!(lines, expected, "{text}");
    }

    #[test]
    fn dotted_keys_and_tables_give_the_same_names() {
        check(
            "log.retention.ms = 1000\nnode.id = 7",
            &[(1, "log.retention.ms", "1000"), (2, "node.id", "7")],
        );
        check(
            "[log]\nretention.ms = 1000\n[log.segment]\nbytes = 2_000_000",
            &[(2, "log.retention.ms", "1000"), (4, "log.segment.bytes", "2000000")],
        );
        check("log = { retention = { ms = 1 } }", &[(1, "log.retention.ms", "1")]);
    }

    #[test]
    fn a_name_that_begins_another_is_put_in_quotes() {
        check(
            "max.connections = 5\n\"max.connections.per.ip\" = 3",
            &[(1, "max.connections", "5"), (2, "max.connections.per.ip", "3")],
        );
        let bad = parse("max.connections = 5\nmax.connections.per.ip = 3").expect_err("TOML forbids it");
        assert_eq!(bad[0].line, 2);
    }

    #[test]
    fn lists_booleans_numbers_and_texts_become_what_properties_hold() {
        check(
            "listeners = [\"A://:1\", \"B://:2\"]\nauto.create.topics.enable = false\nlog.cleaner.min.cleanable.ratio = 0.25\nx.y = 0x10",
            &[
                (1, "listeners", "A://:1,B://:2"),
                (2, "auto.create.topics.enable", "false"),
                (3, "log.cleaner.min.cleanable.ratio", "0.25"),
                (4, "x.y", "16"),
            ],
        );
    }

    #[test]
    fn every_bad_value_is_named_with_its_line() {
        let bad = parse("a = 1979-05-27\nb = 1\nc = [[1]]").expect_err("two bad values");
        assert_eq!(bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(parse("a = \nb = 2").expect_err("no value")[0].line, 1);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[a-c.=\\[\\]{}\"'0-9 #\n,]{0,80}") {
            let _ = parse(&text);
        }
    }
}
