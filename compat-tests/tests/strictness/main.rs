//! What Kafka refuses is refused with the same answer: each case is put to both brokers and the answers compared.
//!
//! The whole answer counts, default fields and messages included. A case must never hold what legitimately differs (ports,
//! times, generated ids), so that with `MILENA_TARGET=kafka` two Kafka brokers agree.

mod admin;
mod classic_groups;
mod configs;
mod consumer_groups;
mod consumer_sequences;
mod data;
mod groups;
mod produce;
mod quotas;
mod topics;
mod transactions;
mod users;
mod voters;

use std::fmt::Debug;
use std::sync::OnceLock;

use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;
use milena_compat_tests::server::Setup;
use milena_compat_tests::{Server, Target};

/// The broker that is judged and the one that is right.
struct Pair {
    judged: Server,
    right: Server,
}

fn pair() -> &'static Pair {
    static PAIR: OnceLock<Pair> = OnceLock::new();
    // Consumer groups are assigned at once, whatever the time; a group is full with four;
    // transactions that last too long are looked for often.
    let start = |target| {
        let setup = Setup::of(target).set("group.consumer.assignment.interval.ms", "0");
        let setup = setup.set("group.consumer.max.size", "4").set("group.max.size", "4");
        setup.set("transaction.abort.timed.out.transaction.cleanup.interval.ms", "300").start()
    };
    PAIR.get_or_init(|| Pair { judged: start(Target::chosen()), right: start(Target::Kafka) })
}

/// The answers of one broker, by case.
#[derive(Default)]
struct Answers(Vec<(String, String)>);

impl Answers {
    fn note(&mut self, case: &str, answer: impl Debug) {
        self.0.push((case.to_owned(), format!("{answer:?}")));
    }
}

/// Puts the same cases to both brokers and shows every difference.
fn compare(cases: impl Fn(&Server, &mut Answers)) {
    let ask = |server: &Server| {
        let mut answers = Answers::default();
        cases(server, &mut answers);
        answers.0
    };
    show(&ask(&pair().judged), &ask(&pair().right));
}

/// Shows every difference between the answers to the same cases.
fn show(judged: &[(String, String)], right: &[(String, String)]) {
    assert_eq!(judged.len(), right.len());
    let mut differences = String::new();
    for ((case, ours), (_, kafkas)) in judged.iter().zip(right) {
        if ours != kafkas {
            differences += &format!("\n{case}:\n    kafka: {kafkas}\n   judged: {ours}\n");
        }
    }
    if std::env::var_os("MILENA_SHOW_ANSWERS").is_some() {
        for (case, kafkas) in right {
            eprintln!("{case}: {kafkas}");
        }
    }
    assert!(differences.is_empty(), "of {} cases these differ:{differences}", right.len());
}

fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}
