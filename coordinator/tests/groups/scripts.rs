//! The commands of `tests/scripts/group/*.txt`.
//!
//! Must never guess: what it does not understand fails the script.

use milena_coordinator::group::{ChangedTopics, DeletedTopic, GroupConfig, Input, MigrationPolicy, TimerKey};
use milena_coordinator::image::ConfigKind;
use milena_storage::ids::ProducerId;
use uuid::Uuid;

use crate::command::{Command, duration};
use crate::runner;
use crate::show;
use crate::world::World;

#[test]
fn every_script_leaves_its_trace() {
    runner::check("group", || World::new(GroupConfig::default()), execute);
}

fn execute(world: &mut World, line: &str) -> String {
    let command = Command::parse(line);
    let mut out = String::new();
    if let Some(request) = command.request() {
        let (_, happened) =
            world.request(command.option("client").unwrap_or("c"), command.version(), request);
        show::happened(&happened, world.now, &mut out);
        return out;
    }
    match command.name {
        "tick" => {
            // Deadlines are shown relative to when they were set, so one at a time.
            let end = world.now.0 + duration(command.word(0));
            while world.now.0 < end {
                let next = world.timers.values().map(|at| at.0).min().unwrap_or(end).clamp(world.now.0, end);
                for happened in world.tick(next - world.now.0) {
                    // Looking for expired offsets and finding none is what happens most of the time.
                    let idle = happened.fired == Some(TimerKey::Expiry) && happened.output.records.is_empty();
                    if !idle {
                        show::happened(&happened, world.now, &mut out);
                    }
                }
            }
        }
        "restart" => {
            let config = configure(world.config.clone(), &command);
            let happened = world.restart(config);
            show::happened(&happened, world.now, &mut out);
        }
        "topic-deleted" => {
            let id = Uuid::from_u128(command.number("id", 0) as u128);
            let deleted = DeletedTopic { name: command.word(0).to_owned(), id };
            let topics = ChangedTopics { deleted: vec![deleted], ..ChangedTopics::default() };
            let happened = world.input(Input::TopicsChanged(topics));
            show::happened(&happened, world.now, &mut out);
        }
        "topic" => {
            let partitions = command.word(1).parse().expect("a count of partitions");
            let happened = world.change_topic(command.word(0), partitions);
            show::happened(&happened, world.now, &mut out);
        }
        "rack" => world.cluster.put_rack(command.word(0).parse().expect("a broker"), command.word(1)),
        "group-config" => {
            let configs =
                command.options().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            world.cluster.put_config(ConfigKind::Group, command.word(0), configs);
        }
        "end-txn" => {
            let producer = ProducerId(command.number("pid", 1));
            world.end_transaction(producer, command.word(0) == "commit");
        }
        other => panic!("unknown command {other}"),
    }
    out
}

fn configure(mut config: GroupConfig, command: &Command<'_>) -> GroupConfig {
    if command.option("max-size").is_some() {
        config.max_size = command.number("max-size", 0) as usize;
    }
    if command.option("delay").is_some() {
        config.initial_rebalance_delay_ms = command.duration("delay", "0s") as i32;
    }
    let consumer = &mut config.consumer;
    if command.option("consumer-max-size").is_some() {
        consumer.max_size = command.number("consumer-max-size", 0) as usize;
    }
    if command.option("interval").is_some() {
        consumer.assignment_interval_ms = command.duration("interval", "0s") as i32;
    }
    if let Some(policy) = command.option("migration") {
        let is = |names: [&str; 2]| names.contains(&policy);
        consumer.migration = MigrationPolicy {
            upgrade: is(["upgrade", "bidirectional"]),
            downgrade: is(["downgrade", "bidirectional"]),
        };
    }
    config
}
