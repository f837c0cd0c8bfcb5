//! The scenario of `../README.md` with the rdkafka crate.
//!
//! It must never check anything that `README.md` does not list. The crate's admin client has no call that describes the
//! cluster, a group or offsets: the clients' metadata calls stand for them.

mod check;
mod copying;
mod member;
mod transactions;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use futures_executor::block_on;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication, TopicResult,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use check::{CODECS, PATIENCE, Record, equal, numbered, passed, records, sorted, until};
use member::Member;

type Done = Result<(), Box<dyn Error>>;
type Admin = AdminClient<DefaultClientContext>;

const POLL: Duration = Duration::from_millis(200);
const BEFORE: &str = "3600000";
const AFTER: &str = "7200000";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [phase, bootstrap, name] = arguments.as_slice() else {
        let _ = writeln!(io::stderr(), "give a phase of ../README.md, the bootstrap address and a name");
        return ExitCode::from(2);
    };
    let done = match phase.as_str() {
        "phase1" => phase1(bootstrap, name),
        "transactions" => transactions::before_restart(bootstrap, name),
        "original" => copying::original(bootstrap, name),
        "copy" => copying::copy(bootstrap, name),
        _ => phase2(bootstrap, name),
    };
    match done {
        Ok(()) => {
            let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
            let version = format!("0.39.0, librdkafka {librdkafka}");
            check::say(&serde_json::json!({"client": "rdkafka", "version": version, "phase": phase}));
            ExitCode::SUCCESS
        }
        Err(error) => {
            check::say(&serde_json::json!({"check": phase, "ok": false, "detail": error.to_string()}));
            ExitCode::FAILURE
        }
    }
}

fn phase1(bootstrap: &str, name: &str) -> Done {
    let admin: Admin = settings(bootstrap).create()?;
    let metadata = admin.inner().fetch_metadata(None, PATIENCE)?;
    let brokers: Vec<String> =
        metadata.brokers().iter().map(|broker| format!("{}:{}", broker.host(), broker.port())).collect();
    equal(&brokers, &vec![bootstrap.to_owned()], "the brokers")?;
    passed("cluster");

    create_topics(&admin, name)?;
    let shared = format!("{name}-shared");
    equal(&retention(&admin, &shared)?.as_str(), &BEFORE, "retention.ms")?;
    let change = AlterConfig::new(ResourceSpecifier::Topic(&shared)).set("retention.ms", AFTER);
    for altered in block_on(admin.alter_configs(&[change], &AdminOptions::new()))? {
        altered.map_err(|(_, code)| code)?;
    }
    until("the altered retention.ms", || Ok(retention(&admin, &shared)? == AFTER))?;
    passed("alter config");

    for codec in CODECS {
        let (topic, wanted) = (format!("{name}-{codec}"), records(codec));
        produce(bootstrap, &topic, codec, &wanted)?;
        equal(&read_all(bootstrap, &topic, 100)?, &wanted, &format!("the records of {codec}"))?;
        passed(&format!("codec {codec}"));
    }
    group(bootstrap, name, &admin)?;

    let kept = format!("{name}-kept");
    let ten: Vec<Record> = (0..10).map(|number| Record::of(format!("kept {number}"), 0)).collect();
    produce(bootstrap, &kept, "none", &ten)?;
    equal(&admin.inner().fetch_watermarks(&kept, 0, PATIENCE)?, &(0, 10), "the first and last offset")?;
    passed("list offsets");
    let mut seven = TopicPartitionList::new();
    seven.add_partition_offset(&kept, 0, Offset::Offset(7))?;
    consumer(bootstrap, &format!("{name}-keeper"))?.commit(&seven, CommitMode::Sync)?;
    passed("commit");
    Ok(())
}

fn phase2(bootstrap: &str, name: &str) -> Done {
    let admin: Admin = settings(bootstrap).create()?;
    let (kept, keeper) = (format!("{name}-kept"), format!("{name}-keeper"));
    let again = consumer(bootstrap, &keeper)?;
    again.subscribe(&[&kept])?;
    let mut values = Vec::new();
    until("the rest of the records", || {
        if let Some(message) = again.poll(POLL) {
            values.push(String::from_utf8_lossy(message?.payload().unwrap_or_default()).into_owned());
        }
        Ok(values.len() >= 3)
    })?;
    equal(
        &values,
        &["kept 7", "kept 8", "kept 9"].map(String::from).to_vec(),
        "the records after the commit",
    )?;
    passed("resume");
    let mut asked = TopicPartitionList::new();
    asked.add_partition(&kept, 0);
    let found = again.committed_offsets(asked, PATIENCE)?;
    equal(&found.elements()[0].offset(), &Offset::Offset(7), "the committed offset")?;
    passed("committed");
    drop(again);

    equal(&retention(&admin, &format!("{name}-shared"))?.as_str(), &AFTER, "retention.ms")?;
    passed("kept config");
    for codec in CODECS {
        let got = read_all(bootstrap, &format!("{name}-{codec}"), 100)?;
        equal(&got, &records(codec), &format!("the records of {codec}"))?;
    }
    passed("kept records");

    transactions::after_restart(bootstrap, name)?;

    all_done(block_on(admin.delete_groups(&[&keeper], &AdminOptions::new()))?)?;
    equal(&is_listed(&admin, &keeper)?, &false, "the deleted group is listed")?;
    passed("delete group");
    let topics: Vec<String> =
        topics(name).into_iter().chain(["in", "out"].map(|rest| format!("{name}-{rest}"))).collect();
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    all_done(block_on(admin.delete_topics(&names, &AdminOptions::new()))?)?;
    until("the topics are gone", || {
        let metadata = admin.inner().fetch_metadata(None, PATIENCE)?;
        Ok(!metadata.topics().iter().any(|topic| topic.name().starts_with(&format!("{name}-"))))
    })?;
    passed("delete topics");
    Ok(())
}

