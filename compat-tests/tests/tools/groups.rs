//! kafka-consumer-groups and kafka-groups: list, describe, reset in every mode, delete.

use std::fs;

use milena_compat_tests::tool::{Running, Transcript};
use milena_compat_tests::wire::now_ms;
use milena_compat_tests::{Server, paths, wait};

use super::{create, numbers, produce};

fn groups(server: &Server, arguments: &str) -> Transcript {
    server.tool("kafka-consumer-groups").line(arguments).run()
}

/// A group that has read `read` of ten records in the topic's only partition and left.
fn left_after(server: &Server, name: &str, read: usize) {
    create(server, name, "--partitions 1");
    produce(server, name, &numbers(10));
    let consumer = server.tool("kafka-console-consumer").args(["--topic", name, "--group", name]);
    consumer.args(["--from-beginning", "--max-messages", &read.to_string()]).ok();
}

/// A member of a group that has read everything and stays.
fn staying(server: &Server, name: &str) -> Running {
    create(server, name, "--partitions 1");
    produce(server, name, "one\n");
    let consumer = server.tool("kafka-console-consumer").args(["--topic", name, "--group", name]);
    let member = consumer.args(["--from-beginning", "--command-property", "client.id=stays"]).spawn();
    let _ = member.wait_for("the record", |text| text == "one\n");
    member
}

/// The columns of the row of a topic's partition 0.
fn row(text: &str, topic: &str) -> Vec<String> {
    let found = text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    let mut rows = found.filter(|columns| columns.iter().any(|column| column == topic) && columns.len() > 3);
    rows.next().unwrap_or_else(|| panic!("no row of {topic} in {text}"))
}

#[test]
fn a_group_is_listed_with_its_type_and_state() {
    let server = Server::shared();
    left_after(server, "grp-list", 10);
    let member = staying(server, "grp-list-stays");
    let listed = groups(server, "--list").ok();
    assert!(listed.lines().any(|line| line == "grp-list"), "{listed}");
    let states = groups(server, "--list --state").ok();
    let state = |name: &str| {
        let line = states.lines().find(|line| line.split_whitespace().next() == Some(name));
        line.and_then(|line| line.split_whitespace().nth(1)).map(str::to_owned)
    };
    assert_eq!(state("grp-list").as_deref(), Some("Empty"), "{states}");
    assert_eq!(state("grp-list-stays").as_deref(), Some("Stable"), "{states}");
    let stable = groups(server, "--list --state Stable").ok();
    assert!(stable.contains("grp-list-stays") && !stable.contains("grp-list "), "{stable}");
    let classic = groups(server, "--list --type classic").ok();
    assert!(classic.lines().any(|line| line.split_whitespace().eq(["grp-list", "Classic"])), "{classic}");

    let all = server.tool("kafka-groups").arg("--list").ok();
    let line = all.lines().find(|line| line.split_whitespace().next() == Some("grp-list")).expect("listed");
    assert!(line.contains("Classic") && line.contains("consumer"), "{line}");
    let _ = member.stop();
}

#[test]
fn offsets_and_lag_are_described() {
    let server = Server::shared();
    left_after(server, "grp-lag", 4);
    let told = groups(server, "--describe --group grp-lag");
    assert!(told.all().contains("Consumer group 'grp-lag' has no active members."), "{told}");
    assert_eq!(row(&told.text(), "grp-lag")[..6], ["grp-lag", "grp-lag", "0", "4", "10", "6"], "{told}");
}

#[test]
fn members_and_state_are_described() {
    let server = Server::shared();
    let member = staying(server, "grp-members");
    let members = groups(server, "--describe --group grp-members --members --verbose").ok();
    let columns = row(&members, "grp-members");
    assert!(columns[1].starts_with("stays-"), "{members}");
    assert_eq!(columns[2], "/127.0.0.1", "{members}");
    assert_eq!(columns[3..5], ["stays", "1"], "{members}");
    assert!(members.contains("grp-members(0)") || members.contains("grp-members:0"), "{members}");

    let state = groups(server, "--describe --group grp-members --state").ok();
    let columns = row(&state, "grp-members");
    assert_eq!(columns[1], server.bootstrap(), "{state}");
    assert_eq!(columns[2..6], ["(1)", "range", "Stable", "1"], "{state}");

    let offsets = groups(server, "--describe --group grp-members --offsets").ok();
    let columns = row(&offsets, "grp-members");
    assert!(columns[6].starts_with("stays-") && columns[7] == "/127.0.0.1", "{offsets}");
    let _ = member.stop();
}

#[test]
fn a_group_that_does_not_exist_is_said_not_to() {
    let server = Server::shared();
    let told = groups(server, "--describe --group grp-nobody");
    assert!(told.all().contains("grp-nobody not found"), "{told}");
}

