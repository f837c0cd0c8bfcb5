//! Reset plans as CSV: what `--export` prints and `--from-file` reads (`CsvUtils` of Kafka 4.3.1).
//!
//! Must never read a line otherwise than it was written.

use std::collections::BTreeMap;

use crate::tools::client::{Partition, Refused};

/// Longer texts are put in quotes without a look at them, as Jackson does.
const PLAIN_CHARS_MAX: usize = 24;

/// Offsets by group and partition.
pub(super) type Plan = BTreeMap<String, BTreeMap<Partition, i64>>;

/// One line, with its end.
pub(super) fn line(group: Option<&str>, (topic, index): &Partition, offset: i64) -> String {
    let group = group.map(|group| format!("{},", quoted(group))).unwrap_or_default();
    format!("{group}{},{index},{offset}\n", quoted(topic))
}

fn quoted(text: &str) -> String {
    let needs = text.len() > PLAIN_CHARS_MAX || text.contains([',', '"', '\n', '\r']);
    if needs { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

/// Lines of three columns are of the one group that was named; those of four name theirs.
pub(super) fn read(text: &str, groups: &[&str]) -> Result<Plan, Refused> {
    let mut plan = Plan::new();
    let lines: Vec<Vec<String>> = text.lines().filter(|line| !line.is_empty()).map(columns).collect();
    let single =
        groups.first().filter(|_| groups.len() == 1 && lines.first().is_some_and(|line| line.len() == 3));
    for line in &lines {
        let (group, rest) = match (single, &line[..]) {
            (Some(group), [_, _, _]) => (*group, &line[..]),
            (None, [group, ..]) if line.len() == 4 => (group.as_str(), &line[1..]),
            _ => return Err(unreadable(line)),
        };
        let partition = rest[1].trim().parse().map_err(|_| unreadable(line))?;
        let offset = rest[2].trim().parse().map_err(|_| unreadable(line))?;
        plan.entry(group.to_owned()).or_default().insert((rest[0].clone(), partition), offset);
    }
    Ok(plan)
}

fn unreadable(line: &[String]) -> Refused {
    let message = format!("a line that is not group,topic,partition,offset: {}", line.join(","));
    Refused::own("com.fasterxml.jackson.dataformat.csv.CsvReadException", message)
}

fn columns(line: &str) -> Vec<String> {
    let (mut columns, mut text, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if is_quoted && chars.peek() == Some(&'"') => {
                text.push('"');
                chars.next();
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => columns.push(std::mem::take(&mut text)),
            _ => text.push(c),
        }
    }
    columns.push(text);
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let partition = ("a-topic-with-a-very-long-name".to_owned(), 3);
        let text = line(Some("g,\"x\""), &partition, 7);
        assert_eq!(text, "\"g,\"\"x\"\"\",\"a-topic-with-a-very-long-name\",3,7\n");
        let plan = read(&text, &["other"]).expect("four columns");
        assert_eq!(plan["g,\"x\""][&partition], 7);
        let plan = read("t,0,5\nt,1,6\n", &["mine"]).expect("three columns");
        assert_eq!(plan["mine"].len(), 2);
        assert!(read("t,0\n", &["mine"]).is_err());
        assert!(read("t,0,5\n", &["mine", "yours"]).is_err());
    }
}