fn create_topics(admin: &Admin, name: &str) -> Done {
    let topics = topics(name);
    let new = topics.iter().enumerate().map(|(number, topic)| {
        let partitions = if number == 0 { 4 } else { 1 };
        let topic = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        if number == 0 { topic.set("retention.ms", BEFORE) } else { topic }
    });
    let new: Vec<NewTopic<'_>> = new.collect();
    all_done(block_on(admin.create_topics(&new, &AdminOptions::new()))?)?;
    until("four partitions with a leader", || {
        let metadata = admin.inner().fetch_metadata(Some(&topics[0]), PATIENCE)?;
        let partitions = metadata.topics()[0].partitions();
        Ok(partitions.iter().filter(|partition| partition.leader() >= 0).count() == 4)
    })?;
    passed("create topic");
    Ok(())
}

fn group(bootstrap: &str, name: &str, admin: &Admin) -> Done {
    let (topic, members) = (format!("{name}-shared"), format!("{name}-members"));
    let first = Member::join(settings(bootstrap), &members, &topic)?;
    let second = Member::join(settings(bootstrap), &members, &topic)?;
    until("two partitions each", || Ok(first.holds() == 2 && second.holds() == 2))?;
    let before = numbered("before");
    produce(bootstrap, &topic, "none", &spread(&before))?;
    until("40 records", || Ok(first.values().len() + second.values().len() >= 40))?;
    let both: Vec<String> = first.values().into_iter().chain(second.values()).collect();
    equal(&sorted(both), &sorted(before), "the records of both")?;
    equal(&(first.values().len(), second.values().len()), &(20, 20), "the shares")?;
    passed("two members");

    equal(&is_listed(admin, &members)?, &true, "the group is listed")?;
    passed("list groups");
    let described = admin.inner().fetch_group_list(Some(&members), PATIENCE)?;
    equal(&described.groups()[0].state(), &"Stable", "the group's state")?;
    equal(&described.groups()[0].members().len(), &2, "the group's members")?;
    passed("describe group");

    first.leave();
    until("all partitions", || Ok(second.holds() == 4))?;
    let after = numbered("after");
    produce(bootstrap, &topic, "none", &spread(&after))?;
    until("the next 40 records", || Ok(second.values().len() >= 60))?;
    equal(&sorted(second.values().split_off(20)), &sorted(after), "the records of the one that stayed")?;
    passed("one member left");
    second.leave();
    Ok(())
}

fn produce(bootstrap: &str, topic: &str, codec: &str, records: &[Record]) -> Done {
    let mut settings = settings(bootstrap);
    settings.set("compression.type", codec).set("linger.ms", "20").set("enable.idempotence", "true");
    let producer: ThreadedProducer<_> = settings.create_with_context(check::Deliveries::default())?;
    for record in records {
        let headers = record.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        let mut to: BaseRecord<'_, Vec<u8>, Vec<u8>> =
            BaseRecord::to(topic).partition(record.partition).headers(headers);
        to.key = record.key.as_ref();
        to.payload = record.value.as_ref();
        producer.send(to).map_err(|(error, _)| error)?;
    }
    producer.flush(PATIENCE)?;
    equal(&producer.context().counts(), &(records.len(), 0), "the records delivered and failed")
}

fn read_all(bootstrap: &str, topic: &str, count: usize) -> Result<Vec<Record>, Box<dyn Error>> {
    let reader = consumer(bootstrap, "unused")?;
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(topic, 0, Offset::Beginning)?;
    reader.assign(&from)?;
    let mut got = Vec::new();
    until(&format!("{count} records of {topic}"), || {
        while let Some(message) = reader.poll(POLL) {
            let message = message?;
            let headers = message.headers().into_iter().flat_map(Headers::iter);
            got.push(Record {
                partition: message.partition(),
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().map(<[u8]>::to_vec),
                headers: headers
                    .map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec()))
                    .collect(),
            });
            if got.len() >= count {
                break;
            }
        }
        Ok(got.len() >= count)
    })?;
    Ok(got)
}

fn settings(bootstrap: &str) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", bootstrap);
    settings
}

fn consumer(bootstrap: &str, group: &str) -> Result<BaseConsumer, Box<dyn Error>> {
    let mut settings = settings(bootstrap);
    settings.set("group.id", group).set("auto.offset.reset", "earliest").set("enable.auto.commit", "false");
    Ok(settings.create()?)
}

fn spread(values: &[String]) -> Vec<Record> {
    (0..).zip(values).map(|(number, value)| Record::of(value.clone(), number % 4)).collect()
}

fn topics(name: &str) -> Vec<String> {
    let rest = ["shared", "kept"].into_iter().chain(CODECS);
    rest.map(|rest| format!("{name}-{rest}")).collect()
}

fn retention(admin: &Admin, topic: &str) -> Result<String, Box<dyn Error>> {
    let asked = [ResourceSpecifier::Topic(topic)];
    let described = block_on(admin.describe_configs(&asked, &AdminOptions::new()))?;
    let resource = described.into_iter().next().ok_or("no resource is described")??;
    let entry = resource.get("retention.ms").ok_or("retention.ms is not described")?;
    Ok(entry.value.clone().unwrap_or_default())
}

fn is_listed(admin: &Admin, group: &str) -> Result<bool, Box<dyn Error>> {
    let listed = admin.inner().fetch_group_list(None, PATIENCE)?;
    Ok(listed.groups().iter().any(|one| one.name() == group))
}

fn all_done(results: Vec<TopicResult>) -> Done {
    for result in results {
        result.map_err(|(name, code)| format!("{name}: {code}"))?;
    }
    Ok(())
}
