//! Runs `tests/scripts/group/*.txt`: commands, each followed by the trace that it has to leave.
//!
//! Must never accept a trace that differs; `MILENA_REWRITE=1` writes the traces anew, for a human to read in the diff.
//!
//! A script is made of blocks with an empty line between them: comment lines (`#`), one command, `----`, the trace.

use std::fs;
use std::path::{Path, PathBuf};

use milena_coordinator::group::{DeletedTopic, GroupConfig, Input, TimerKey};
use uuid::Uuid;

use crate::command::{Command, duration};
use crate::show;
use crate::world::World;

#[test]
fn every_script_leaves_its_trace() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts/group");
    let mut scripts: Vec<PathBuf> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.sort();
    assert!(!scripts.is_empty());
    let rewrite = std::env::var_os("MILENA_REWRITE").is_some();
    let mut failed = Vec::new();
    for path in scripts {
        let before = fs::read_to_string(&path).unwrap();
        let after = run(&before);
        if before != after && rewrite {
            fs::write(&path, after).unwrap();
        } else if before != after {
            failed.push(format!("{}:\n{}", path.display(), difference(&before, &after)));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn run(script: &str) -> String {
    let mut world = World::new(GroupConfig::default());
    let blocks = script.split("\n\n").filter(|block| !block.trim().is_empty()).map(|block| {
        let (head, _) = block.split_once("\n----").unwrap_or((block, ""));
        let head = head.trim();
        match head.lines().find(|line| !line.starts_with('#')) {
            None => format!("{head}\n"),
            Some(line) => format!("{head}\n----\n{}", execute(&mut world, line)),
        }
    });
    blocks.collect::<Vec<_>>().join("\n")
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
            let happened = world.input(Input::TopicsDeleted(vec![deleted]));
            show::happened(&happened, world.now, &mut out);
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
    config
}

fn difference(before: &str, after: &str) -> String {
    let lines = before.lines().zip(after.lines()).enumerate();
    match lines.into_iter().find(|(_, (before, after))| before != after) {
        Some((index, (before, after))) => {
            format!("line {}\n  expected {before}\n  got      {after}", index + 1)
        }
        None => format!("expected {} lines, got {}", before.lines().count(), after.lines().count()),
    }
}
