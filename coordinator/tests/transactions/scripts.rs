//! The commands of `tests/scripts/transaction/*.txt`.
//!
//! Must never guess: what it does not understand fails the script.
//!
//! `init ID [timeout=MS] [expect=PID/EPOCH] [2pc] [keep]`, `add ID PID EPOCH TOPIC:P… [tv2]`, `verify …`,
//! `commit|abort ID PID EPOCH [tv2]`, `marked` (all orders under way are carried out), `tick MS`, `restart`, `fresh`,
//! `version N`, `epoch ID N` (moves the id's epoch on, by hand), `list [states=…] [pids=…] [duration=…]`, `describe ID`.

use std::collections::BTreeSet;
use std::fmt::{Debug, Write};

use kafka_protocol::error::ResponseError;
use milena_coordinator::transaction::{
    Change, End, Init, Input, ListFilter, Output, Partitions, Reply, Request, TransactionVersion, decode,
};
use milena_storage::ids::{ProducerEpoch, ProducerId, TopicPartition};

use crate::runner;
use crate::world::World;

#[test]
fn every_script_leaves_its_trace() {
    runner::check("transaction", || World::new(TransactionVersion::V2), execute);
}

fn execute(world: &mut World, line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut trace = String::new();
    match words[0] {
        "marked" => {
            for order in std::mem::take(&mut world.orders) {
                let output = world.input(Input::Marked(order));
                show(&output, &mut trace);
            }
        }
        "tick" => {
            // Looking and finding nothing is what happens most of the time.
            let idle = |output: &Output| output.records.is_empty() && !output.wants_producer_id;
            for output in world.tick(words[1].parse().unwrap()).iter().filter(|output| !idle(output)) {
                show(output, &mut trace);
            }
        }
        "restart" => show(&world.restart(), &mut trace),
        "fresh" => {
            let id = world.fresh();
            show(&world.input(Input::ProducerId(id)), &mut trace);
        }
        "version" => world.version = TransactionVersion(words[1].parse().unwrap()),
        "epoch" => set_epoch(world, words[1], words[2].parse().unwrap()),
        _ => {
            let request = request(world, &words);
            let (reply, output) = world.ask(request);
            writeln!(trace, "{}", said(&reply)).unwrap();
            show(&output, &mut trace);
        }
    }
    trace
}

fn request(world: &mut World, words: &[&str]) -> Request {
    match words[0] {
        "init" => Request::Init(Init {
            id: name(words[1]),
            timeout_ms: option(words, "timeout").map_or(60_000, |text| text.parse().unwrap()),
            two_phase_commit: words.contains(&"2pc"),
            keep_prepared: words.contains(&"keep"),
            expected: option(words, "expect").map(producer),
            fresh: world.fresh(),
        }),
        "add" => Request::AddPartitions(partitions(words)),
        "verify" => Request::VerifyPartitions(partitions(words)),
        "commit" | "abort" => Request::End(End {
            id: name(words[1]),
            producer_id: ProducerId(words[2].parse().unwrap()),
            epoch: ProducerEpoch(words[3].parse().unwrap()),
            commit: words[0] == "commit",
            client_version: client_version(words),
        }),
        "list" => Request::List(ListFilter {
            producer_ids: list(words, "pids").map(|id| ProducerId(id.parse().unwrap())).collect(),
            states: list(words, "states").map(str::to_owned).collect(),
            duration_ms: option(words, "duration").map_or(-1, |text| text.parse().unwrap()),
        }),
        "describe" => Request::Describe(name(words[1])),
        other => panic!("unknown command {other}"),
    }
}

fn partitions(words: &[&str]) -> Partitions {
    let named = words[4..].iter().filter_map(|word| word.split_once(':'));
    Partitions {
        id: name(words[1]),
        producer_id: ProducerId(words[2].parse().unwrap()),
        epoch: ProducerEpoch(words[3].parse().unwrap()),
        partitions: named
            .map(|(topic, index)| TopicPartition::new(topic, index.parse().unwrap()))
            .collect::<BTreeSet<_>>(),
        client_version: client_version(words),
    }
}

