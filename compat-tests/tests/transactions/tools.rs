//! kafka-transactions with each subcommand, and the files of transactions through kafka-dump-log.

use milena_compat_tests::server::Setup;
use milena_compat_tests::{Server, Target};

use super::requests::{Open, hanging_transaction, open_transaction};

/// The row of a table that begins with this word, cut at its columns.
fn row(table: &str, first: &str) -> Vec<String> {
    let line = table.lines().find(|line| line.split_whitespace().next() == Some(first));
    let line = line.unwrap_or_else(|| panic!("no row of {first} in\n{table}"));
    line.split_whitespace().map(str::to_owned).collect()
}

fn transactions(server: &Server, line: &str) -> String {
    server.tool("kafka-transactions").line(line).ok()
}

#[test]
fn an_open_transaction_is_listed_described_and_aborted() {
    let server = Server::shared();
    let Open { producer_id, first_offset, .. } = open_transaction(server, "tool-open", "tool-open");
    let listed = transactions(server, "list");
    assert_eq!(row(&listed, "tool-open")[2..4], [producer_id.to_string(), "Ongoing".to_owned()], "{listed}");
    for (filter, is_listed) in [
        ("--transactional-id-pattern tool-op.n", true),
        ("--transactional-id-pattern tool-op", false),
        ("--duration-filter 0", true),
        ("--duration-filter 3600000", false),
    ] {
        let listed = transactions(server, &format!("list {filter}"));
        assert_eq!(listed.contains("tool-open"), is_listed, "{filter}: {listed}");
    }
    let unknown = server.tool("kafka-transactions").line("describe --transactional-id tool-nobody").run();
    let unknown = unknown.fails();
    assert!(
        unknown.contains("Failed to describe transaction state of transactional-id `tool-nobody`"),
        "{unknown}"
    );
    let described = transactions(server, "describe --transactional-id tool-open");
    assert!(described.contains("Ongoing") && described.contains("tool-open-0"), "{described}");
    let producers = transactions(server, "describe-producers --topic tool-open --partition 0");
    assert_eq!(row(&producers, &producer_id.to_string()).last().unwrap(), &first_offset.to_string());

    let abort = format!("abort --topic tool-open --partition 0 --start-offset {first_offset}");
    transactions(server, &abort);
    let producers = transactions(server, "describe-producers --topic tool-open --partition 0");
    assert_eq!(row(&producers, &producer_id.to_string()).last().unwrap(), "None", "{producers}");
}

#[test]
fn a_transaction_is_forcibly_terminated() {
    let server = Server::shared();
    open_transaction(server, "tool-force", "tool-force");
    transactions(server, "forceTerminateTransaction --transactionalId tool-force");
    let listed = transactions(server, "list");
    assert_ne!(row(&listed, "tool-force")[3], "Ongoing", "{listed}");
}

#[test]
fn nothing_hangs_on_a_broker_that_verifies() {
    let server = Server::shared();
    open_transaction(server, "tool-hang", "tool-hang");
    let broker = server.tool("kafka-broker-api-versions").ok();
    let id = broker.split("(id: ").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("an id");
    let found = transactions(server, &format!("find-hanging --broker-id {id} --max-transaction-timeout 1"));
    assert_eq!(found.lines().filter(|line| line.contains("tool-hang")).count(), 0, "{found}");
}

#[test]
fn a_hanging_transaction_is_found_and_aborted() {
    // Without verification, as brokers before Kafka 3.6 were, a partition takes a batch of no transaction.
    let setup = Setup::of(Target::chosen()).set("transaction.partition.verification.enable", "false");
    let server = setup.start();
    for (topic, older) in [("hung", false), ("hung-older", true)] {
        let hung = hanging_transaction(&server, topic, topic);
        let broker = server.tool("kafka-broker-api-versions").ok();
        let id = broker.split("(id: ").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("an id");
        for place in [
            format!("--broker-id {id}"),
            format!("--topic {topic} --partition 0"),
            format!("--topic {topic}"),
        ] {
            let found = row(&transactions(&server, &format!("find-hanging {place}")), topic);
            let producer = [hung.producer_id.to_string(), hung.epoch.to_string()];
            assert_eq!(found[1..4], ["0", &producer[0], &producer[1]], "{found:?}");
            assert_eq!((found[5].as_str(), found[7].as_str()), ("0", "60"), "{found:?}");
        }
        let young =
            transactions(&server, &format!("find-hanging --topic {topic} --max-transaction-timeout 61"));
        assert!(!young.contains(topic), "{young}");
        let abort = format!("abort --topic {topic} --partition 0");
        let abort = if older {
            let (producer, epoch) = (hung.producer_id, hung.epoch);
            format!("{abort} --producer-id {producer} --producer-epoch {epoch} --coordinator-epoch 0")
        } else {
            format!("{abort} --start-offset {}", hung.first_offset)
        };
        transactions(&server, &abort);
        let found = transactions(&server, &format!("find-hanging --topic {topic}"));
        assert!(!found.contains(topic), "{found}");
    }
}

#[test]
fn the_files_of_transactions_are_those_of_kafka() {
    let mut server = Setup::of(Target::chosen()).start();
    let open = open_transaction(&server, "files", "files");
    open.end(&server, false);
    open_transaction(&server, "files-2", "files-2").end(&server, true);
    let formatted = server.tool("kafka-console-consumer").line(
        "--topic __transaction_state --from-beginning --max-messages 8 --command-property \
         exclude.internal.topics=false --formatter org.apache.kafka.tools.consumer.TransactionLogMessageFormatter",
    );
    // Empty, ongoing, prepared and complete, of each id.
    // The formatter ends no line.
    let told = formatted.ok().replace("}{\"key\"", "}\n{\"key\"");
    for (id, states) in [("files", [0, 1, 3, 5]), ("files-2", [0, 1, 2, 4])] {
        let of_id: Vec<&str> =
            told.lines().filter(|line| line.contains(&format!("\"transactionalId\":\"{id}\""))).collect();
        assert_eq!(of_id.len(), 4, "{told}");
        for (line, state) in of_id.iter().zip(states) {
            assert!(line.contains(&format!("\"transactionStatus\":{state},")), "{state} in {line}");
        }
    }
    server.stop();
    let dump = |files: Vec<std::path::PathBuf>, decoder: &str| {
        let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        let tool = milena_compat_tests::Tool::new("kafka-dump-log");
        tool.args(["--files", &files.join(","), "--deep-iteration", "--print-data-log"]).line(decoder).ok()
    };
    let records = dump(server.partition_files("files", 0, ".log"), "");
    assert!(records.contains("endTxnMarker: ABORT"), "{records}");
    let aborted = dump(server.partition_files("files", 0, ".txnindex"), "");
    assert!(aborted.contains(&format!("producerId: {}", open.producer_id)), "{aborted}");
    let snapshot = dump(server.partition_files("files", 0, ".snapshot"), "");
    assert!(snapshot.contains(&format!("producerId: {}", open.producer_id)), "{snapshot}");
    let logs: Vec<_> =
        (0..50).flat_map(|index| server.partition_files("__transaction_state", index, ".log")).collect();
    let states = dump(logs, "--transaction-log-decoder");
    // Ongoing, prepared and complete, for both ends.
    for state in 1..=5 {
        assert!(states.contains(&format!("\"transactionStatus\":{state}")), "{state} in {states}");
    }
}
