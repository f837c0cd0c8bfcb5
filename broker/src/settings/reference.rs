//! `docs/CONFIG.md`, made from the table.
//!
//! Must never say more than the table knows.

use std::fmt::Write;

use super::row::{Check, Effect, Importance, Row};
use super::rows;

/// The whole page.
pub fn page() -> String {
    let mut page = String::from(HEAD);
    for (title, subject) in rows::BROKER_SUBJECTS {
        // Quota rates are hidden from DescribeConfigs until they are set, yet they are there to be set.
        let public = subject.iter().filter(|row| !row.hidden || row.is_dynamic() || row.is_milenas());
        table(&mut page, title, public, true);
    }
    table(&mut page, "Topics", rows::TOPIC_ROWS.iter().filter(|row| !row.hidden), false);
    table(&mut page, "Groups", rows::GROUP_ROWS.iter(), false);
    table(&mut page, "Client metrics subscriptions", rows::CLIENT_METRICS_ROWS.iter(), false);
    page
}

/// What a value may be, as Kafka's documentation writes it; empty if anything goes.
pub fn valid_values(row: &Row) -> String {
    match row.check {
        Check::Any => String::new(),
        Check::Range { min, max: None } => format!("[{min},...]"),
        Check::Range { min, max: Some(max) } => format!("[{min},...,{max}]"),
        Check::OneOf(values) => format!("[{}]", values.join(", ")),
        Check::OneOfIgnoringCase(values) => format!("(case insensitive) [{}]", values.join(", ")),
        Check::Items { values: [], .. } => String::new(),
        Check::Items { values, .. } => format!("[{}]", values.join(", ")),
        Check::NonEmptyText => "non-empty string".to_owned(),
        Check::NonEmptyList => "non-empty list".to_owned(),
        Check::LevelOrDefault { min, max } => format!("[{min},...,{max}] or -1"),
        Check::ThrottledReplicas => "[partitionId]:[brokerId],[partitionId]:[brokerId],...".to_owned(),
        Check::ShareOffsetReset => "[latest, earliest, by_duration:PnDTnHnMn.nS]".to_owned(),
    }
}

const HEAD: &str = "\
# Settings

<!-- Made from the table in broker/src/settings/rows by a test; MILENA_REWRITE=1 cargo test writes it anew. -->

Names, types, defaults and checks are those of Apache Kafka 4.3.1. Values come from, later over earlier: the defaults,
a file (`--config FILE`; TOML if its name ends in `.toml`, else Java properties), `KAFKA_*` variables as Kafka's image
maps them (`_` is `.`, `__` is `_`, `___` is `-`), and `--override name=value`. `milena config` prints what holds and
where each value came from. Clients change the settings marked *per-broker* or *cluster-wide* while the broker runs.

- A default in **bold** is Milena's own and differs from Kafka's, which stands behind it: a single node serves its own
  machine, keeps one replica of internal topics, and does not hold a new group back.
- *no effect* marks what is accepted, checked and described so that files and tools written for Kafka work, but changes
  nothing in Milena today.
- In TOML, put a name that continues another one in quotes: `max.connections = 5` and `\"max.connections.per.ip\" = 3`.
- Names that nobody knows are kept, described to clients as Kafka does, and warned of once.
";

fn table<'a>(page: &mut String, title: &str, rows: impl Iterator<Item = &'a Row>, of_broker: bool) {
    let third = if of_broker { "Update" } else { "Broker setting" };
    let mut line = |text: String| writeln!(page, "{text}").expect("writing to a String succeeds");
    line(format!("\n## {title}\n"));
    line(format!("| Name | Type, values | Default | {third} | Meaning |"));
    line("|---|---|---|---|---|".to_owned());
    for row in rows {
        let kind = row.kind.name().to_lowercase();
        let valid = match valid_values(row) {
            valid if valid.is_empty() => kind,
            valid => format!("{kind} {}", escape(&valid)),
        };
        let third =
            if of_broker { row.update.name().to_owned() } else { row.synonym.map(code).unwrap_or_default() };
        line(format!("| {} | {valid} | {} | {third} | {} |", code(row.name), default(row), meaning(row)));
    }
}

fn default(row: &Row) -> String {
    let show = |default: Option<&str>| match default {
        None => "null".to_owned(),
        Some("") => "empty".to_owned(),
        Some(default) => code(default),
    };
    match row.own_default {
        Some(own) => format!("**{}** (Kafka: {})", code(own), show(row.default)),
        None => show(row.default),
    }
}

fn meaning(row: &Row) -> String {
    let mut text = escape(row.doc);
    if row.kip != 0 {
        write!(text, " (KIP-{})", row.kip).expect("writing to a String succeeds");
    }
    if row.importance == Importance::High {
        text.push_str(" *important*");
    }
    if row.effect == Effect::Accepted {
        text.push_str(" *no effect*");
    }
    text
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn escape(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_page_is_what_the_table_says() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/CONFIG.md");
        let page = page();
        if std::env::var_os("MILENA_REWRITE").is_some() {
            fs::write(&path, &page).expect("a writable page");
        }
        let stored = fs::read_to_string(&path).unwrap_or_default();
        assert!(stored == page, "docs/CONFIG.md is old: MILENA_REWRITE=1 cargo test -p milena the_page_is");
    }

    #[test]
    fn every_row_says_what_it_is_for() {
        let all = rows::broker_rows()
            .chain(rows::TOPIC_ROWS)
            .chain(rows::GROUP_ROWS)
            .chain(rows::CLIENT_METRICS_ROWS);
        for row in all {
            assert!(row.doc.ends_with('.') && row.doc.len() > 15, "{}: {:?}", row.name, row.doc);
        }
    }
}
