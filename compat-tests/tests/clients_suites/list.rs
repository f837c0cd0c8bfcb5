//! The list of a suite's tests, `suites/<suite>.txt`, and its comparison with what a run gave.
//!
//! A line is a test's name; it passes on Kafka and here. `name # not yet: reason` passes on Kafka and fails here.
//! `name # not on Kafka: reason` may do as it likes. `name # client race: reason` passes on Kafka, and here whenever the
//! client does not lose a race against itself. It must never let a test disappear: one that is listed must be run.

use std::fs;

use milena_compat_tests::{Target, fetched};

pub(crate) struct List {
    tests: Vec<(String, Expected)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    Passes,
    NotYet,
    NotOnKafka,
    ClientRace,
}

impl List {
    pub(crate) fn of(suite: &str) -> Self {
        let path = fetched::clients().with_file_name("suites").join(format!("{suite}.txt"));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self::parse(&text)
    }

    fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let tests = lines.map(|line| match line.split_once(" # ") {
            None => (line.to_owned(), Expected::Passes),
            Some((name, reason)) if reason.starts_with("not yet: ") => {
                (name.trim().to_owned(), Expected::NotYet)
            }
            Some((name, reason)) if reason.starts_with("not on Kafka: ") => {
                (name.trim().to_owned(), Expected::NotOnKafka)
            }
            Some((name, reason)) if reason.starts_with("client race: ") => {
                (name.trim().to_owned(), Expected::ClientRace)
            }
            Some((name, reason)) => panic!("{name}: the reason {reason:?} has no known beginning"),
        });
        Self { tests: tests.collect() }
    }

    pub(crate) fn all(&self) -> Vec<&str> {
        self.tests.iter().map(|(name, _)| name.as_str()).collect()
    }

    pub(crate) fn passing(&self, target: Target) -> Vec<&str> {
        let asked = self.tests.iter().filter(|(_, expected)| passes(*expected, target));
        asked.map(|(name, _)| name.as_str()).collect()
    }

    /// One line for each test that was chosen and did not do as the list says.
    pub(crate) fn differences(
        &self,
        target: Target,
        chosen: &[&str],
        outcomes: &[(String, bool)],
    ) -> Vec<String> {
        let listed = self.tests.iter().filter(|(name, _)| chosen.contains(&name.as_str()));
        let differences = listed.filter_map(|(name, expected)| {
            let outcome = outcomes.iter().find(|(ran, _)| ran == name).map(|(_, passed)| *passed);
            match (outcome, passes(*expected, target)) {
                (None, _) => Some(format!("{name} was not run")),
                _ if *expected == Expected::NotOnKafka => None,
                _ if *expected == Expected::ClientRace && target == Target::Milena => None,
                (Some(false), true) => Some(format!("{name} failed")),
                (Some(true), false) => Some(format!("{name} passed: take its reason from the list")),
                (Some(true), true) | (Some(false), false) => None,
            }
        });
        differences.collect()
    }
}

fn passes(expected: Expected, target: Target) -> bool {
    match expected {
        Expected::Passes => true,
        Expected::NotYet | Expected::ClientRace => target == Target::Kafka,
        Expected::NotOnKafka => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_held_against_the_list() {
        let list = List::parse(
            "# a comment\n\na\nb # not yet: transactions\nc # not on Kafka: port\nd\ne # client race: x\n",
        );
        assert_eq!(list.passing(Target::Milena), ["a", "d"]);
        assert_eq!(list.passing(Target::Kafka), ["a", "b", "d", "e"]);
        let ran = [("a", false), ("b", true), ("c", true), ("e", false)];
        let ran = ran.map(|(name, passed)| (name.to_owned(), passed));
        let differences = list.differences(Target::Milena, &list.all(), &ran);
        assert_eq!(differences, ["a failed", "b passed: take its reason from the list", "d was not run"]);
        assert_eq!(list.differences(Target::Kafka, &["a", "b", "c"], &ran), ["a failed"]);
    }
}