fn client_version(words: &[&str]) -> TransactionVersion {
    if words.contains(&"tv2") { TransactionVersion::V2 } else { TransactionVersion::V0 }
}

/// A dash is the empty id.
fn name(word: &str) -> milena_coordinator::transaction::Name {
    if word == "-" { "".into() } else { word.into() }
}

fn option<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

fn list<'a>(words: &[&'a str], name: &str) -> impl Iterator<Item = &'a str> {
    option(words, name).into_iter().flat_map(|text| text.split(','))
}

fn producer(text: &str) -> (ProducerId, ProducerEpoch) {
    let (id, epoch) = text.split_once('/').unwrap();
    (ProducerId(id.parse().unwrap()), ProducerEpoch(epoch.parse().unwrap()))
}

/// As if the id had lived for as long as it takes: its last record once more, with another epoch.
fn set_epoch(world: &mut World, id: &str, epoch: i16) {
    let of_id = world.log.iter().rev().find(|record| record.key.ends_with(id.as_bytes()));
    let mut record = of_id.unwrap().clone();
    let mut value = record.value.unwrap().to_vec();
    value[10..12].copy_from_slice(&epoch.to_be_bytes());
    record.value = Some(value.into());
    world.log.push(record);
    let orders = std::mem::take(&mut world.orders);
    let _ = world.restart();
    world.orders = orders;
}

fn said(reply: &Reply) -> String {
    match reply {
        Reply::Init(Ok(done)) => format!("ok {}/{}", done.producer_id, done.epoch),
        Reply::End(Ok(done)) => format!("ok {}/{}", done.producer_id, done.epoch),
        Reply::Init(Err(error)) | Reply::End(Err(error)) | Reply::AddPartitions(Err(error)) => plain(error),
        Reply::AddPartitions(Ok(())) => "ok".to_owned(),
        Reply::VerifyPartitions(answers) => {
            let answers = answers.iter().map(|added| {
                format!("{}={}", added.partition, added.error.as_ref().map_or("ok".to_owned(), plain))
            });
            answers.collect::<Vec<_>>().join(" ")
        }
        Reply::List(found) => {
            let found =
                found.iter().map(|one| format!("{}[{} {}]", one.id, one.producer_id, one.state.name()));
            format!("list {}", found.collect::<Vec<_>>().join(" "))
        }
        Reply::Describe(Ok(one)) => {
            let partitions = one.partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            format!(
                "{} {}/{} timeout={} started={} [{partitions}]",
                one.state.name(),
                one.producer_id,
                one.epoch,
                one.timeout_ms,
                one.started
            )
        }
        Reply::Describe(Err(error)) => plain(error),
    }
}

fn plain(error: &ResponseError) -> String {
    let error: &dyn Debug = error;
    format!("{error:?}")
}

fn show(output: &Output, trace: &mut String) {
    for record in &output.records {
        match decode(&record.key, record.value.as_deref()).unwrap() {
            Change::Transaction(id, None) => writeln!(trace, "log {id} gone"),
            Change::Transaction(id, Some(now)) => {
                let partitions = now.partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
                writeln!(
                    trace,
                    "log {id} {} {}/{} previous={} next={} started={} updated={} tv{} [{partitions}]",
                    now.state.name(),
                    now.producer_id,
                    now.epoch,
                    now.previous_producer_id,
                    now.next_producer_id,
                    now.started,
                    now.updated,
                    now.client_version.0,
                )
            }
            Change::Unknown => writeln!(trace, "log ?"),
        }
        .unwrap();
    }
    for order in &output.orders {
        let partitions = order.partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let what = if order.commit { "commit" } else { "abort" };
        let (id, producer_id, epoch) = (&order.id, order.producer_id, order.epoch);
        writeln!(trace, "order {what} {id} {producer_id}/{epoch} tv{} [{partitions}]", order.version.0)
            .unwrap();
    }
    for (key, at) in &output.timers {
        writeln!(trace, "timer {key:?} {}", at.map_or(-1, |at| at.0)).unwrap();
    }
    if output.wants_producer_id {
        writeln!(trace, "wants a producer id").unwrap();
    }
}