#[test]
fn offsets_are_reset_in_every_mode() {
    let server = Server::shared();
    left_after(server, "grp-reset", 4);
    let halfway = now_ms() + 1;
    wait::until(wait::PATIENCE, "the next millisecond", || (now_ms() > halfway).then_some(()));
    produce(server, "grp-reset", &numbers(5));
    let moment = utc(halfway);
    for (mode, offset) in [
        ("--to-earliest", "0"),
        ("--to-latest", "15"),
        ("--to-offset 7", "7"),
        ("--to-current", "7"),
        ("--shift-by -3", "4"),
        ("--shift-by 2", "6"),
        ("--shift-by 1000", "15"),
        ("--to-offset 1000", "15"),
        (&format!("--to-datetime {moment}"), "10"),
        ("--by-duration PT1H", "0"),
    ] {
        let arguments = format!("--reset-offsets --group grp-reset --topic grp-reset {mode}");
        let planned = groups(server, &format!("{arguments} --dry-run")).ok();
        assert_eq!(row(&planned, "grp-reset")[3], offset, "{mode}: {planned}");
        let done = groups(server, &format!("{arguments} --execute")).ok();
        assert_eq!(row(&done, "grp-reset")[3], offset, "{mode}: {done}");
        let described = groups(server, "--describe --group grp-reset").ok();
        assert_eq!(row(&described, "grp-reset")[3], offset, "{mode}: {described}");
    }
}

#[test]
fn a_reset_is_exported_and_read_back() {
    let server = Server::shared();
    left_after(server, "grp-export", 3);
    let exported = groups(
        server,
        "--reset-offsets --group grp-export --topic grp-export --to-current --export --dry-run",
    )
    .ok();
    assert_eq!(exported.trim(), "grp-export,0,3");
    let scratch = paths::scratch("reset");
    let file = scratch.path().join("plan.csv");
    fs::write(&file, "grp-export,0,8\n").expect("the scratch directory is writable");
    let from = format!("--reset-offsets --group grp-export --execute --from-file {}", file.display());
    assert_eq!(row(&groups(server, &from).ok(), "grp-export")[3], "8");
}

#[test]
fn offsets_of_a_group_at_work_are_not_reset() {
    let server = Server::shared();
    let member = staying(server, "grp-busy");
    let reset =
        groups(server, "--reset-offsets --group grp-busy --topic grp-busy --to-earliest --execute").all();
    assert!(reset.contains("Assignments can only be reset if the group 'grp-busy' is inactive"), "{reset}");
    let delete = groups(server, "--delete --group grp-busy").all();
    assert!(delete.contains("GroupNotEmptyException"), "{delete}");
    let offsets = groups(server, "--delete-offsets --group grp-busy --topic grp-busy").all();
    assert!(offsets.contains("GroupSubscribedToTopicException"), "{offsets}");
    let _ = member.stop();
}

#[test]
fn an_empty_group_is_deleted() {
    let server = Server::shared();
    left_after(server, "grp-delete", 2);
    let told = groups(server, "--delete --group grp-delete").ok();
    assert!(told.contains("Deletion of requested consumer groups ('grp-delete') was successful."), "{told}");
    assert!(!groups(server, "--list").ok().lines().any(|line| line == "grp-delete"));
    let again = groups(server, "--delete --group grp-delete").all();
    assert!(again.contains("GroupIdNotFoundException"), "{again}");
}

#[test]
fn offsets_of_one_topic_are_deleted() {
    let server = Server::shared();
    left_after(server, "grp-offsets", 2);
    create(server, "grp-offsets-other", "");
    let reset = "--reset-offsets --group grp-offsets --topic grp-offsets-other --to-earliest --execute";
    groups(server, reset).ok();
    let told = groups(server, "--delete-offsets --group grp-offsets --topic grp-offsets").ok();
    assert!(told.contains("Request succeeded for deleting offsets from group grp-offsets."), "{told}");
    let left = groups(server, "--describe --group grp-offsets").ok();
    let topics: Vec<&str> = left.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert!(topics.contains(&"grp-offsets-other") && !topics.contains(&"grp-offsets"), "{left}");
}

/// The form that `--to-datetime` reads, from milliseconds since 1970.
fn utc(at_ms: i64) -> String {
    let days = at_ms.div_euclid(86_400_000);
    let in_day = at_ms.rem_euclid(86_400_000);
    // Days to a date of the proleptic Gregorian calendar, with years that begin in March.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (in_day / 3_600_000, in_day / 60_000 % 60, in_day / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}", in_day % 1000)
}
